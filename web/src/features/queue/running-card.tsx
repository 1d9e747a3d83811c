import { Box, Group, Progress, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRunOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { JobShown } from "@/api/generated/types.gen";
import { serverUrl } from "@/api/setup";
import { count, duration, significant } from "@/shared/format";
import { doingWord, progressOf } from "@/shared/jobs";
import { AnchorLink, ButtonLink } from "@/shared/links";
import { Picture } from "@/shared/picture";
import { Section } from "@/shared/section";
import { Sparkline } from "./sparkline";
import { StopButtons } from "./stop-buttons";

/** A job that works: how far it is, the course of its loss, and its last picture. */
export function RunningCard(props: { job: JobShown }) {
  const { job } = props;
  const { data } = useQuery(getRunOptions({ path: { run_id: job.id } }));
  const sample = data?.facts.sample;
  const share = progressOf(job);
  const at = { to: "/runs/$runId", params: { runId: job.id } } as const;
  return (
    <Section
      title={job.name}
      about={`${doingWord(job)} on ${job.queue === "cpu" ? "the processor" : `GPU ${job.queue}`}`}
      actions={
        <>
          <StopButtons job={job} />
          <ButtonLink {...at} variant="light">
            Open
          </ButtonLink>
        </>
      }
    >
      <Group gap="lg" wrap="nowrap" align="stretch">
        <Stack gap="sm" flex={1} miw={0} justify="space-between">
          <Sparkline run={job.id} />
          <Stack gap={6}>
            <Progress
              value={100 * (share ?? 0)}
              aria-label={`Progress of ${job.name}`}
              striped={share === null}
              animated={share === null}
            />
            <Group gap="md" className="numbers">
              <Fact
                name="Step"
                value={job.total_steps ? `${count(job.step ?? 0)} of ${count(job.total_steps)}` : "–"}
              />
              <Fact name="Loss" value={significant(data?.facts.loss)} />
              <Fact name="Left" value={duration(job.eta_seconds)} />
            </Group>
          </Stack>
        </Stack>
        <Box w={{ base: 96, xs: 144 }} flex="none">
          <AnchorLink {...at} aria-label={`The last picture of ${job.name}`}>
            <Picture
              src={sample ? serverUrl(`/api/runs/${job.id}/samples/${encodeURIComponent(sample)}?size=256`) : null}
              alt={`The last picture of ${job.name}`}
            />
          </AnchorLink>
        </Box>
      </Group>
    </Section>
  );
}

function Fact(props: { name: string; value: string }) {
  return (
    <Text size="sm" style={{ whiteSpace: "nowrap" }}>
      <Text span inherit c="dimmed">
        {props.name}{" "}
      </Text>
      {props.value}
    </Text>
  );
}
