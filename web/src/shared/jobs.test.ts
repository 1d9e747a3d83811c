import { expect, test } from "vitest";
import { doingWord } from "./jobs";

test("a job says what it does now", () => {
  expect(doingWord({ state: "running", phase: "sampling" })).toBe("Sampling");
  expect(doingWord({ state: "starting", phase: null })).toBe("Starting");
  expect(doingWord({ state: "stopping", phase: "training" })).toBe("Stopping");
  // The lock is free again while the process still leaves.
  expect(doingWord({ state: "starting", phase: "finished" })).toBe("Ending");
});
