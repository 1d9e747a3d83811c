import { expect, test } from "vitest";
import { shownOf } from "./shown";

test("a prompt that came later has no picture of earlier steps", () => {
  const sample = { step: 20, prompt: "b", file: "f.png", bytes: 1 };
  const found = shownOf({ steps: [0, 20], prompts: [], samples: [sample] });
  expect(found.at(20, "b")).toBe(sample);
  expect(found.at(0, "b")).toBeUndefined();
  expect(shownOf({}).steps).toEqual([]);
});
