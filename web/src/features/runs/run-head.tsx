import { Anchor, Breadcrumbs, Group, Stack, Text } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { RunDetail } from "@/api/generated/types.gen";
import { ago, bytes } from "@/shared/format";
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

/** The top of a run's page: what it is, how far it is, what can be done, and why it failed. */
export function RunHead({ run }: { run: RunDetail }) {
  const { facts } = run;
  const status = statusOf(run.status);
  const job = useJob(facts.id);
  const [isEditing, setEditing] = useState(false);
  const hasFailed = status.state === "failed" || status.state === "died";
  const about = [facts.architecture, facts.network, `begun ${ago(facts.created)}`];
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
          about={
            <Group gap="xs" mt={4}>
              <StateBadge state={status.state} />
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
      <RunProgress status={status} took={secondsOf(facts)} />
      {isActive(status.state) && <PromptsDialog runId={facts.id} opened={isEditing} close={() => setEditing(false)} />}
    </Stack>
  );
}
