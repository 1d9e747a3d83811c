import type { RunDetail } from "@/api/generated/types.gen";
import type { RunNumbers } from "@/charts/run-numbers";

/** So many at once: as many as there are colours that can be told apart. */
export const MOST_RUNS = 8;

/** A run beside others. */
export interface ComparedRun {
  id: string;
  label: string;
  color: string;
  detail: RunDetail;
  numbers: RunNumbers;
}
