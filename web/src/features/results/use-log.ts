import { useCallback, useEffect, useRef, useState } from "react";
import { readRunLog } from "@/api/generated/sdk.gen";
import { useConnection, useRunEvents } from "@/api/live";
import { problemOf } from "@/api/problem";

const PAGE = 500;
/** After this many lines the oldest ones go; scrolling up brings them back. */
const KEPT = 50_000;
/** Far away from zero: lines are put before the first one. */
const FIRST = 1_000_000_000;

export interface LogState {
  lines: string[];
  /** The number of the first line, for a list that grows at both ends. */
  first: number;
  hasMore: boolean;
  isLoading: boolean;
  error: unknown;
  earlier: () => void;
  again: () => void;
}

interface Lines {
  lines: string[];
  first: number;
  before: string | null;
  after: string;
}

/** The log of a run from its end, and what comes. An event says that there is more; the cursor gets exactly that. */
export function useLog(runId: string): LogState {
  const [state, setState] = useState<Lines | null>(null);
  const [error, setError] = useState<unknown>(null);
  const kept = useRef<Lines | null>(null);
  const busy = useRef(false);
  const missed = useRef(false);
  const show = useCallback((next: Lines | null) => {
    kept.current = next;
    setState(next);
  }, []);

  const again = useCallback(async () => {
    busy.current = true;
    try {
      const { data } = await readRunLog({ path: { run_id: runId }, query: { lines: PAGE } });
      show({ ...data, first: FIRST });
      setError(null);
    } catch (thrown) {
      setError(thrown);
    } finally {
      busy.current = false;
    }
  }, [runId, show]);

  const follow = useCallback(async () => {
    if (busy.current) {
      missed.current = true; // whoever is busy looks afterwards
      return;
    }
    if (!kept.current) return;
    busy.current = true;
    try {
      do {
        missed.current = false;
        const { data } = await readRunLog({
          path: { run_id: runId },
          query: { lines: 5000, after: kept.current.after },
        });
        const lines = [...kept.current.lines, ...data.lines];
        const surplus = Math.max(0, lines.length - KEPT);
        show({ ...kept.current, lines: lines.slice(surplus), first: kept.current.first + surplus, after: data.after });
      } while (missed.current);
      setError(null);
    } catch (thrown) {
      if (problemOf(thrown).code === "stale_cursor")
        await again(); // the log was begun anew
      else missed.current = true; // nobody answered: when somebody does, it goes on here
    } finally {
      busy.current = false;
    }
  }, [runId, show, again]);

  const earlier = useCallback(async () => {
    const now = kept.current;
    if (!now?.before || busy.current) return;
    busy.current = true;
    try {
      const { data } = await readRunLog({ path: { run_id: runId }, query: { lines: PAGE, before: now.before } });
      show({ ...now, lines: [...data.lines, ...now.lines], first: now.first - data.lines.length, before: data.before });
    } catch (thrown) {
      setError(thrown);
    } finally {
      busy.current = false;
      if (missed.current) void follow();
    }
  }, [runId, show, follow]);

  useEffect(() => {
    show(null);
    void again().then(() => (missed.current ? follow() : undefined));
  }, [again, follow, show]);
  const connection = useConnection((state) => state.now);
  useEffect(() => {
    if (connection !== "connected" && connection !== "polling") return;
    if (!kept.current && !busy.current) void again();
    else if (missed.current) void follow();
  }, [connection, again, follow]);
  useRunEvents(runId, () => void follow(), { kinds: ["log"] });

  return {
    lines: state?.lines ?? [],
    first: state?.first ?? FIRST,
    hasMore: state?.before != null,
    isLoading: state === null && error === null,
    error,
    earlier,
    again,
  };
}
