import { expect, test, vi } from "vitest";
import text from "../../../docs/reference/config.schema.json?raw";
import { type Field, modelOf } from "./fields";
import { baseOf, Form, isEdited, isShown } from "./form";
import { getIn, isSame, leaves, patternOf, setIn, unsetIn } from "./paths";
import type { Root } from "./schema";

const model = modelOf(JSON.parse(text) as Root, [], { labels: {}, options: {}, first: [] });

function field(pattern: string): Field {
  const found = model.byPattern.get(pattern);
  if (!found) throw new Error(pattern);
  return found;
}

test("setting a value keeps what is not on its way, and taking it out takes empty sections along", () => {
  const data = { model: { path: "demo" }, datasets: [{ path: "a" }, { path: "b" }] };
  const next = setIn(data, "datasets.1.captions.shuffle", true);
  expect(getIn(next, "datasets.1.captions.shuffle")).toBe(true);
  expect(next.model).toBe(data.model);
  expect(getIn(next, "datasets.0")).toBe(data.datasets[0]);
  expect(unsetIn(next, "datasets.1.captions.shuffle")).toEqual(data);
  expect(unsetIn({ datasets: [{ path: "a" }] }, "datasets.0.path")).toEqual({ datasets: [{}] });
  expect(unsetIn({ name: "x" }, "memory.low_vram")).toEqual({ name: "x" });
  expect(patternOf("datasets.12.captions.shuffle")).toBe("datasets[].captions.shuffle");
  expect(leaves({ a: { b: [1, 2] }, c: [{ d: 1 }] })).toEqual([
    ["a.b", [1, 2]],
    ["c.0.d", 1],
  ]);
  expect(isSame({ a: [1, { b: null }] }, { a: [1, { b: null }] })).toBe(true);
  expect(isSame({ a: undefined }, {})).toBe(false);
});

test("undo goes back by edits, not by keys, and redo forth again", () => {
  vi.useFakeTimers();
  const form = new Form(model, {});
  form.set("name", "l");
  form.set("name", "lo");
  vi.advanceTimersByTime(5_000);
  form.set("seed", 7);
  form.undo();
  expect(form.state.data).toEqual({ name: "lo" });
  form.undo();
  expect(form.state.data).toEqual({});
  form.redo();
  form.redo();
  expect(form.state.data).toEqual({ name: "lo", seed: 7 });
  form.set("seed", undefined);
  form.redo();
  expect(form.state.data).toEqual({ name: "lo" });
  vi.useRealTimers();
});

test("another type takes out what it does not know, and keeps the rest", () => {
  const form = new Form(model, { optimizer: { type: "prodigy", d_coef: 2, weight_decay: 0.1 } });
  form.setType("optimizer", "adamw8bit");
  expect(form.state.data).toEqual({ optimizer: { type: "adamw8bit", weight_decay: 0.1 } });
  const network = new Form(model, { network: { rank: 8, targets: { block_ranks: { IN01: 4 } }, shared_down: true } });
  network.setType("network", "loha");
  expect(network.state.data).toEqual({ network: { type: "loha", rank: 8, targets: { block_ranks: { IN01: 4 } } } });
});

test("a parameter is edited when it differs from the preset, or else from the default of its type", () => {
  const form = new Form(model, { network: { rank: 16 }, datasets: [{ captions: { dropout_rate: 0.1 } }] });
  const rank = field("network.rank");
  expect(isEdited(form.state, rank, "network.rank")).toBe(false);
  form.store.setState({ base: { network: { rank: 32 }, datasets: { captions: { dropout_rate: 0.1 } } } });
  expect(isEdited(form.state, rank, "network.rank")).toBe(true);
  expect(baseOf(form.state, rank, "network.rank")).toBe(32);
  const dropout = field("datasets[].captions.dropout_rate");
  expect(isEdited(form.state, dropout, "datasets.0.captions.dropout_rate")).toBe(false);
  form.setType("network", "diag_oft");
  expect(baseOf(form.state, rank, "network.rank")).toBe(8);
});

test("what is shown follows level, type, architecture, edits and problems", () => {
  const form = new Form(model, {});
  const shown = (pattern: string) => isShown(form.state, field(pattern), pattern);
  expect([shown("network.rank"), shown("network.tucker"), shown("optimizer.d_coef")]).toEqual([true, false, false]);
  form.store.setState({ level: "expert" });
  expect([shown("network.tucker"), shown("optimizer.d_coef")]).toEqual([true, false]);
  form.setType("optimizer", "prodigy");
  expect(shown("optimizer.d_coef")).toBe(true);
  form.store.setState({ idle: new Set(["network.tucker"]) });
  expect(shown("network.tucker")).toBe(false);
  form.set("network.tucker", true);
  expect(shown("network.tucker")).toBe(true);
  form.store.setState({ isChangedOnly: true });
  expect([shown("network.rank"), shown("network.tucker")]).toEqual([false, true]);
  form.tell({ "network.rank": [{ level: "error", message: "is wrong", code: "x", fix: [] }] });
  expect(shown("network.rank")).toBe(true);
});

test("what the server said again stays the same object, so that nothing is drawn anew", () => {
  const form = new Form(model, {});
  const said = () => ({ seed: [{ level: "note" as const, message: "m", code: "c", fix: [] }] });
  form.tell(said());
  const before = form.state.said.seed;
  form.tell(said());
  expect(form.state.said.seed).toBe(before);
});

test("what was touched stays in sight until another look is chosen", () => {
  const form = new Form(model, { network: { tucker: true } });
  const tucker = field("network.tucker");
  form.set("network.tucker", undefined);
  expect(isShown(form.state, tucker, "network.tucker")).toBe(true);
  form.look({ level: "basic", isChangedOnly: true });
  expect(isShown(form.state, tucker, "network.tucker")).toBe(false);
  form.apply([{ path: "network.tucker", value: false }]);
  expect(isShown(form.state, tucker, "network.tucker")).toBe(true);
});

test("a proposal is no choice: no step back leads before it, and the first edit ends it", () => {
  const form = new Form(model, {});
  form.propose({ name: "lory" });
  expect([form.isProposal, form.state.past.length]).toEqual([true, 0]);
  form.set("seed", 7);
  expect(form.isProposal).toBe(false);
  form.undo();
  expect(form.state.data).toEqual({ name: "lory" });
});
