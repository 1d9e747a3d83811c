import { Select } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { listPresetsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { WidgetProps } from "@/forms/context";

/** The preset that the draft stands on. */
export function PresetWidget(props: WidgetProps) {
  const presets = useQuery({ ...listPresetsOptions(), staleTime: 60_000 });
  const value = typeof props.value === "string" ? props.value : null;
  const names = (presets.data?.presets ?? []).filter((each) => !each.problem).map((each) => each.name);
  return (
    <Select
      id={props.id}
      data={value && !names.includes(value) ? [...names, value] : names}
      value={value}
      onChange={(chosen) => props.set(chosen ?? undefined)}
      placeholder="none"
      searchable
      clearable
      limit={60}
      error={props.hasError}
      aria-describedby={props.describedBy}
    />
  );
}
