import { create } from "zustand";
import { dropDraft, readDraft, writeDraft } from "@/shared/draft";
import { isSending } from "./store";

/** A file that was dropped on a dataset: where it goes, and what tells that another one is the same. */
export interface Begun {
  path: string;
  bytes: number;
  /** When the file was last changed, in milliseconds; null where the server alone knows of it. */
  modified: number | null;
  arrived: boolean;
}

const VERSION = 1;
const WRITTEN_EVERY_MS = 300;

/**
 * What was dropped and has not arrived altogether. The browser forgets the files with a reload, and the server knows only
 * of those that it has a part of: this list knows of all.
 */
export const useBegun = create<{ of: Readonly<Record<string, readonly Begun[]>> }>(() => ({ of: {} }));

const timers = new Map<string, ReturnType<typeof setTimeout>>();

function keyOf(datasetId: string): string {
  return `uploads:${datasetId}`;
}

export function begunOf(datasetId: string): readonly Begun[] {
  const known = useBegun.getState().of[datasetId];
  if (known) return known;
  const kept = readDraft<Begun[]>(keyOf(datasetId), VERSION) ?? [];
  useBegun.setState(({ of }) => ({ of: { ...of, [datasetId]: kept } }));
  return kept;
}

export function begin(datasetId: string, files: readonly Begun[]): void {
  const paths = new Set(files.map((each) => each.path));
  put(datasetId, [...begunOf(datasetId).filter((each) => !paths.has(each.path)), ...files]);
}

export function hasArrived(datasetId: string, path: string): void {
  put(
    datasetId,
    begunOf(datasetId).map((each) => (each.path === path ? { ...each, arrived: true } : each)),
  );
}

/** Nobody waits for these any more; without paths: for none. */
export function forget(datasetId: string, paths?: ReadonlySet<string>): void {
  put(datasetId, paths ? begunOf(datasetId).filter((each) => !paths.has(each.path)) : []);
}

function put(datasetId: string, files: readonly Begun[]): void {
  // When all is there, the list has done its work: the same files dropped anew are then a question again.
  const left = files.some((each) => !each.arrived) ? files : [];
  useBegun.setState(({ of }) => ({ of: { ...of, [datasetId]: left } }));
  if (!timers.has(datasetId)) {
    timers.set(
      datasetId,
      setTimeout(() => write(datasetId), WRITTEN_EVERY_MS),
    );
  }
}

function write(datasetId: string): void {
  clearTimeout(timers.get(datasetId));
  timers.delete(datasetId);
  const files = begunOf(datasetId);
  if (files.length > 0) writeDraft(keyOf(datasetId), VERSION, files);
  else dropDraft(keyOf(datasetId));
}

// Another tab of this browser has gone on with them.
window.addEventListener("storage", ({ key }) => {
  for (const datasetId of Object.keys(useBegun.getState().of)) {
    if (!key?.endsWith(keyOf(datasetId)) || isSending(datasetId)) continue;
    const kept = readDraft<Begun[]>(keyOf(datasetId), VERSION) ?? [];
    useBegun.setState(({ of }) => ({ of: { ...of, [datasetId]: kept } }));
  }
});

window.addEventListener("pagehide", () => {
  for (const datasetId of timers.keys()) write(datasetId);
});
