import { Grid, Skeleton, Stack } from "@mantine/core";
import { useQueries, useQuery } from "@tanstack/react-query";
import { createLazyRoute, useNavigate } from "@tanstack/react-router";
import { Play } from "lucide-react";
import {
  hardwareReportOptions,
  listDatasetsOptions,
  listJobsOptions,
  listQueuesOptions,
  listRunsOptions,
  systemOptions,
} from "@/api/generated/@tanstack/react-query.gen";
import { Begin } from "@/features/overview/begin";
import { Checklist } from "@/features/overview/checklist";
import { DatasetsCard } from "@/features/overview/datasets-card";
import { LAST_RUNS } from "@/features/overview/last-runs";
import { RecentRuns } from "@/features/overview/recent-runs";
import { QueueCard } from "@/features/queue/queue-card";
import { RestingCard } from "@/features/queue/resting-card";
import { RunningCard } from "@/features/queue/running-card";
import { SystemCard } from "@/features/system/system-card";
import { offerDropped } from "@/shared/dropped";
import { isWaiting, isWorking } from "@/shared/jobs";
import { ButtonLink } from "@/shared/links";
import { PageHead } from "@/shared/page-head";
import { Failed } from "@/shared/states";

export const Route = createLazyRoute("/")({ component: Home });

/** All of them are waited for, so that what comes late pushes nothing away. */
const FIRST = [
  listJobsOptions(),
  listQueuesOptions(),
  listDatasetsOptions(),
  listRunsOptions(LAST_RUNS),
  hardwareReportOptions(),
  systemOptions(),
];

function Home() {
  const answers = useQueries({ queries: FIRST as { queryKey: readonly unknown[] }[] });
  const isReady = answers.every((each) => !each.isPending);
  return (
    <Stack gap="lg">
      <PageHead
        title="Home"
        actions={
          <ButtonLink to="/train" leftSection={<Play size={16} aria-hidden />}>
            Train a LoRA
          </ButtonLink>
        }
      />
      <Grid gap="lg">
        <Grid.Col span={{ base: 12, md: 8 }}>
          {isReady ? (
            <Stack gap="lg">
              <Work />
              <RecentRuns />
              <DatasetsCard />
              <Nothing />
            </Stack>
          ) : (
            <Skeleton h="22rem" role="status" aria-label="Loading runs and datasets" />
          )}
        </Grid.Col>
        <Grid.Col span={{ base: 12, md: 4 }}>
          {isReady ? (
            <Stack gap="lg">
              <Checklist />
              <SystemCard />
            </Stack>
          ) : (
            <Skeleton h="22rem" visibleFrom="md" aria-hidden />
          )}
        </Grid.Col>
      </Grid>
    </Stack>
  );
}

/** What works now, what waits, and what waits for somebody. */
function Work() {
  const { data, error, refetch } = useQuery(listJobsOptions());
  if (error && !data) return <Failed error={error} again={refetch} />;
  if (!data) return null;
  return (
    <>
      {data.filter(isWorking).map((job) => (
        <RunningCard key={job.id} job={job} />
      ))}
      <QueueCard waiting={data.filter(isWaiting)} />
      <RestingCard jobs={data} />
    </>
  );
}

function Nothing() {
  const navigate = useNavigate();
  const datasets = useQuery(listDatasetsOptions());
  const runs = useQuery(listRunsOptions(LAST_RUNS));
  if (datasets.data?.datasets.length !== 0 || runs.data?.total !== 0) return null;
  return (
    <Begin
      add={(files) => {
        offerDropped(Promise.resolve(files));
        void navigate({ to: "/datasets" });
      }}
    />
  );
}
