import { expect, test } from "vitest";
import { rewritten } from "./yaml-text";

const TEXT = `# my parrot
name: lory # keep it short
network:
  rank: 16

# the pictures
datasets:
- path: a
  num_repeats: 2 # few pictures
- path: b
`;
const BEFORE = { name: "lory", network: { rank: 16 }, datasets: [{ path: "a", num_repeats: 2 }, { path: "b" }] };

test("a change in the form changes its line, and comments stay", () => {
  const after = { ...BEFORE, network: { rank: 8, alpha: 4 }, datasets: [{ path: "a", num_repeats: 3 }, { path: "b" }] };
  expect(rewritten(TEXT, BEFORE, after)).toBe(
    TEXT.replace("rank: 16", "rank: 8\n  alpha: 4").replace("num_repeats: 2", "num_repeats: 3"),
  );
});

test("what is taken out goes, a longer list is written anew, and what cannot be read is left alone", () => {
  const { network: _gone, ...without } = BEFORE;
  expect(rewritten(TEXT, BEFORE, without)).not.toContain("rank");
  const longer = { ...BEFORE, datasets: [...BEFORE.datasets, { path: "c" }] };
  expect(rewritten(TEXT, BEFORE, longer)).toContain("- path: c");
  expect(rewritten("name: [", BEFORE, BEFORE)).toBeNull();
});
