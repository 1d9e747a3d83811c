import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useState } from "react";
import {
  getRunQueryKey,
  listRunMetricsQueryKey,
  listRunSamplesQueryKey,
} from "@/api/generated/@tanstack/react-query.gen";
import type { LiveEvent } from "@/api/generated/types.gen";
import { useRunEvents } from "@/api/live";
import { markStale } from "@/api/stale";
import { takeEvent } from "@/charts/live-numbers";
import { isActive } from "@/shared/run-states";
import type { ComparedRun } from "./compared";

const KINDS = ["metrics", "samples", "state", "rewound"];

/**
 * Keeps a run's curves and samples as they are while it works. One that rests is not listened to: a browser has few
 * connections where WebSockets are broken, and the list of all runs says when it begins to work again.
 */
export function FollowRun({ run }: { run: ComparedRun }) {
  const { id, numbers } = run;
  const queries = useQueryClient();
  const works = isActive(run.detail.facts.state);
  // Later answers have later cursors: the events go on from the first one.
  const [cursor] = useState(run.detail.cursor);
  const take = useCallback(
    (events: LiveEvent[]) => {
      const path = { path: { run_id: id } };
      for (const event of events) {
        takeEvent(numbers, event);
        if (event.kind === "metrics") continue;
        void markStale(queries, { queryKey: listRunSamplesQueryKey(path) });
        void markStale(queries, { queryKey: listRunMetricsQueryKey(path) });
        if (event.kind === "gone") void markStale(queries, { queryKey: getRunQueryKey(path) });
      }
    },
    [queries, numbers, id],
  );
  useRunEvents(works ? id : undefined, take, { after: cursor, kinds: KINDS });
  // The last numbers may come after the word that it has ended.
  useEffect(() => {
    if (works) return () => void numbers.again();
  }, [works, numbers]);
  return null;
}
