import { Group, Progress, Stack, Text } from "@mantine/core";
import type { ReactNode } from "react";
import type { TaskReport } from "@/api/generated/types.gen";
import { count } from "@/shared/format";

/** How far work on many pictures is. */
export function TaskProgress(props: { task: TaskReport; what: string; action?: ReactNode }) {
  const { done } = props.task;
  const total = props.task.total ?? 0;
  return (
    <Stack gap={6} role="status">
      <Group justify="space-between" gap="sm">
        <Text size="sm">{props.what}</Text>
        <Group gap="sm">
          <Text size="sm" c="dimmed" className="numbers">
            {total > 0 ? `${count(done)} of ${count(total)}` : "Starting…"}
          </Text>
          {props.action}
        </Group>
      </Group>
      <Progress value={total > 0 ? (100 * done) / total : 0} aria-label={props.what} />
    </Stack>
  );
}
