import { expect, test } from "vitest";
import { modelOf } from "@/forms/fields";
import { Form } from "@/forms/form";
// biome-ignore lint/style/noRestrictedImports: the schema is no feature
import text from "../../../../docs/reference/config.schema.json?raw";
import { NAMES, TABS } from "./names";
import { editsByTab, errorsByTab } from "./tab-counts";

const model = modelOf(JSON.parse(text), TABS, NAMES);

test("each tab counts its edits and its mistakes, and what is only missing is none yet", () => {
  const form = new Form(model, { name: "x", seed: 42, network: { rank: 8, alpha: 4 }, datasets: [{ num_repeats: 3 }] });
  expect(editsByTab(form, form.state)).toEqual([1, 1, 2, 0, 0, 0, 0]);
  const said = (code: string) => [{ level: "error" as const, message: "m", code, fix: [] }];
  const found = { "network.rank": said("range"), "network.bogus": said("unknown"), "model.path": said("missing") };
  expect(errorsByTab(form, found)).toEqual([0, 0, 2, 0, 0, 0, 0]);
});
