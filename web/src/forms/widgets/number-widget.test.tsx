import { MantineProvider } from "@mantine/core";
import { fireEvent, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import text from "../../../../docs/reference/config.schema.json?raw";
import { FieldRow } from "../field-row";
import { modelOf } from "../fields";
import { Form } from "../form";
import { FormProvider } from "../form-provider";
import type { Root } from "../schema";
import { number, parsed } from "../words";
import { stepped } from "./number-widget";

const model = modelOf(JSON.parse(text) as Root, [], { labels: {}, options: {}, first: [] });

function show(pattern: string): Form {
  const form = new Form(model, {});
  form.store.setState({ level: "expert" });
  const field = model.byPattern.get(pattern);
  if (!field) throw new Error(pattern);
  render(
    <MantineProvider>
      <FormProvider form={form} widgets={{}}>
        <FieldRow field={field} />
      </FormProvider>
    </MantineProvider>,
  );
  return form;
}

test("a rate is typed as 2e-4, and what is no number yet is kept as it is", async () => {
  const form = show("optimizer.learning_rate");
  const input = screen.getByLabelText<HTMLInputElement>("Learning rate");
  expect(input.value).toBe("1e-4");
  await userEvent.clear(input);
  expect([input.value, form.state.data]).toEqual(["", {}]);
  await userEvent.type(input, "2e-");
  expect(form.state.data).toEqual({ optimizer: { learning_rate: "2e-" } });
  await userEvent.type(input, "4");
  expect(form.state.data).toEqual({ optimizer: { learning_rate: 0.0002 } });
  fireEvent.keyDown(input, { key: "ArrowUp" });
  expect(form.state.data).toEqual({ optimizer: { learning_rate: 0.0003 } });
  await userEvent.click(screen.getByLabelText("Reset Learning rate"));
  expect([input.value, form.state.data]).toEqual(["1e-4", {}]);
});

test("nothing is a value where a parameter may be none", async () => {
  const form = show("saving.export_every_n_steps");
  const input = screen.getByLabelText("Export every N steps");
  await userEvent.clear(input);
  expect(form.state.data).toEqual({ saving: { export_every_n_steps: null } });
});

test("a word may stand in the place of a number", async () => {
  const form = show("network.alpha");
  const input = screen.getByLabelText("Alpha");
  await userEvent.clear(input);
  await userEvent.type(input, "8");
  expect(form.state.data).toEqual({ network: { alpha: 8 } });
});

test("numbers as people write them", () => {
  expect([parsed("1e-4"), parsed("0,5"), parsed(" 3 "), parsed("−2"), parsed("1-2"), parsed("")]).toEqual([
    0.0001,
    0.5,
    3,
    -2,
    "1-2",
    "",
  ]);
  expect([number(0.0001), number(2.5e-7), number(0.05), number(1e21)]).toEqual(["1e-4", "2.5e-7", "0.05", "1e+21"]);
  expect([stepped(0.0001, -1, false, false), stepped(0.02, 1, false, false), stepped(16, 1, true, true)]).toEqual([
    0.00009, 0.03, 26,
  ]);
});
