import { Button, Stack, Text, Tooltip } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Pause, Play } from "lucide-react";
import {
  listQueuesOptions,
  listQueuesQueryKey,
  pauseQueueMutation,
  startQueueMutation,
} from "@/api/generated/@tanstack/react-query.gen";
import type { JobShown } from "@/api/generated/types.gen";
import { plural } from "@/shared/format";
import { Section } from "@/shared/section";
import { QueueRow } from "./queue-row";

/** Jobs that wait, in their order. Not there while none waits. */
export function QueueCard(props: { waiting: readonly JobShown[] }) {
  const queries = useQueryClient();
  const { data: queues = [] } = useQuery(listQueuesOptions());
  const onSettled = () => queries.invalidateQueries({ queryKey: listQueuesQueryKey() });
  const pause = useMutation({ ...pauseQueueMutation(), onSettled });
  const start = useMutation({ ...startQueueMutation(), onSettled });
  const { waiting } = props;
  const names = [...new Set(waiting.map((job) => job.queue))];
  if (waiting.length === 0 && !queues.some((queue) => queue.paused)) return null;
  const paused = queues.filter((queue) => queue.paused);
  const toggle = () => {
    if (paused.length > 0) for (const { name } of paused) start.mutate({ path: { name } });
    else for (const name of names) pause.mutate({ path: { name } });
  };
  return (
    <Section
      title="Queue"
      about={paused.length > 0 ? "Paused: nothing new begins." : `${plural(waiting.length, "job")} in line`}
      actions={
        <Tooltip label={paused.length > 0 ? "Let jobs begin again" : "What works goes on; nothing new begins"}>
          <Button
            variant="default"
            size="xs"
            leftSection={paused.length > 0 ? <Play size={14} aria-hidden /> : <Pause size={14} aria-hidden />}
            onClick={toggle}
            loading={pause.isPending || start.isPending}
          >
            {paused.length > 0 ? "Start the queue" : "Pause the queue"}
          </Button>
        </Tooltip>
      }
    >
      <Stack gap={0} component="ol" m={0} p={0} style={{ listStyle: "none" }}>
        {waiting.map((job) => {
          const line = waiting.filter((each) => each.queue === job.queue);
          const place = line.indexOf(job);
          return (
            <QueueRow
              key={job.id}
              job={job}
              place={place + 1}
              before={line[place - 1]}
              after={line[place + 1]}
              showsQueue={names.length > 1}
            />
          );
        })}
      </Stack>
      {waiting.length === 0 && (
        <Text size="sm" c="dimmed">
          No job waits.
        </Text>
      )}
    </Section>
  );
}
