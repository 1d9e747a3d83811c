import { expect, test } from "vitest";
import { nearest } from "./steps";

test("the nearest step with samples, or the newest", () => {
  expect(nearest([0, 20, 40], undefined)).toBe(40);
  expect(nearest([0, 20, 40], 29)).toBe(20);
  expect(nearest([0, 20, 40], 31)).toBe(40);
  expect(nearest([0, 20, 40], 9999)).toBe(40);
  expect(nearest([], 3)).toBeUndefined();
});
