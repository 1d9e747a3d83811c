import { notifications } from "@mantine/notifications";
import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useCallback, useMemo, useState } from "react";
import {
  getJobQueryKey,
  getRunQueryKey,
  listRunCheckpointsQueryKey,
  listRunExportsQueryKey,
  listRunFilesQueryKey,
  listRunMetricsQueryKey,
  listRunSamplesQueryKey,
} from "@/api/generated/@tanstack/react-query.gen";
import type { LiveEvent, RunDetail } from "@/api/generated/types.gen";
import { useRunEvents } from "@/api/live";
import { markStale } from "@/api/stale";
import { takeEvent, useRetry } from "@/charts/live-numbers";
import { RunNumbers } from "@/charts/run-numbers";

/** What another run's page must not get: everything that belongs to one run and is not in the query cache. */
export interface LiveRun {
  numbers: RunNumbers;
  isGone: boolean;
}

/** Keeps everything of a run as it is while it works. Begins when the first answer about it is there. */
export function useLiveRun(runId: string, cursor: string | undefined): LiveRun {
  const queries = useQueryClient();
  const numbers = useMemo(() => new RunNumbers(runId), [runId]);
  const [isGone, setGone] = useState(false);
  const all = useMemo(() => [numbers], [numbers]);
  useRetry(all);
  const take = useCallback(
    (events: LiveEvent[]) => {
      for (const event of events) {
        takeEvent(numbers, event);
        if (event.kind === "gone") setGone(true);
        else if (event.kind === "resync") resync(queries, runId, event);
        else if (event.kind !== "metrics") apply(queries, runId, event);
      }
    },
    [queries, numbers, runId],
  );
  useRunEvents(isGone ? undefined : runId, take, { after: cursor, kinds: KINDS, onGone: () => setGone(true) });
  return { numbers, isGone };
}

/** After these events something else must be asked for anew. Its own page asks for the log. */
const STALE: Record<string, readonly ((options: { path: { run_id: string } }) => readonly unknown[])[]> = {
  samples: [listRunSamplesQueryKey, listRunFilesQueryKey],
  export: [listRunExportsQueryKey, listRunFilesQueryKey],
  checkpoint: [listRunCheckpointsQueryKey, listRunFilesQueryKey],
  deleted: [listRunExportsQueryKey, listRunCheckpointsQueryKey, listRunFilesQueryKey],
  rewound: [listRunSamplesQueryKey, listRunExportsQueryKey, listRunCheckpointsQueryKey, listRunFilesQueryKey],
  alpha_phase: [],
  validation: [listRunMetricsQueryKey],
  finished: [listRunExportsQueryKey, listRunFilesQueryKey],
};

const KINDS = [...Object.keys(STALE), "state", "progress", "metrics", "request_answered", "sample_failed"];

/** What somebody asked of the run was not done, or a sample failed: he is told why. Success shows by itself. */
function tell({ kind, data }: LiveEvent): void {
  const failed = kind === "sample_failed" || (kind === "request_answered" && data?.ok === false);
  const message = typeof data?.message === "string" ? data.message : "The log says more.";
  if (!failed) return;
  const title = kind === "sample_failed" ? "A sample failed" : "The run could not do that";
  notifications.show({ id: `${kind} ${message}`, color: "red", title, message, autoClose: 10_000 });
}

function apply(queries: QueryClient, runId: string, event: LiveEvent): void {
  tell(event);
  const path = { path: { run_id: runId } };
  if (event.kind === "state" || event.kind === "progress") {
    queries.setQueryData<RunDetail>(getRunQueryKey(path), (run) => run && { ...run, status: event.data ?? {} });
    if (event.kind === "state") {
      void markStale(queries, { queryKey: getRunQueryKey(path) });
      void markStale(queries, { queryKey: getJobQueryKey({ path: { job_id: runId } }) });
      void markStale(queries, { queryKey: listRunMetricsQueryKey(path) });
    }
  }
  for (const key of STALE[event.kind] ?? []) void markStale(queries, { queryKey: key(path) });
}

function resync(queries: QueryClient, runId: string, event: LiveEvent): void {
  const sources = Array.isArray(event.data?.sources) ? event.data.sources : [];
  if (sources.length > 0 && sources.every((source) => source === "metrics")) return;
  const own = (each: { queryKey: readonly unknown[] }) => JSON.stringify(each.queryKey).includes(runId);
  void markStale(queries, { predicate: own });
}
