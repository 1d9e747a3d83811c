import { useDraft, writeDraft } from "@/shared/draft";
import type { Operation } from "./operations";

/** An operation that is being filled in. */
export interface Filled {
  id: number;
  operation: Operation;
}

const VERSION = 1;

export function useOperations(datasetId: string) {
  return useDraft<Filled[]>(`bulk:${datasetId}`, VERSION, []);
}

/** What the page of edits begins with, when another place leads there. */
export function beginWith(datasetId: string, operation: Operation): void {
  writeDraft(`bulk:${datasetId}`, VERSION, [{ id: 1, operation }] satisfies Filled[]);
}
