import { Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { createLazyRoute } from "@tanstack/react-router";
import { useState } from "react";
import { getRunOptions } from "@/api/generated/@tanstack/react-query.gen";
import { problemOf } from "@/api/problem";
import { Gone } from "@/features/runs/gone";
import { useLiveRun } from "@/features/runs/live-run";
import { RunHead } from "@/features/runs/run-head";
import { SampleViewer } from "@/features/samples/sample-viewer";
import { RowSkeletons } from "@/shared/skeletons";
import { Failed } from "@/shared/states";
import type { RunSearch } from "./runs-search";
import { RunTabs } from "./runs-tabs";

export const Route = createLazyRoute("/runs/$runId")({ component: Page });

function Page() {
  const { runId } = Route.useParams();
  return <Run key={runId} runId={runId} />;
}

function Run({ runId }: { runId: string }) {
  const search = Route.useSearch();
  const navigate = Route.useNavigate();
  const { data: run, error, isPending, refetch } = useQuery(getRunOptions({ path: { run_id: runId } }));
  // Later answers have later cursors: the events go on from the first one.
  const [cursor, setCursor] = useState<string>();
  if (run && cursor === undefined) setCursor(run.cursor);
  const live = useLiveRun(runId, cursor);
  const change = (next: RunSearch) =>
    void navigate({ search: (before) => ({ ...before, ...next }), replace: true, resetScroll: false });
  const open = (tab: RunSearch["tab"]) =>
    void navigate({ search: (before) => ({ ...before, tab }), resetScroll: false });

  if (live.isGone) return <Gone wasHere />;
  if (error && problemOf(error).status === 404) return <Gone wasHere={run !== undefined} />;
  if (isPending) return <RowSkeletons what="the run" rows={4} height={110} />;
  if (!run) return <Failed error={error} again={refetch} />;
  return (
    <Stack gap="md">
      {error && <Failed error={error} again={refetch} />}
      <RunHead run={run} />
      <RunTabs run={run} live={live} search={search} change={change} open={open} />
      <SampleViewer runId={runId} search={search} onChange={change} />
    </Stack>
  );
}
