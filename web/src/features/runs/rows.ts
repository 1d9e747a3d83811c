import type { Facts } from "@/api/generated/types.gen";
import type { RunsSearch } from "./search";

/** What the table and the cards of runs get. */
export interface RowsProps {
  runs: readonly Facts[];
  search: RunsSearch;
  onChange: (change: RunsSearch) => void;
  picked: readonly string[];
  pick: (id: string, isPicked: boolean) => void;
}

/** Seconds from its last start to its last word. */
export function secondsOf(run: Facts): number | null {
  return run.started === null || run.state === "queued"
    ? null
    : (Date.parse(run.updated) - Date.parse(run.started)) / 1000;
}

/** Steps per second, or the other way round where one takes longer. */
export function speedText(perSecond: number | null): string {
  if (!perSecond) return "–";
  return perSecond >= 1 ? `${perSecond.toFixed(2)} steps/s` : `${(1 / perSecond).toFixed(2)} s/step`;
}

/** "Steps 20 of 80" in short; nothing before the first one. */
export function shareOf(run: Facts): number | null {
  return run.step === null || !run.total_steps ? null : run.step / run.total_steps;
}
