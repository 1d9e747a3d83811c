import { expect, test } from "vitest";
import { Problem, problemOf } from "./problem";

test("a problem document keeps its code, its sentence and what else belongs to it", () => {
  const found = problemOf({
    type: "about:blank#stale",
    title: "Conflict",
    status: 409,
    code: "stale",
    detail: "It changed.",
    now: "b",
  });
  expect(found).toBeInstanceOf(Problem);
  expect([found.status, found.code, found.message, found.more]).toEqual([409, "stale", "It changed.", { now: "b" }]);
  expect(found.isDisconnected).toBe(false);
});

test("no answer, and a proxy's answer", () => {
  expect(problemOf(new TypeError("Failed to fetch")).isDisconnected).toBe(true);
  const proxy = problemOf("<html>Bad gateway</html>", 502);
  expect(proxy.message).toContain("502");
  expect(proxy.isDisconnected).toBe(true);
  expect(problemOf(proxy)).toBe(proxy);
});
