import { expect, test } from "vitest";
import { merged } from "./merge";

test("what two tabs changed is there together, and where both changed the same value, mine holds", () => {
  const base = { name: "a", network: { rank: 8 }, datasets: [{ path: "x" }, { path: "y" }], seed: 1 };
  const mine = { name: "a", network: { rank: 16 }, datasets: [{ path: "x", num_repeats: 2 }, { path: "y" }] };
  const theirs = { name: "b", network: { rank: 8, alpha: 4 }, datasets: [{ path: "x" }, { path: "z" }], seed: 1 };
  expect(merged(base, mine, theirs)).toEqual({
    name: "b",
    network: { rank: 16, alpha: 4 },
    datasets: [{ path: "x", num_repeats: 2 }, { path: "z" }],
  });
  expect(merged({ seed: 1 }, { seed: 2 }, { seed: 3 })).toEqual({ seed: 2 });
  expect(merged({ prompts: ["a"] }, { prompts: ["a", "b"] }, { prompts: ["a"], seed: 1 })).toEqual({
    prompts: ["a", "b"],
    seed: 1,
  });
  expect(merged({ datasets: [{}] }, { datasets: [{}, {}] }, { datasets: [{ path: "x" }] })).toEqual({
    datasets: [{}, {}],
  });
});
