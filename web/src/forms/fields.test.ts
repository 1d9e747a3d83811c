import { expect, test } from "vitest";
import text from "../../../docs/reference/config.schema.json?raw";
import { modelOf } from "./fields";
import type { Node, Root } from "./schema";

const root = JSON.parse(text) as Root;
const TABS = ["Setup", "Dataset", "LoRA", "Learning rate", "Advanced", "Saving", "Logging"];
const model = modelOf(root, TABS, { labels: {}, options: {}, first: [] });

/** Every path of the schema, found in another way than the form does: by all references below each property. */
function declared(node: Node, prefix: string): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, each]) => {
    const list = each.type === "array";
    const references = [each, ...(each.oneOf ?? []), ...(each.anyOf ?? []), ...(each.items ? [each.items] : [])]
      .map((part) => part.$ref?.split("/").pop())
      .filter((part) => part !== undefined);
    const inner = references.map((part) => root.$defs[part] ?? {}).filter((part) => part.properties);
    if (inner.length === 0) return [prefix + name];
    const below = inner.flatMap((part) => declared(part, `${prefix}${name}${list ? "[]" : ""}.`));
    return list ? [prefix + name, ...below] : below;
  });
}

test("every parameter of the schema is in one of the seven tabs", () => {
  expect(model.tabs.map((each) => each.name)).toEqual(TABS);
  const shown = model.tabs.flatMap((tab) => tab.groups.flatMap((group) => group.fields));
  const reachable = new Set<string>();
  const reach = (fields: typeof shown) => {
    for (const field of fields) {
      reachable.add(field.pattern);
      reach(field.children as typeof shown);
    }
  };
  reach(shown);
  const wanted = new Set(declared(root, ""));
  expect(wanted.size).toBeGreaterThan(200);
  expect([...wanted].filter((path) => !reachable.has(path))).toEqual([]);
  expect([...reachable].filter((path) => !wanted.has(path))).toEqual([]);
});

test("each type of a union has its own parameters, limits and defaults", () => {
  const rate = model.byPattern.get("optimizer.learning_rate");
  expect(rate?.union?.usual).toBe("adamw");
  expect(rate?.union?.specs.adamw?.usual).toBe(0.0001);
  expect(rate?.union?.specs.prodigy?.usual).not.toBe(0.0001);
  expect(Object.keys(model.byPattern.get("optimizer.d_coef")?.union?.specs ?? {})).not.toContain("adamw");
  expect(model.byPattern.get("optimizer.type")?.spec.options.map((each) => each.value)).toContain("came");
});

test.each([
  ["network.alpha", "number", false, ["auto"]],
  ["batching.buckets.resolution", "size", true, []],
  ["datasets", "sections", false, []],
  ["sampling.prompts", "lines", false, []],
  ["datasets[].captions.extensions", "texts", false, []],
  ["model.path", "path", false, []],
  ["text.max_token_length", "select", false, []],
  ["network.targets.block_ranks", "pairs", false, []],
  ["saving.export_every_n_steps", "number", true, []],
])("%s is shown as %s", (pattern, kind, nullable, words) => {
  const spec = model.byPattern.get(pattern)?.spec;
  expect([spec?.kind, spec?.nullable, spec?.words]).toEqual([kind, nullable, words]);
});

test("limits are said in words", () => {
  expect(model.byPattern.get("network.rank")?.spec.limits).toBe("at least 1, at most 1024");
  expect(model.byPattern.get("seed")?.spec.limits).toBe("at least 0");
});
