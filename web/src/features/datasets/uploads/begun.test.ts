import { beforeEach, expect, test, vi } from "vitest";
import { readDraft } from "@/shared/draft";
import { type Begun, begin, begunOf, forget, hasArrived } from "./begun";

const file = (path: string): Begun => ({ path, bytes: 1, modified: 1, arrived: false });
const kept = () => readDraft<Begun[]>("uploads:set", 1)?.map((each) => `${each.path}${each.arrived ? "+" : ""}`);

beforeEach(() => {
  vi.useFakeTimers();
  forget("set");
  vi.runAllTimers();
});

test("what was begun is kept until all of it is there", () => {
  begin("set", [file("a"), file("b")]);
  hasArrived("set", "a");
  vi.runAllTimers();
  expect(kept()).toEqual(["a+", "b"]);
  hasArrived("set", "b");
  vi.runAllTimers();
  expect(kept()).toBeUndefined();
  expect(begunOf("set")).toEqual([]);
});

test("what nobody waits for is forgotten, and a page that is left writes at once", () => {
  begin("set", [file("a"), file("b"), file("c")]);
  forget("set", new Set(["a"]));
  window.dispatchEvent(new Event("pagehide"));
  expect(kept()).toEqual(["b", "c"]);
});
