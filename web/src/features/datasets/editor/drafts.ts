/**
 * Captions that were typed and are not on the disk yet. Each is kept in the browser until the server has it, and saved by
 * itself a moment after the last key, whatever page is shown then.
 */
import type { QueryClient } from "@tanstack/react-query";
import { create } from "zustand";
import { readCaptionQueryKey } from "@/api/generated/@tanstack/react-query.gen";
import { saveCaption } from "@/api/generated/sdk.gen";
import type { CaptionOut, PictureList } from "@/api/generated/types.gen";
import { problemOf } from "@/api/problem";
import { draftNames, dropDraft, readDraft, writeDraft } from "@/shared/draft";

const LATER_MS = 700;
const AGAIN_MS = 4_000;
const VERSION = 2;
/** A tab that is open writes its own drafts; after so long without a key it is taken for closed. */
const OTHERS_MS = 10_000;

interface Kept {
  text: string;
  /** The version of the caption that it was made from. */
  basedOn: string;
  /** The tab that wrote it, and when: another one leaves it alone as long as it may still be typed. */
  tab: string;
  time: number;
}

/** What somebody else wrote meanwhile. */
export interface Theirs {
  text: string | null;
  version: string;
}

export interface CaptionDraft extends Pick<Kept, "text" | "basedOn"> {
  datasetId: string;
  item: string;
  state: "typed" | "saving" | "stale" | "failed";
  problem: string | null;
  theirs: Theirs | null;
}

const TAB = tabName();

/** Stays over a reload and is another one in each tab. */
function tabName(): string {
  const fresh = String(Math.random()).slice(2);
  try {
    const known = sessionStorage.getItem("loratory:tab") ?? fresh;
    sessionStorage.setItem("loratory:tab", known);
    return known;
  } catch {
    return fresh; // forbidden storage: there are no drafts to come back either
  }
}

export const useDrafts = create<{ drafts: Readonly<Record<string, CaptionDraft>> }>(() => ({ drafts: {} }));

/** Captions that are on their way: the next save waits for the version that this one gives. */
const flying = new Set<string>();
const timers = new Map<string, ReturnType<typeof setTimeout>>();

export function keyOf(datasetId: string, item: string): string {
  return `caption:${datasetId}:${item}`;
}

function put(key: string, draft: CaptionDraft | null): void {
  useDrafts.setState(({ drafts }) => {
    const { [key]: _gone, ...others } = drafts;
    return { drafts: draft ? { ...others, [key]: draft } : others };
  });
  if (!draft) {
    dropDraft(key);
    return;
  }
  const { text, basedOn } = draft;
  writeDraft(key, VERSION, { text, basedOn, tab: TAB, time: Date.now() } satisfies Kept);
}

function draftOf(key: string): CaptionDraft | undefined {
  return useDrafts.getState().drafts[key];
}

/** What was typed before a reload comes back; it is saved, unless somebody else was faster. */
export function bringBack(queries: QueryClient, datasetId: string, item: string): void {
  const key = keyOf(datasetId, item);
  if (draftOf(key)) return;
  const kept = readDraft<Kept>(key, VERSION);
  if (!kept || (kept.tab !== TAB && Date.now() - kept.time < OTHERS_MS)) return;
  put(key, { datasetId, item, text: kept.text, basedOn: kept.basedOn, state: "typed", problem: null, theirs: null });
  later(queries, datasetId, item, 0);
}

/** All that was typed for a dataset's pictures and not saved, also where none of them is opened again. */
export function bringBackAll(queries: QueryClient, datasetId: string): void {
  const start = keyOf(datasetId, "");
  for (const name of draftNames(start)) bringBack(queries, datasetId, name.slice(start.length));
}

export function type(queries: QueryClient, datasetId: string, item: string, text: string, version: string): void {
  const key = keyOf(datasetId, item);
  const before = draftOf(key);
  const stale = before?.state === "stale";
  put(key, {
    datasetId,
    item,
    text,
    basedOn: before?.basedOn ?? version,
    state: stale ? "stale" : "typed",
    problem: null,
    theirs: before?.theirs ?? null,
  });
  if (!stale) later(queries, datasetId, item, LATER_MS);
}

