import type { QueryClient } from "@tanstack/react-query";
import {
  getRunQueryKey,
  listJobsQueryKey,
  listQueuesQueryKey,
  listRunsQueryKey,
  listTasksQueryKey,
  listTokensQueryKey,
  readTheSettingsQueryKey,
} from "./generated/@tanstack/react-query.gen";
import type { Facts, LiveEvent, RunDetail, RunList } from "./generated/types.gen";
import { askAgain } from "./of-dataset";
import { markStale } from "./stale";

/** What the server's events mean for what is shown. Keys match every query of that operation, whatever its filters. */
export function applyEvents(queries: QueryClient, events: readonly LiveEvent[]): void {
  const stale = new Set<string>();
  const changed = new Set<string>();
  for (const event of events) {
    if (event.kind === "resync") {
      void markStale(queries);
      return;
    }
    if (event.kind === "run") patchRun(queries, event.data as unknown as Facts, stale);
    else if (event.kind === "dataset") changed.add(String(event.data?.id));
    else for (const id of STALE_AFTER[event.kind] ?? []) stale.add(id);
    if (event.kind === "run_gone" && typeof event.data?.id === "string") {
      void markStale(queries, { queryKey: getRunQueryKey({ path: { run_id: event.data.id } }) });
    }
  }
  for (const id of stale) void markStale(queries, { queryKey: [{ _id: id }] });
  for (const id of changed) void askAgain(queries, id);
}

const RUNS = listRunsQueryKey()[0]._id;
const JOBS = listJobsQueryKey()[0]._id;

/** Which queries are asked again after an event. */
const STALE_AFTER: Record<string, readonly string[]> = {
  run_gone: [RUNS, JOBS],
  queue: [JOBS, "getJob", listQueuesQueryKey()[0]._id],
  task: [listTasksQueryKey()[0]._id, "getTask"],
  settings: [readTheSettingsQueryKey()[0]._id, listTokensQueryKey()[0]._id],
};

/** The event holds what the list shows of a run, so most changes need no question. */
function patchRun(queries: QueryClient, facts: Facts, stale: Set<string>): void {
  // Not what runs on: with filters and sorting only the server knows whether a run that is new here belongs in a list.
  for (const [key, list] of queries.getQueriesData<RunList>({ queryKey: [{ _id: RUNS }] })) {
    const before = list?.runs.find((run) => run.id === facts.id);
    if (!list || before?.state !== facts.state) {
      stale.add(RUNS);
      continue;
    }
    queries.setQueryData<RunList>(key, {
      ...list,
      runs: list.runs.map((run) => (run.id === facts.id ? facts : run)),
    });
  }
  queries.setQueryData<RunDetail>(getRunQueryKey({ path: { run_id: facts.id } }), (run) => run && { ...run, facts });
  stale.add(JOBS);
}
