import { expect, test } from "vitest";
import type { SamplePrompt } from "@/api/generated/types.gen";
import { labelsOf } from "./labels";
import { configRows, sampleAt, syncedSamples } from "./merged";

test("differences from the first run become one table", () => {
  const rows = configRows([
    [
      { path: "name", a: "x", b: "y" },
      { path: "network.rank", a: 8, b: 16 },
      { path: "optimizer.d_coef", b: 1 },
      { path: "alpha_schedule.linear.0.loss_r2_above", b: null },
    ],
    [
      { path: "network.rank", a: 8, b: 4 },
      { path: "network.alpha", a: 1, b: 2 },
      { path: "seed", a: 1, b: 3 },
    ],
    null,
  ]);
  const there = (value: unknown) => ({ value, isThere: true });
  const none = { value: undefined, isThere: false };
  expect(rows).toEqual([
    { path: "network.rank", values: [there(8), there(16), there(4), there(8)] },
    { path: "network.alpha", values: [there(1), there(1), there(2), there(1)] },
    { path: "seed", values: [there(1), there(1), there(3), there(1)] },
    { path: "optimizer.d_coef", values: [none, there(1), none, none] },
  ]);
});

test("samples of the same prompt meet in one row, at the step or the last one before", () => {
  const prompt = (key: string, text: string): SamplePrompt => ({ key, index: 0, text, negative: null, settings: {} });
  const sample = (step: number, key: string) => ({ step, prompt: key, file: `${step}_${key}.png`, bytes: 1 });
  const found = syncedSamples([
    {
      steps: [0, 20],
      prompts: [prompt("00_aa", "a"), prompt("01_ab", "a")],
      samples: [sample(0, "00_aa"), sample(20, "00_aa"), sample(20, "01_ab")],
    },
    { steps: [30], prompts: [prompt("00_bb", "b"), prompt("01_cc", "a")], samples: [sample(30, "01_cc")] },
    undefined,
  ]);
  expect(found.steps).toEqual([0, 20, 30]);
  // The same words twice in one run are two rows; another size or seed elsewhere is none.
  expect(found.prompts.map((each) => each.prompt.key)).toEqual(["00_aa", "01_ab", "00_bb"]);
  const [one, again] = found.prompts.map((each) => each.identity) as [string, string];
  const [first, second, third] = found.columns as [never, never, never];
  expect(sampleAt(first, 30, one)?.step).toBe(20);
  expect(sampleAt(first, 20, again)?.file).toBe("20_01_ab.png");
  expect(sampleAt(second, 30, one)?.file).toBe("30_01_cc.png");
  expect(sampleAt(second, 20, one)).toBeUndefined();
  expect(sampleAt(third, 30, one)).toBeUndefined();
});

test("runs of one name are told apart", () => {
  const run = (name: string, path: string, created = "2026-11-22T01:00:00Z") => ({ name, path, created });
  expect(labelsOf([run("a", "/x/a"), run("b", "/x/b")])).toEqual(["a", "b"]);
  expect(labelsOf([run("a", "/x/a"), run("a", "/y/a")])).toEqual(["a in x", "a in y"]);
  const [first, second] = labelsOf([run("a", "/x/a"), run("a", "/y/x/a", "2026-11-22T02:00:00Z")]);
  expect(first).toContain("22");
  expect(first).not.toBe(second);
  expect(labelsOf([run("a", "/x/a"), run("a", "/y/x/a")])).toEqual(["a (1)", "a (2)"]);
});
