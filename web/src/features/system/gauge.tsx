import { Group, Progress, Stack, Text } from "@mantine/core";

/**
 * One thing that fills up: its name, what is said of it, and a bar. `used` goes from 0 to 1; null draws no bar.
 * `isBusy`: full is nothing to warn of.
 */
export function Gauge(props: { name: string; said: string; used: number | null; isBusy?: boolean }) {
  const share = props.used === null ? null : Math.min(1, Math.max(0, props.used));
  const color = share === null || props.isBusy || share < 0.85 ? undefined : share < 0.95 ? "orange" : "red";
  return (
    <Stack gap={4}>
      <Group justify="space-between" gap="sm" wrap="nowrap">
        <Text size="sm" truncate>
          {props.name}
        </Text>
        <Text size="sm" c="dimmed" className="numbers" style={{ whiteSpace: "nowrap" }}>
          {props.said}
        </Text>
      </Group>
      {share !== null && <Progress value={100 * share} color={color} aria-label={props.name} size="sm" />}
    </Stack>
  );
}
