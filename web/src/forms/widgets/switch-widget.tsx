import { Switch } from "@mantine/core";
import type { WidgetProps } from "../context";

export function SwitchWidget(props: WidgetProps) {
  return (
    <Switch
      id={props.id}
      checked={props.value === true}
      onChange={(event) => props.set(event.currentTarget.checked)}
      error={props.hasError}
      aria-describedby={props.describedBy}
      size="md"
    />
  );
}
