import { expect, test } from "vitest";
import { wordsDiff } from "./words-diff";

test.each([
  ["a red dog", "a blue dog"],
  ["", "new"],
  ["gone", ""],
  ["a, b, c", "c, b, a, d"],
  ["same", "same"],
])("from %s to %s", (before, after) => {
  const pieces = wordsDiff(before, after);
  const text = (without: string) =>
    pieces
      .filter((each) => each.kind !== without)
      .map((each) => each.text)
      .join("");
  expect(text("added")).toBe(before);
  expect(text("removed")).toBe(after);
});

test("what is the same is not removed and added", () => {
  expect(wordsDiff("a red dog", "a blue dog")).toEqual([
    { kind: "same", text: "a " },
    { kind: "removed", text: "red" },
    { kind: "added", text: "blue" },
    { kind: "same", text: " dog" },
  ]);
});
