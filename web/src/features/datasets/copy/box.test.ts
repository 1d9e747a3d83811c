import { expect, test } from "vitest";
import { drawn, moved, withSide } from "./box";

const SIZE = { width: 100, height: 50 };

test("a frame is drawn in any direction and stays in the picture", () => {
  expect(drawn({ x: 60, y: 40 }, { x: 10.4, y: -5 }, SIZE)).toEqual([10, 0, 60, 40]);
  expect(drawn({ x: 99, y: 49 }, { x: 120, y: 70 }, SIZE)).toEqual([92, 42, 100, 50]);
});

test("it keeps its size when it is moved", () => {
  expect(moved([10, 10, 30, 20], 90, -30, SIZE)).toEqual([80, 0, 100, 10]);
});

test("one side never passes the other", () => {
  expect(withSide([10, 10, 30, 20], 0, 99, SIZE)).toEqual([22, 10, 30, 20]);
  expect(withSide([10, 10, 30, 20], 3, 999, SIZE)).toEqual([10, 10, 30, 50]);
});
