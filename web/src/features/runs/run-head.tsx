import { Alert, Anchor, Breadcrumbs, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Hourglass } from "lucide-react";
import { useState } from "react";
import { listJobsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { JobDetails, RunDetail } from "@/api/generated/types.gen";
import { useArchitectureTitles } from "@/shared/architectures";
import { ago, bytes, plural } from "@/shared/format";
import { isWaiting, isWorking } from "@/shared/jobs";
import { PageHead } from "@/shared/page-head";
import { isActive } from "@/shared/run-states";
import { StateBadge } from "@/shared/state-badge";
import { Failure } from "./failure";
import { PromptsDialog } from "./prompts-dialog";
import { secondsOf } from "./rows";
import { RunActions } from "./run-actions";
import { RunProgress } from "./run-progress";
import { statusOf } from "./status";
import { useJob } from "./use-job";

/** What the queue knows more of: on hold, paused, stopping, without an answer. */
function shownState(state: string, job: JobDetails | undefined): string {
  const says: readonly JobDetails["state"][] = ["held", "waiting", "paused", "stopping", "pausing", "unresponsive"];
  return job && says.includes(job.state) ? job.state : state;
}

/** The top of a run's page: what it is, how far it is, what can be done, and why it failed. */
export function RunHead({ run }: { run: RunDetail }) {
  const { facts } = run;
  const status = statusOf(run.status);
  const job = useJob(facts.id);
  const { data: jobs } = useQuery(listJobsOptions());
  const line = jobs?.filter((each) => each.queue === job?.queue && (isWaiting(each) || isWorking(each))) ?? [];
  const ahead = Math.max(
    0,
    line.findIndex((each) => each.id === facts.id),
  );
  const [isEditing, setEditing] = useState(false);
  const hasFailed = status.state === "failed" || status.state === "died";
  const state = shownState(status.state, job);
  const titleOf = useArchitectureTitles();
  const about = [titleOf(facts.architecture), facts.network, `begun ${ago(facts.created)}`];
  if (facts.bytes !== null) about.push(bytes(facts.bytes));
  return (
    <Stack gap="md">
      <Stack gap={4}>
        <Breadcrumbs fz="sm" separatorMargin="xs">
          <Anchor component={Link} to="/runs" size="sm">
            Runs
          </Anchor>
          <Text size="sm" c="dimmed" truncate>
            {facts.name}
          </Text>
        </Breadcrumbs>
        <PageHead
          title={facts.name}
          room="14rem"
          about={
            <Group gap="xs" mt={4}>
              <StateBadge state={state} />
              <Text size="sm" c="dimmed">
                {about.filter(Boolean).join(" · ")}
              </Text>
            </Group>
          }
          actions={<RunActions facts={facts} state={status.state} job={job} editPrompts={() => setEditing(true)} />}
        />
      </Stack>
      {hasFailed && (
        <Failure
          runId={facts.id}
          message={status.error ?? facts.error ?? "It ended without a word; the log may say more."}
          job={job}
        />
      )}
      {job && isWaiting(job) && (
        <Alert color="gray" icon={<Hourglass aria-hidden />}>
          {job.state === "held"
            ? "It is on hold: it begins when somebody releases it, on Home or in its menu."
            : `It waits for its turn${ahead ? ` behind ${plural(ahead, "other job")}` : ""}, on ${job.queue === "cpu" ? "the CPU" : `GPU ${job.queue}`}.`}
        </Alert>
      )}
      <RunProgress status={status} took={secondsOf(facts)} />
      {isActive(status.state) && <PromptsDialog runId={facts.id} opened={isEditing} close={() => setEditing(false)} />}
    </Stack>
  );
}
