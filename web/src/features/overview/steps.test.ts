import { expect, test } from "vitest";
import { stepsOf } from "./steps";

const summary = { pictures: 3, captioned: 2, problems: 0, bytes: 1, changed_ns: 1, cover: null };

test("each step ticks from what is there", () => {
  const done = (...of: Parameters<typeof stepsOf>) => stepsOf(...of).map((step) => step.isDone);
  expect(done([], [], "none")).toEqual([false, false, false, false, false]);
  expect(done([{ id: "a", summary }], [{ id: "r", started: null, exports: 0 }], "done")).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
  const whole = { ...summary, captioned: 3 };
  expect(done([{ id: "a", summary: whole }], [{ id: "r", started: "2026", exports: 1 }], "none")).toEqual([
    false, // nobody has looked
    true,
    true,
    true,
    true,
  ]);
});
