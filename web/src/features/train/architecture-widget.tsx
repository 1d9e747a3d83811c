import { Select } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { listArchitectureFormsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { WidgetProps } from "@/forms/context";

/** The kinds of models that can be trained. Left open, the model's files tell. */
export function ArchitectureWidget(props: WidgetProps) {
  const forms = useQuery({ ...listArchitectureFormsOptions(), staleTime: Number.POSITIVE_INFINITY });
  const value = typeof props.value === "string" ? props.value : null;
  const known = (forms.data ?? []).map((each) => ({ value: each.architecture, label: each.title }));
  return (
    <Select
      id={props.id}
      data={value && !known.some((each) => each.value === value) ? [...known, { value, label: value }] : known}
      value={value}
      onChange={(chosen) => props.set(chosen ?? undefined)}
      placeholder="The model's files tell"
      searchable
      clearable
      error={props.hasError}
      aria-describedby={props.describedBy}
    />
  );
}
