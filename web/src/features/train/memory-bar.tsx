import { Group, Stack, Text, Tooltip } from "@mantine/core";
import { memory } from "@/shared/format";
import classes from "./train.module.css";

/** One phase of a run: how much of the card it takes, with its parts in the tip. */
export function MemoryBar(props: { phase: string; parts: Record<string, number>; most: number; limit: number | null }) {
  const { total = 0, ...parts } = props.parts;
  const scale = (value: number) => `${Math.min(100, (100 * value) / Math.max(1, props.most))}%`;
  const isOver = props.limit !== null && total > props.limit;
  const biggest = Object.entries(parts).sort(([, a], [, b]) => b - a);
  return (
    <Tooltip
      multiline
      w={240}
      events={{ hover: true, focus: true, touch: true }}
      label={biggest.map(([name, value]) => (
        <Group key={name} justify="space-between" gap="xs">
          <span>{name}</span>
          <span className="numbers">{memory(value)}</span>
        </Group>
      ))}
    >
      <Stack gap={2} tabIndex={0} role="group" aria-label={`${props.phase}: ${memory(total)}`}>
        <Group justify="space-between" gap="xs">
          <Text size="xs">{props.phase.charAt(0).toUpperCase() + props.phase.slice(1)}</Text>
          <Text size="xs" className="numbers" c={isOver ? "var(--said-error)" : "dimmed"}>
            {memory(total)}
          </Text>
        </Group>
        <div className={classes.memory}>
          <span
            style={{
              width: scale(total),
              background: isOver ? "var(--mantine-color-red-filled)" : "var(--mantine-primary-color-filled)",
            }}
          />
          {props.limit !== null && props.limit < props.most && (
            <i className={classes.limit} style={{ left: scale(props.limit) }} />
          )}
        </div>
      </Stack>
    </Tooltip>
  );
}
