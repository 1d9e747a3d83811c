import { expect, test } from "vitest";
import { nearestStep, shownOf } from "./shown";

test("the nearest step with samples, or the newest", () => {
  expect(nearestStep([0, 20, 40], undefined)).toBe(40);
  expect(nearestStep([0, 20, 40], 29)).toBe(20);
  expect(nearestStep([0, 20, 40], 31)).toBe(40);
  expect(nearestStep([0, 20, 40], 9999)).toBe(40);
  expect(nearestStep([], 3)).toBeUndefined();
});

test("a prompt that came later has no picture of earlier steps", () => {
  const sample = { step: 20, prompt: "b", file: "f.png", bytes: 1 };
  const found = shownOf({ steps: [0, 20], prompts: [], samples: [sample] });
  expect(found.at(20, "b")).toBe(sample);
  expect(found.at(0, "b")).toBeUndefined();
  expect(shownOf({}).steps).toEqual([]);
});
