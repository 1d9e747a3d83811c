import { expect, test } from "vitest";
import text from "../../../docs/reference/config.schema.json?raw";
import { bandsOf } from "./columns";
import { modelOf } from "./fields";
import { Form } from "./form";

const model = modelOf(JSON.parse(text), [], { labels: {}, options: {}, first: [] });
const groupsOfTab = (name: string) => model.tabs.find((each) => each.name === name)?.groups ?? [];

test("groups stand in reading order in two columns of about the same height, wide ones between them", () => {
  const form = new Form(model, {});
  form.store.setState({ level: "expert" });
  const groups = groupsOfTab("Dataset");
  const bands = bandsOf(groups, form.state);
  const order = bands.flatMap((band) => ("wide" in band ? [band.wide] : [...band.left, ...band.right]));
  expect(order).toEqual(groups);
  expect(bands.some((band) => "wide" in band && band.wide.fields[0]?.pattern === "datasets")).toBe(true);
  const [advanced] = bandsOf(groupsOfTab("Advanced"), form.state);
  if (!advanced || "wide" in advanced) throw new Error("one band of two columns is expected");
  const rows = (side: typeof advanced.left) => side.reduce((sum, group) => sum + group.fields.length, 0);
  expect(Math.abs(rows(advanced.left) - rows(advanced.right))).toBeLessThan(16);
});

test("values move no group to another column, another level may", () => {
  const form = new Form(model, {});
  const groups = groupsOfTab("Advanced");
  const before = bandsOf(groups, form.state);
  form.store.setState({ level: "expert" });
  expect(bandsOf(groups, form.state)).not.toEqual(before);
});
