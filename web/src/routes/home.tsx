import { Button, Grid, Paper, Skeleton, Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { createLazyRoute, Link } from "@tanstack/react-router";
import { Images, Play } from "lucide-react";
import { listDatasetsOptions, listJobsOptions, listRunsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { Checklist } from "@/features/overview/checklist";
import { DatasetsCard } from "@/features/overview/datasets-card";
import { RecentRuns } from "@/features/overview/recent-runs";
import { QueueCard } from "@/features/queue/queue-card";
import { RunningCard } from "@/features/queue/running-card";
import { SystemCard } from "@/features/system/system-card";
import { isWaiting, isWorking } from "@/shared/jobs";
import { PageHead } from "@/shared/page-head";
import { Empty, Failed } from "@/shared/states";

export const Route = createLazyRoute("/")({ component: Home });

function Home() {
  return (
    <Stack gap="lg">
      <PageHead
        title="Home"
        actions={
          <Button component={Link} to={"/train" as string} leftSection={<Play size={16} aria-hidden />}>
            Train a LoRA
          </Button>
        }
      />
      <Grid gap="lg">
        <Grid.Col span={{ base: 12, md: 8 }}>
          <Stack gap="lg">
            <Work />
            <RecentRuns />
            <DatasetsCard />
            <Nothing />
          </Stack>
        </Grid.Col>
        <Grid.Col span={{ base: 12, md: 4 }}>
          <Stack gap="lg">
            <Checklist />
            <SystemCard />
          </Stack>
        </Grid.Col>
      </Grid>
    </Stack>
  );
}

/** What works now, and what waits. */
function Work() {
  const { data, error, refetch } = useQuery(listJobsOptions());
  if (error && !data) return <Failed error={error} again={refetch} />;
  if (!data) return <Skeleton h={180} role="status" aria-label="Loading the jobs" />;
  return (
    <>
      {data.filter(isWorking).map((job) => (
        <RunningCard key={job.id} job={job} />
      ))}
      <QueueCard waiting={data.filter(isWaiting)} />
    </>
  );
}

/** An empty studio: what to do first. */
function Nothing() {
  const datasets = useQuery(listDatasetsOptions());
  const runs = useQuery(listRunsOptions({ query: { limit: 50, sort: "updated", descending: true } }));
  if (datasets.data?.datasets.length !== 0 || runs.data?.total !== 0) return null;
  return (
    <Paper withBorder>
      <Empty
        icon={Images}
        title="Begin with pictures"
        action={
          <Button component={Link} to={"/datasets" as string}>
            Choose pictures
          </Button>
        }
      >
        Drop a folder with pictures of what your LoRA shall learn anywhere in this window, or choose it.
      </Empty>
    </Paper>
  );
}
