import { Button, Group, Stack, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Play, RotateCcw } from "lucide-react";
import { listJobsQueryKey, resumeJobMutation } from "@/api/generated/@tanstack/react-query.gen";
import type { JobShown } from "@/api/generated/types.gen";
import { AnchorLink } from "@/shared/links";
import { Section } from "@/shared/section";
import { StateBadge } from "@/shared/state-badge";
import classes from "./queue-row.module.css";

const SHOWN = 3;
const RECENT_MS = 3 * 86_400_000;

/** Jobs that were paused, and those that failed of late: they wait for somebody. */
export function restingOf(jobs: readonly JobShown[], now: number = Date.now()): JobShown[] {
  return jobs
    .filter(
      (job) =>
        job.state === "paused" || (job.state === "failed" && now - Date.parse(job.launched ?? job.created) < RECENT_MS),
    )
    .slice(0, SHOWN);
}

export function RestingCard(props: { jobs: readonly JobShown[] }) {
  const resting = restingOf(props.jobs);
  if (resting.length === 0) return null;
  return (
    <Section title="Waiting for you" about="These do not go on by themselves.">
      <Stack gap={0} component="ul" m={0} p={0} style={{ listStyle: "none" }}>
        {resting.map((job) => (
          <Row key={job.id} job={job} />
        ))}
      </Stack>
    </Section>
  );
}

function Row({ job }: { job: JobShown }) {
  const queries = useQueryClient();
  const onSettled = () => queries.invalidateQueries({ queryKey: listJobsQueryKey() });
  const resume = useMutation({ ...resumeJobMutation(), onSettled });
  const isPaused = job.state === "paused";
  const Icon = isPaused ? Play : RotateCcw;
  const word = isPaused ? "Resume" : "Try again";
  return (
    <Group component="li" className={classes.row} gap="sm" wrap="nowrap">
      <Stack gap={0} flex={1} miw={0}>
        <AnchorLink to="/runs/$runId" params={{ runId: job.id }} c="inherit" size="sm" fw={550} truncate>
          {job.name}
        </AnchorLink>
        {job.cause && (
          <Text size="xs" c="dimmed" lineClamp={2}>
            {job.cause.message}
          </Text>
        )}
      </Stack>
      <StateBadge state={job.state} />
      <Button
        variant="default"
        size="xs"
        leftSection={<Icon size={14} aria-hidden />}
        loading={resume.isPending}
        onClick={() => resume.mutate({ path: { job_id: job.id }, body: {} })}
        aria-label={`${word}: ${job.name}`}
      >
        {word}
      </Button>
    </Group>
  );
}
