import { expect, test } from "vitest";
import type { PresetOut } from "@/api/generated/types.gen";
import { datasetOf, presetFor, stopOf, withDataset, withModel, withStop } from "./guided-choices";

const FRESH = { model: {}, datasets: [{}] };

test("answers make a job, and another model keeps the place between quick and thorough", () => {
  let data = withModel(FRESH, "demo", null);
  data = withDataset(data, "abc", "lory", ["a lory"]);
  data = withStop(data, 2);
  expect(data).toMatchObject({
    name: "lory",
    model: { path: "demo" },
    datasets: [{ path: "dataset:abc" }],
    duration: { steps: 800 },
    sampling: { prompts: ["a lory"], every_n_steps: 200 },
    batching: { size: 4 },
  });
  expect(datasetOf(data)).toBe("abc");
  const other = withModel(data, "x/sdxl", "sdxl");
  expect(stopOf(other)).toBe(2);
  expect(other).toMatchObject({ model: { path: "x/sdxl", architecture: "sdxl" }, duration: { steps: 3000 } });
  expect(other).not.toHaveProperty("batching");
  expect(other).not.toHaveProperty("optimizer");
});

test("what somebody changed is not taken away with the demo's settings", () => {
  const data = { ...withModel(FRESH, "demo", null), batching: { size: 2 } };
  expect(withModel(data, "x/sdxl", null)).toMatchObject({ batching: { size: 2 } });
  expect(withDataset({ ...FRESH, name: "mine" }, "abc", "lory", [])).toMatchObject({ name: "mine" });
});

test("a goal takes the preset for the card, or else the thriftiest", () => {
  const preset = (name: string, memory_gb: number, proposed = false): PresetOut => ({
    name,
    title: "",
    architecture: "sdxl",
    goal: "style",
    memory_gb,
    own: false,
    proposed,
  });
  const list = [preset("s-24", 24), preset("s-8", 8), preset("s-12", 12)];
  expect(presetFor(list, "style")).toBe("s-8");
  expect(presetFor([...list, preset("s-16", 16, true)], "style")).toBe("s-16");
  expect(presetFor(list, "object")).toBeNull();
});
