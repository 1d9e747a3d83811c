/**
 * Keys that do something. `mod` is Ctrl, on a Mac Command; a space separates keys that are pressed one after another:
 * "mod+k", "g d", "?", "shift+arrowleft", "space".
 */
import { useEffect, useId, useRef } from "react";
import { create } from "zustand";

export interface Shortcut {
  id: string;
  keys: string;
  label: string;
  /** The heading in the help sheet. */
  group: string;
}

interface Entry extends Shortcut {
  strokes: readonly string[];
  whileTyping: boolean;
  act: (event: KeyboardEvent) => void;
}

const NEXT_KEY_MS = 1_200;

const useEntries = create<{ entries: readonly Entry[] }>()(() => ({ entries: [] }));

/** All that are in force now, for the help sheet. */
export function useShortcuts(): readonly Shortcut[] {
  return useEntries((state) => state.entries);
}

export interface ShortcutOptions {
  group?: string;
  enabled?: boolean;
  /** Only for those with `mod`: saving and the like. Plain keys never act while somebody types. */
  whileTyping?: boolean;
}

/** `keys` do `action` while the component is there. The newest wins where two want the same keys. */
export function useShortcut(
  keys: string,
  label: string,
  action: (event: KeyboardEvent) => void,
  options: ShortcutOptions = {},
): void {
  const id = useId();
  const latest = useRef(action);
  useEffect(() => {
    latest.current = action;
  });
  const { group = "This page", enabled = true } = options;
  const whileTyping = (options.whileTyping ?? false) && keys.includes("mod+");
  useEffect(() => {
    if (!enabled) return;
    const strokes = keys.toLowerCase().split(" ");
    const entry: Entry = { id, keys, label, group, strokes, whileTyping, act: (event) => latest.current(event) };
    useEntries.setState(({ entries }) => ({ entries: [...entries, entry] }));
    return () => useEntries.setState(({ entries }) => ({ entries: entries.filter((each) => each !== entry) }));
  }, [id, keys, label, group, enabled, whileTyping]);
}

/** Listens to the keyboard. Called once; gives what ends it. */
export function startShortcuts(): () => void {
  let pressed: string[] = [];
  let forget = 0;
  const onKey = (event: KeyboardEvent) => {
    const stroke = strokeOf(event);
    if (!stroke || event.defaultPrevented || event.isComposing) return;
    const typing = isTyping(event.target);
    const entries = useEntries.getState().entries.filter((each) => !typing || each.whileTyping);
    const tried = [...pressed, stroke];
    window.clearTimeout(forget);
    pressed = [];
    const found = newest(entries, tried) ?? newest(entries, [stroke]);
    if (found) {
      event.preventDefault();
      found.act(event);
    } else if (entries.some((each) => each.strokes.length > tried.length && begins(each.strokes, tried))) {
      pressed = tried;
    } else if (entries.some((each) => each.strokes.length > 1 && each.strokes[0] === stroke)) {
      pressed = [stroke];
    }
    if (pressed.length > 0) {
      forget = window.setTimeout(() => {
        pressed = [];
      }, NEXT_KEY_MS);
    }
  };
  window.addEventListener("keydown", onKey);
  return () => window.removeEventListener("keydown", onKey);
}

function newest(entries: readonly Entry[], strokes: readonly string[]): Entry | undefined {
  return entries.findLast((each) => each.strokes.length === strokes.length && begins(each.strokes, strokes));
}

function begins(whole: readonly string[], part: readonly string[]): boolean {
  return part.every((stroke, place) => whole[place] === stroke);
}

const MODIFIERS = new Set(["Control", "Shift", "Alt", "Meta", "AltGraph", "CapsLock", "Dead"]);

function strokeOf(event: KeyboardEvent): string | null {
  if (MODIFIERS.has(event.key) || !event.key) return null;
  const key = event.key === " " ? "space" : event.key.toLowerCase();
  // Shift belongs to the sign itself where it makes another one: "?" is "?" wherever it is on the keyboard.
  const shifted = event.shiftKey && (key.length > 1 || /^\p{L}$/u.test(key));
  return [event.ctrlKey || event.metaKey ? "mod" : "", event.altKey ? "alt" : "", shifted ? "shift" : "", key]
    .filter(Boolean)
    .join("+");
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) {
    return true;
  }
  return target instanceof HTMLInputElement && !NOT_TYPED.has(target.type);
}

const NOT_TYPED = new Set(["checkbox", "radio", "button", "submit", "reset", "range", "color", "file"]);

const SIGNS: Record<string, string> = {
  arrowleft: "←",
  arrowright: "→",
  arrowup: "↑",
  arrowdown: "↓",
  space: "Space",
  escape: "Esc",
  enter: "Enter",
  delete: "Del",
  shift: "Shift",
  alt: "Alt",
};

/** As it is written on the keyboard: for each key pressed in turn, the signs pressed together. */
export function keySigns(keys: string, isMac: boolean = /Mac|iP(hone|ad)/.test(navigator.userAgent)): string[][] {
  return keys
    .toLowerCase()
    .split(" ")
    .map((stroke) =>
      stroke.split("+").map((part) => (part === "mod" ? (isMac ? "⌘" : "Ctrl") : (SIGNS[part] ?? part.toUpperCase()))),
    );
}
