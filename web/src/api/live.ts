import type { QueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { create } from "zustand";
import { type Connection, Follower } from "./follow";
import { listEvents, listRunEvents } from "./generated/sdk.gen";
import type { LiveEvent } from "./generated/types.gen";
import { applyEvents } from "./patch";
import { serverUrl } from "./setup";

/** How the server is heard of at the moment. */
export const useConnection = create<{ now: Connection }>()(() => ({ now: "connecting" }));

/** Keeps what is shown as the server has it. Called once; gives what ends it. */
export function startLive(queries: QueryClient): () => void {
  const begin = (after?: string) =>
    new Follower({
      address: () => socketUrl("/api/events"),
      ask: async (cursor, wait, signal) => (await listEvents({ query: { after: cursor, wait }, signal })).data,
      after,
      onEvents: (events) => applyEvents(queries, events),
      onConnection: (now) => {
        if (useConnection.getState().now === now) return;
        useConnection.setState({ now });
        // What failed while nobody answered is asked for again.
        if (now !== "disconnected")
          void queries.invalidateQueries({ predicate: (each) => each.state.status === "error" });
      },
    });
  let follower: Follower | null = null;
  let ended = false;
  // The cursor of now first, so that nothing falls between the pages' first answers and the socket's opening.
  listEvents({ query: { wait: 0 } })
    .then(({ data }) => data.cursor)
    .catch(() => undefined)
    .then((cursor) => {
      if (!ended) follower = begin(cursor);
    });
  return () => {
    ended = true;
    follower?.stop();
  };
}

export interface RunEventsOptions {
  /** Go on from this cursor: that of `GET /api/runs/{id}`. Left out: the present state, then what comes. */
  after?: string;
  /** Only these kinds; `resync` and `gone` always come. */
  kinds?: readonly string[];
  onGone?: () => void;
}

/** One run's events as they happen; `undefined` follows nothing. */
export function useRunEvents(
  id: string | undefined,
  onEvents: (events: LiveEvent[]) => void,
  options: RunEventsOptions = {},
): void {
  const latest = useRef({ onEvents, options });
  useEffect(() => {
    latest.current = { onEvents, options };
  });
  const kinds = options.kinds ? [...options.kinds, "gone"].join(" ") : "";
  // Only whether there is a cursor counts: the answer that gave it may come anew with a later one.
  const waits = "after" in options && options.after === undefined;
  useEffect(() => {
    if (id === undefined || waits) return;
    const chosen = kinds ? kinds.split(" ") : undefined;
    const follower = new Follower({
      address: () => socketUrl(`/api/jobs/${encodeURIComponent(id)}/events`),
      ask: async (after, wait, signal) =>
        (await listRunEvents({ path: { run_id: id }, query: { after, wait, kinds: chosen }, signal })).data,
      after: latest.current.options.after ?? "now",
      kinds: chosen,
      onEvents: (events) => latest.current.onEvents(events),
      onGone: () => latest.current.options.onGone?.(),
    });
    return () => follower.stop();
  }, [id, kinds, waits]);
}

function socketUrl(path: string): string {
  return `${window.location.protocol === "https:" ? "wss:" : "ws:"}//${window.location.host}${serverUrl(path)}`;
}
