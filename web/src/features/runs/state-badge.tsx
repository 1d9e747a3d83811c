import { Badge } from "@mantine/core";
import { stateWords } from "@/shared/run-states";

export function StateBadge({ state }: { state: string }) {
  const { label, color } = stateWords(state);
  return (
    <Badge variant="light" color={color} autoContrast radius="sm" tt="none" fw={600} style={{ flex: "none" }}>
      {label}
    </Badge>
  );
}