/** Mine over theirs: saved as made from their version. */
export function keepMine(queries: QueryClient, datasetId: string, item: string): void {
  const key = keyOf(datasetId, item);
  const draft = draftOf(key);
  if (!draft?.theirs) return;
  put(key, { ...draft, basedOn: draft.theirs.version, state: "typed", theirs: null, problem: null });
  later(queries, datasetId, item, 0);
}

export async function takeTheirs(queries: QueryClient, datasetId: string, item: string): Promise<void> {
  put(keyOf(datasetId, item), null);
  await queries.invalidateQueries({ queryKey: captionKey(datasetId, item) });
}

/** Now, not a moment later: when another picture is gone to. */
export function saveNow(queries: QueryClient, datasetId: string, item: string): void {
  const draft = draftOf(keyOf(datasetId, item));
  if (draft && (draft.state === "typed" || draft.state === "failed")) later(queries, datasetId, item, 0);
}

function later(queries: QueryClient, datasetId: string, item: string, wait: number): void {
  const key = keyOf(datasetId, item);
  clearTimeout(timers.get(key));
  timers.set(
    key,
    setTimeout(() => void save(queries, datasetId, item), wait),
  );
}

function captionKey(datasetId: string, item: string) {
  return readCaptionQueryKey({ path: { dataset_id: datasetId }, query: { item } });
}

async function save(queries: QueryClient, datasetId: string, item: string): Promise<void> {
  const key = keyOf(datasetId, item);
  const draft = draftOf(key);
  if (!draft || draft.state === "stale" || flying.has(key)) return;
  flying.add(key);
  put(key, { ...draft, state: "saving" });
  try {
    const { data: saved } = await saveCaption({
      path: { dataset_id: datasetId },
      body: { item, text: draft.text, based_on: draft.basedOn },
    });
    patch(queries, datasetId, saved);
    const now = draftOf(key);
    if (now && now.text !== draft.text) {
      put(key, { ...now, basedOn: saved.version, state: "typed" });
      later(queries, datasetId, item, LATER_MS);
    } else put(key, null);
  } catch (error) {
    const problem = problemOf(error);
    const now = draftOf(key) ?? draft;
    if (problem.code === "stale") {
      const theirs = theirsOf(problem.more.differences);
      // Both wrote the same: nothing to choose.
      if (theirs && theirs.text === now.text) {
        put(key, null);
        await queries.invalidateQueries({ queryKey: captionKey(datasetId, item) });
        return;
      }
      put(key, { ...now, state: "stale", problem: problem.message, theirs });
      return;
    }
    put(key, { ...now, state: "failed", problem: problem.message });
    if (problem.isDisconnected || problem.code === "disk_full" || problem.code === "busy") {
      later(queries, datasetId, item, AGAIN_MS);
    }
  } finally {
    flying.delete(key);
  }
}

function theirsOf(differences: unknown): Theirs | null {
  const [first] = Array.isArray(differences) ? (differences as { now: string | null; version: string }[]) : [];
  return first ? { text: first.now, version: first.version } : null;
}

/** What is shown of the caption anywhere is the new one at once. */
export function patch(queries: QueryClient, datasetId: string, saved: CaptionOut): void {
  queries.setQueryData<CaptionOut>(captionKey(datasetId, saved.item), saved);
  const lists = queries.getQueriesData<PictureList>({
    predicate: ({ queryKey }) => {
      const key = queryKey[0] as { _id?: string; path?: { dataset_id?: string } };
      return key._id === "listPictures" && key.path?.dataset_id === datasetId;
    },
  });
  for (const [key, list] of lists) {
    if (!list?.pictures.some((each) => each.path === saved.item)) continue;
    queries.setQueryData<PictureList>(key, {
      ...list,
      pictures: list.pictures.map((each) =>
        each.path === saved.item
          ? {
              ...each,
              caption: saved.text,
              caption_file: saved.file,
              caption_version: saved.version,
              caption_problem: saved.problem,
              tags: saved.tags,
            }
          : each,
      ),
    });
  }
  for (const _id of ["listTags", "getDataset", "getCaptionHistory", "listCaptionEdits", "getChecks"]) {
    void queries.invalidateQueries({ queryKey: [{ _id }] });
  }
}
