import { ActionIcon, Group, Menu, Text, Tooltip } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { ArrowDown, ArrowUp, ArrowUpToLine, Check, EllipsisVertical, Pause, Play, Trash2 } from "lucide-react";
import {
  changeJobMutation,
  holdJobMutation,
  listJobsQueryKey,
  moveJobMutation,
  releaseJobMutation,
} from "@/api/generated/@tanstack/react-query.gen";
import { deleteJob } from "@/api/generated/sdk.gen";
import type { JobShown } from "@/api/generated/types.gen";
import { askDelete } from "@/shared/delete-dialog";
import { ago } from "@/shared/format";
import { AnchorLink } from "@/shared/links";
import { StateBadge } from "@/shared/state-badge";
import classes from "./queue-row.module.css";

/** The order goes by priority first, then by place. */
const PRIORITIES = [
  { label: "High", value: 10 },
  { label: "Usual", value: 0 },
  { label: "Low", value: -10 },
];

/** A job that waits: its place, and what can be done with it. `before` and `after`: its neighbours in its queue. */
export function QueueRow(props: {
  job: JobShown;
  place: number;
  before: JobShown | undefined;
  after: JobShown | undefined;
  showsQueue: boolean;
}) {
  const { job, before, after } = props;
  const queries = useQueryClient();
  const onSettled = () => queries.invalidateQueries({ queryKey: listJobsQueryKey() });
  const move = useMutation({ ...moveJobMutation(), onSettled });
  const hold = useMutation({ ...holdJobMutation(), onSettled });
  const release = useMutation({ ...releaseJobMutation(), onSettled });
  const change = useMutation({ ...changeJobMutation(), onSettled });
  const path = { job_id: job.id };
  const rank = 10 * Math.sign(job.priority);
  const held = job.state === "held";
  const remove = () =>
    askDelete({
      what: `the job ${job.name}`,
      remove: async () => {
        const { data } = await deleteJob({ path });
        await onSettled();
        return data ? [data.id] : [];
      },
      onRestored: onSettled,
    });
  return (
    <Group component="li" className={classes.row} gap="sm" wrap="nowrap">
      <Text size="sm" c="dimmed" className="numbers" w="1.25rem" ta="right">
        {props.place}
      </Text>
      <AnchorLink to="/runs/$runId" params={{ runId: job.id }} c="inherit" size="sm" fw={550} truncate flex={1} miw={0}>
        {job.name}
      </AnchorLink>
      {props.showsQueue && (
        <Text size="sm" c="dimmed">
          {job.queue}
        </Text>
      )}
      <Text size="sm" c="dimmed" visibleFrom="md" style={{ whiteSpace: "nowrap" }}>
        {ago(job.created)}
      </Text>
      {rank !== 0 && (
        <Text size="sm" c="dimmed" style={{ whiteSpace: "nowrap" }}>
          {rank > 0 ? "High priority" : "Low priority"}
        </Text>
      )}
      {held && <StateBadge state="held" />}
      <Group gap={2} wrap="nowrap">
        <Tooltip label="Earlier">
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label={`${job.name} earlier`}
            disabled={!before || move.isPending}
            onClick={() => before && move.mutate({ path, body: { before: before.id } })}
          >
            <ArrowUp size={16} aria-hidden />
          </ActionIcon>
        </Tooltip>
        <Tooltip label="Later">
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label={`${job.name} later`}
            disabled={!after || move.isPending}
            onClick={() => after && move.mutate({ path, body: { after: after.id } })}
          >
            <ArrowDown size={16} aria-hidden />
          </ActionIcon>
        </Tooltip>
        <Tooltip label={held ? "Let it wait for its turn" : "Hold: it does not begin until released"}>
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label={held ? `Release ${job.name}` : `Hold ${job.name}`}
            onClick={() => (held ? release : hold).mutate({ path })}
          >
            {held ? <Play size={16} aria-hidden /> : <Pause size={16} aria-hidden />}
          </ActionIcon>
        </Tooltip>
        <Menu position="bottom-end" shadow="md">
          <Menu.Target>
            <ActionIcon variant="subtle" color="gray" aria-label={`More for ${job.name}`}>
              <EllipsisVertical size={16} aria-hidden />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item
              leftSection={<ArrowUpToLine size={16} aria-hidden />}
              disabled={!before}
              onClick={() => move.mutate({ path, body: {} })}
            >
              To the front
            </Menu.Item>
            <Menu.Label>Priority</Menu.Label>
            {PRIORITIES.map(({ label, value }) => (
              <Menu.Item
                key={label}
                leftSection={
                  <Check size={16} aria-hidden style={{ visibility: value === rank ? undefined : "hidden" }} />
                }
                aria-current={value === rank || undefined}
                onClick={() => change.mutate({ path, body: { priority: value } })}
              >
                {label}
              </Menu.Item>
            ))}
            <Menu.Divider />
            <Menu.Item c="var(--said-error)" leftSection={<Trash2 size={16} aria-hidden />} onClick={remove}>
              Delete…
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
      </Group>
    </Group>
  );
}
