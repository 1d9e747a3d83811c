import { expect, test } from "vitest";
import { ago, bytes, count, duration, memory, plural, significant } from "./format";

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.0 kB"],
  [999_499, "999 kB"],
  [999_500, "1.0 MB"],
  [85_400_000, "85.4 MB"],
  [12.3e9, "12.3 GB"],
  [null, "–"],
  [Number.NaN, "–"],
])("bytes of %s are %s", (value, said) => expect(bytes(value)).toBe(said));

test.each([
  [0, "0 s"],
  [99.4, "99 s"],
  [99.5, "2 min"],
  [3599, "1 h 00 min"],
  [3900, "1 h 05 min"],
  [3 * 86_400 + 4 * 3600, "3 d 4 h"],
  [undefined, "–"],
  [Number.POSITIVE_INFINITY, "–"],
])("a duration of %s is %s", (value, said) => expect(duration(value)).toBe(said));

test.each([
  [0.00012345, "1.23e−4"],
  [0.1234, "0.123"],
  [12.345, "12.3"],
  [0, "0"],
  [-0.00001, "-1.00e−5"],
  [null, "–"],
])("%s in three digits is %s", (value, said) => expect(significant(value)).toBe(said));

test("times are told from now", () => {
  const now = Date.parse("2026-11-21T12:00:00Z");
  expect(ago("2026-11-21T11:59:50Z", now)).toBe("just now");
  expect(ago("2026-11-21T11:15:00Z", now)).toBe("45 min ago");
  expect(ago("2026-11-21T02:00:00Z", now)).toBe("10 h ago");
  expect(ago("2026-11-18T12:00:00Z", now)).toBe("3 d ago");
  expect(ago("2026-08-01T12:00:00Z", now)).toBe("Aug 1, 2026");
  expect(ago("no time", now)).toBe("–");
});

test("numbers and words", () => {
  expect(count(1234567)).toBe("1,234,567");
  expect(memory(12 * 2 ** 30)).toBe("12.0 GB");
  expect(plural(1, "picture")).toBe("1 picture");
  expect(plural(0, "picture")).toBe("0 pictures");
  expect(plural(2, "entry", "entries")).toBe("2 entries");
});
