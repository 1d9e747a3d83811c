import { expect, test } from "vitest";
import { addTags, formatTags, moveTag, parseTags, removeTag, renameTag } from "./tags";

test("lines and commas are kept apart, empty ones go", () => {
  expect(parseTags("dog,  red ,,cat\nat night")).toEqual([["dog", "red", "cat"], ["at night"]]);
  expect(formatTags([["dog", "red"], ["at night"]])).toBe("dog, red\nat night");
  expect(parseTags("")).toEqual([[]]);
});

test("tags are added once, in any case and with either kind of space", () => {
  expect(addTags([["dog"], ["blue_eyes"]], "cat, Dog, blue eyes")).toEqual([["dog"], ["blue_eyes", "cat"]]);
});

test("one is removed, renamed, split, moved", () => {
  const lines = [["a", "b", "c"]];
  expect(removeTag(lines, 0, 1)).toEqual([["a", "c"]]);
  expect(renameTag(lines, 0, 1, "x, y")).toEqual([["a", "x", "y", "c"]]);
  expect(renameTag(lines, 0, 1, " ")).toEqual([["a", "c"]]);
  expect(moveTag(lines, 0, 2, -2)).toEqual([["c", "a", "b"]]);
  expect(moveTag(lines, 0, 2, 1)).toEqual([["a", "b", "c"]]);
});
