/** What somebody typed and has not sent: kept in the browser, so that a reload or a lost connection costs nothing. */
import { useCallback, useEffect, useRef, useState } from "react";

const PREFIX = "loratory:draft:";
const LATER_MS = 250;

interface Kept {
  version: number;
  value: unknown;
}

/** Where a draft is kept, to know the events of other tabs by. */
export function draftKey(name: string): string {
  return PREFIX + name;
}

/** The draft of that name, or undefined where there is none, or one of another version. */
export function readDraft<T>(name: string, version: number): T | undefined {
  try {
    return parsedDraft(localStorage.getItem(PREFIX + name), version);
  } catch {
    return undefined; // forbidden storage
  }
}

/** The same, of a text that was kept: that of another tab's event. */
export function parsedDraft<T>(text: string | null, version: number): T | undefined {
  try {
    const kept = JSON.parse(text ?? "null") as Kept | null;
    return kept?.version === version ? (kept.value as T) : undefined;
  } catch {
    return undefined; // not written by this app
  }
}

export function writeDraft(name: string, version: number, value: unknown): void {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify({ version, value } satisfies Kept));
  } catch {
    // full or forbidden: the draft lives as long as the page
  }
}

export function dropDraft(name: string): void {
  try {
    localStorage.removeItem(PREFIX + name);
  } catch {
    // forbidden: there is none
  }
}

/** The names of all drafts that begin so. */
export function draftNames(start: string): string[] {
  try {
    const names = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX + start));
    return names.map((key) => key.slice(PREFIX.length));
  } catch {
    return []; // forbidden storage
  }
}

export interface Draft<T> {
  value: T;
  set: (next: T | ((before: T) => T)) => void;
  /** Back to `initial`, and nothing kept: after it was sent, or thrown away. */
  clear: () => void;
  /** There is something that was typed and not sent. */
  isDraft: boolean;
}

/**
 * State that survives a reload. `initial` is shown while nothing was typed, and may change (an answer that came).
 * Raise `version` when the shape of the value changes: older drafts are then left out.
 */
export function useDraft<T>(name: string, version: number, initial: T): Draft<T> {
  const [typed, setTyped] = useState<{ name: string; value: T | undefined }>(() => ({
    name,
    value: readDraft<T>(name, version),
  }));
  const own = typed.name === name ? typed.value : readDraft<T>(name, version);
  if (typed.name !== name) setTyped({ name, value: own });

  const pending = useRef<{ timer: number; write: () => void } | null>(null);
  const flush = useCallback(() => {
    if (!pending.current) return;
    window.clearTimeout(pending.current.timer);
    pending.current.write();
    pending.current = null;
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what was typed under one name is written before the next
  useEffect(() => {
    window.addEventListener("pagehide", flush);
    return () => {
      window.removeEventListener("pagehide", flush);
      flush();
    };
  }, [flush, name]);

  const latest = useRef({ own, initial });
  latest.current = { own, initial };
  const set = useCallback(
    (next: T | ((before: T) => T)) => {
      const before = latest.current.own === undefined ? latest.current.initial : latest.current.own;
      const value = typeof next === "function" ? (next as (before: T) => T)(before) : next;
      latest.current.own = value;
      setTyped({ name, value });
      if (pending.current) window.clearTimeout(pending.current.timer);
      pending.current = { timer: window.setTimeout(flush, LATER_MS), write: () => writeDraft(name, version, value) };
    },
    [name, version, flush],
  );
  const clear = useCallback(() => {
    if (pending.current) window.clearTimeout(pending.current.timer);
    pending.current = null;
    dropDraft(name);
    latest.current.own = undefined;
    setTyped({ name, value: undefined });
  }, [name]);

  return { value: own === undefined ? initial : own, set, clear, isDraft: own !== undefined };
}
