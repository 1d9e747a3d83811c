import { expect, test } from "vitest";
import text from "../../../docs/reference/config.schema.json?raw";
import { modelOf } from "./fields";
import type { Root } from "./schema";
import { find } from "./search";

const model = modelOf(JSON.parse(text) as Root, [], {
  labels: { "batching.size": "Batch size" },
  options: {},
  first: [],
});
const first = (typed: string) => find(model, typed)[0]?.field.pattern;

test.each([
  ["network_dim", "network.rank"],
  ["network dim", "network.rank"],
  ["rank", "network.rank"],
  ["lora rank", "network.rank"],
  ["batch size", "batching.size"],
  ["train_batch_size", "batching.size"],
  ["min_snr", "objective.min_snr_gamma"],
  ["training_seed", "seed"],
  ["prodigy", "optimizer.type"],
  ["datasets captions shuffle", "datasets[].captions.shuffle"],
])("%s finds %s", (typed, pattern) => expect(first(typed)).toBe(pattern));

test("two letters are enough, one is not, and help is looked into last", () => {
  expect(find(model, "r")).toEqual([]);
  expect(find(model, "ra").length).toBeGreaterThan(3);
  const hits = find(model, "everything random follows");
  expect(hits.map((each) => [each.field.pattern, each.by])).toEqual([["seed", "in its help"]]);
});
