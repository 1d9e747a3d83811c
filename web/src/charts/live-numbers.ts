import { useEffect } from "react";
import type { LiveEvent } from "@/api/generated/types.gen";
import { useConnection } from "@/api/live";
import type { RunNumbers } from "./run-numbers";

/** What a run's event means for its numbers. */
export function takeEvent(numbers: RunNumbers, event: LiveEvent): void {
  if (event.kind === "metrics") {
    const lines = event.data?.lines;
    if (Array.isArray(lines)) numbers.append(lines as Record<string, unknown>[]);
  } else if (event.kind === "resync") {
    const sources = Array.isArray(event.data?.sources) ? event.data.sources : [];
    if (sources.includes("metrics") || sources.includes("server")) void numbers.again();
  }
}

/** Numbers that could not be had while nobody answered are asked for again when somebody does. */
export function useRetry(all: readonly RunNumbers[]): void {
  const now = useConnection((state) => state.now);
  useEffect(() => {
    if (now === "connected" || now === "polling") for (const numbers of all) numbers.retry();
  }, [now, all]);
}
