import { expect, test } from "vitest";
import type { Begun } from "./begun";
import { isThere, placed } from "./same-files";

function file(path: string, content = "x"): { file: File; path: string } {
  return { file: new File([content], path.slice(path.lastIndexOf("/") + 1), { lastModified: 7 }), path };
}

function begun(path: string, more: Partial<Begun> = {}): Begun {
  return { path, bytes: 1, modified: 7, arrived: false, ...more };
}

test.each([
  ["a folder that became the dataset", "dog/a.png", "a.png", "a.png"],
  ["a file picked without its folder", "a.png", "10_dog/a.png", "10_dog/a.png"],
  ["a file of the same name elsewhere", "cat/a.png", "dog/a.png", "cat/a.png"],
  ["what the server alone knows", "a.png", "a.png", "a.png"],
])("%s", (_, dropped, known, path) => {
  expect(placed([file(dropped)], [begun(known, { modified: null })]).map((each) => each.path)).toEqual([path]);
});

test("each is gone on with once, and another size or time is another file", () => {
  const known = [begun("one/a.png"), begun("two/a.png")];
  expect(placed([file("a.png"), file("a.png"), file("a.png")], known).map((each) => each.path)).toEqual([
    "one/a.png",
    "two/a.png",
    "a.png",
  ]);
  expect(placed([file("a.png", "xx")], known)[0]?.path).toBe("a.png");
  expect(placed([file("a.png")], [begun("one/a.png", { modified: 8 })])[0]?.path).toBe("a.png");
});

test("only the very file that arrived is left out", () => {
  const { file: own } = file("a.png");
  expect(isThere(begun("a.png", { arrived: true }), own)).toBe(true);
  expect(isThere(begun("a.png"), own)).toBe(false);
  expect(isThere(begun("a.png", { arrived: true, bytes: 2 }), own)).toBe(false);
  expect(isThere(undefined, own)).toBe(false);
});
