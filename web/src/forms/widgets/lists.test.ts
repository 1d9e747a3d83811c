import { expect, test } from "vitest";
import { lineMoved } from "./lines-widget";
import { changed } from "./sections-widget";

test("a line changes places with its neighbour, and the cursor goes along", () => {
  expect(lineMoved("one\ntwo\nthree", 5, -1)).toEqual({ text: "two\none\nthree", at: 1 });
  expect(lineMoved("one\ntwo\nthree", 5, 1)).toEqual({ text: "one\nthree\ntwo", at: 11 });
  expect(lineMoved("one\ntwo", 0, -1)).toBeNull();
});

test.each([
  ["up", ["b", "a", "c"]],
  ["down", ["a", "c", "b"]],
  ["copy", ["a", "b", "b", "c"]],
  ["remove", ["a", "c"]],
] as const)("%s of the second entry", (how, wanted) => expect(changed(["a", "b", "c"], how, 1)).toEqual(wanted));
