import { Text } from "@mantine/core";
import type { WidgetProps } from "../context";
import { shown } from "../words";

/** There is one value only. */
export function FixedWidget(props: WidgetProps) {
  return (
    <Text id={props.id} size="sm" c="dimmed" py={7}>
      {shown(props.value)}
    </Text>
  );
}
