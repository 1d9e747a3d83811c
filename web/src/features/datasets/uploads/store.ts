import { create } from "zustand";
import { persist } from "zustand/middleware";

export type RowState = "waiting" | "sending" | "paused" | "retrying" | "done" | "clash" | "failed";

/** One file on its way. */
export interface Row {
  id: string;
  path: string;
  bytes: number;
  sent: number;
  state: RowState;
  isArchive: boolean;
  /** What is wrong, in a sentence. */
  problem: string | null;
  /** Whether sending it again as it is can help. */
  canRetry: boolean;
}

export interface Sending {
  rows: readonly Row[];
  paused: boolean;
  /** Why nothing is sent until somebody has done something about it. */
  halted: string | null;
  /** Why nothing is sent until the server answers again. */
  waits: string | null;
  /** Files that were dropped again and had arrived before. */
  skipped: number;
}

/** What is on its way to which dataset; the files themselves are with the uploader. */
export const useSending = create<{ of: Readonly<Record<string, Sending>> }>(() => ({ of: {} }));

const OPEN = new Set<RowState>(["waiting", "sending", "paused", "retrying"]);

export function isSending(datasetId: string): boolean {
  return useSending.getState().of[datasetId]?.rows.some((row) => OPEN.has(row.state)) ?? false;
}

export function isAnySending(): boolean {
  return Object.keys(useSending.getState().of).some(isSending);
}

export function setSending(datasetId: string, sending: Sending): void {
  useSending.setState(({ of }) => ({ of: { ...of, [datasetId]: sending } }));
}

/** An archive that the server brings into a dataset. */
export interface Importing {
  task: string;
  upload: string;
  name: string;
  datasetId: string;
  root: string;
  folder: string;
}

/** Survives a reload: the server goes on with imports while nobody looks. */
export const useImports = create<{ imports: readonly Importing[] }>()(
  persist(() => ({ imports: [] as readonly Importing[] }), { name: "loratory-imports", version: 1 }),
);

export function addImport(one: Importing): void {
  useImports.setState(({ imports }) => ({ imports: [...imports.filter((each) => each.upload !== one.upload), one] }));
}

export function forgetImport(task: string): void {
  useImports.setState(({ imports }) => ({ imports: imports.filter((each) => each.task !== task) }));
}
