import { create } from "zustand";

/** Which pictures are chosen, by path: it stays when the query changes, so that more can be added. */
interface Selection {
  datasetId: string;
  chosen: ReadonlySet<string>;
  /** Where the last click was; shift goes from here. */
  anchor: number | null;
}

const NONE: ReadonlySet<string> = new Set();

export const useSelection = create<Selection>(() => ({ datasetId: "", chosen: NONE, anchor: null }));

export function useChosen(datasetId: string): ReadonlySet<string> {
  return useSelection((state) => (state.datasetId === datasetId ? state.chosen : NONE));
}

function now(datasetId: string): ReadonlySet<string> {
  const state = useSelection.getState();
  return state.datasetId === datasetId ? state.chosen : NONE;
}

export function choose(datasetId: string, chosen: Iterable<string>, anchor: number | null = null): void {
  useSelection.setState({ datasetId, chosen: new Set(chosen), anchor });
}

export function toggle(datasetId: string, item: string, place: number): void {
  const chosen = new Set(now(datasetId));
  if (!chosen.delete(item)) chosen.add(item);
  useSelection.setState({ datasetId, chosen, anchor: place });
}

/** Everything from the last click to this one, added. */
export function extend(datasetId: string, paths: readonly string[], place: number): void {
  const state = useSelection.getState();
  const from = state.datasetId === datasetId && state.anchor !== null ? state.anchor : place;
  const range = paths.slice(Math.min(from, place), Math.max(from, place) + 1);
  useSelection.setState({ datasetId, chosen: new Set([...now(datasetId), ...range]), anchor: from });
}

/** What was not chosen of these is, and the other way round; what is not among them is let go. */
export function invert(datasetId: string, paths: readonly string[]): void {
  const before = now(datasetId);
  choose(
    datasetId,
    paths.filter((path) => !before.has(path)),
  );
}
