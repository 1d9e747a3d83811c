import type { ReactNode } from "react";
import { useMemo } from "react";
import { FormHere, type Widget } from "./context";
import { FieldRow } from "./field-row";
import type { Form } from "./form";

/** A form, for all fields in it. `widgets` must stay the same object. */
export function FormProvider(props: { form: Form; widgets: Readonly<Record<string, Widget>>; children: ReactNode }) {
  const { form, widgets } = props;
  const here = useMemo(() => ({ form, widgets, Row: FieldRow }), [form, widgets]);
  return <FormHere value={here}>{props.children}</FormHere>;
}
