import { Group, SimpleGrid, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { listRunsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { Facts } from "@/api/generated/types.gen";
import { serverUrl } from "@/api/setup";
import { ago, significant } from "@/shared/format";
import { AnchorLink } from "@/shared/links";
import { Picture } from "@/shared/picture";
import { Section } from "@/shared/section";
import { CardSkeletons } from "@/shared/skeletons";
import { StateBadge } from "@/shared/state-badge";
import { Failed } from "@/shared/states";
import classes from "./cards.module.css";
import { LAST_RUNS } from "./last-runs";

const SHOWN = 4;

/** The last runs, each with its last picture. */
export function RecentRuns() {
  const query = useQuery(listRunsOptions(LAST_RUNS));
  // Those that wait are in the queue above.
  const runs = query.data?.runs.filter((run) => run.state !== "queued").slice(0, SHOWN);
  if (runs?.length === 0) return null;
  return (
    <Section
      title="Last runs"
      actions={
        <AnchorLink to="/runs" size="sm">
          All runs
        </AnchorLink>
      }
    >
      {runs ? (
        <SimpleGrid cols={{ base: 2, xs: 4 }} spacing="md">
          {runs.map((run) => (
            <Run key={run.id} run={run} />
          ))}
        </SimpleGrid>
      ) : query.error ? (
        <Failed error={query.error} again={query.refetch} />
      ) : (
        <CardSkeletons what="the last runs" cards={4} cols={{ base: 2, xs: 4 }} height={190} />
      )}
    </Section>
  );
}

function Run(props: { run: Facts }) {
  const { run } = props;
  return (
    <Link to="/runs/$runId" params={{ runId: run.id }} className={classes.card}>
      <Picture
        src={run.sample ? serverUrl(`/api/runs/${run.id}/samples/${encodeURIComponent(run.sample)}?size=256`) : null}
        alt=""
      />
      <Stack gap={4} mt="xs">
        <Text size="sm" fw={550} truncate>
          {run.name}
        </Text>
        <Group gap="xs" justify="space-between">
          <StateBadge state={run.state} />
          <Text size="xs" c="dimmed" className="numbers">
            {run.loss === null ? "" : `loss ${significant(run.loss)}`}
          </Text>
        </Group>
        <Text size="xs" c="dimmed">
          {ago(run.updated)}
        </Text>
      </Stack>
    </Link>
  );
}
