import { beforeEach, expect, test } from "vitest";
import { choose, extend, invert, toggle, useSelection } from "./selection";

const PATHS = ["a", "b", "c", "d", "e"];
const chosen = () => [...useSelection.getState().chosen].sort().join("");

beforeEach(() => choose("set", []));

test("a click, shift and the way back", () => {
  toggle("set", "b", 1);
  extend("set", PATHS, 3);
  expect(chosen()).toBe("bcd");
  extend("set", PATHS, 0);
  expect(chosen()).toBe("abcd");
  toggle("set", "c", 2);
  expect(chosen()).toBe("abd");
});

test("the other ones, of those that are shown", () => {
  choose("set", ["a", "z"]);
  invert("set", PATHS);
  expect(chosen()).toBe("bcde");
});

test("another dataset begins with nothing chosen", () => {
  choose("set", ["a"]);
  toggle("other", "b", 1);
  expect(chosen()).toBe("b");
});
