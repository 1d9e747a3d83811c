import { expect, test } from "vitest";
import { levelled, marked } from "./log-lines";

test("a traceback belongs to the error above it, and ends with the next line that has a head", () => {
  const lines = [
    "2026-11-22 00:41:21,944 INFO loratory.a: fine",
    "2026-11-22 00:41:22,006 ERROR loratory.b: broken",
    "Traceback (most recent call last):",
    '  File "x.py", line 1',
    "2026-11-22 00:41:22,006 WARNING loratory.c: careful",
    "INFO is no head here",
  ];
  expect(levelled(lines).map((each) => each.level)).toEqual(["plain", "error", "error", "error", "warning", "warning"]);
  expect(levelled(["  more"], "error")[0]?.level).toBe("error");
});

test("what was searched for is marked in whatever case", () => {
  expect(marked("Loss and loss", "loss").map((each) => [each.text, each.isHit])).toEqual([
    ["Loss", true],
    [" and ", false],
    ["loss", true],
  ]);
  expect(marked("abc", "")).toEqual([{ text: "abc", isHit: false, at: 0 }]);
});
