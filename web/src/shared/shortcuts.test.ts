import { renderHook } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { keySigns, startShortcuts, useShortcut } from "./shortcuts";

let end: () => void;
beforeEach(() => {
  end = startShortcuts();
});
afterEach(() => end());

function press(key: string, more: KeyboardEventInit = {}, target: EventTarget = document.body) {
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
}

test("keys one after another, and a wrong one between them", () => {
  const go = vi.fn();
  renderHook(() => useShortcut("g d", "Datasets", go));
  press("g");
  press("d");
  expect(go).toHaveBeenCalledTimes(1);
  press("g");
  press("x");
  press("d");
  expect(go).toHaveBeenCalledTimes(1);
});

test("plain keys never act while somebody types; those with mod may", () => {
  const help = vi.fn();
  const save = vi.fn();
  renderHook(() => useShortcut("?", "Help", help, { whileTyping: true }));
  renderHook(() => useShortcut("mod+s", "Save", save, { whileTyping: true }));
  const field = document.body.appendChild(document.createElement("input"));
  press("?", { shiftKey: true }, field);
  press("s", { ctrlKey: true }, field);
  expect(help).not.toHaveBeenCalled();
  expect(save).toHaveBeenCalledTimes(1);
  press("?", { shiftKey: true });
  expect(help).toHaveBeenCalledTimes(1);
  field.remove();
});

test("the newest wins, and what is gone does nothing", () => {
  const [old, young] = [vi.fn(), vi.fn()];
  renderHook(() => useShortcut("/", "Old", old));
  const { unmount } = renderHook(() => useShortcut("/", "Young", young));
  press("/");
  unmount();
  press("/");
  expect([old.mock.calls.length, young.mock.calls.length]).toEqual([1, 1]);
});

test("how keys are written", () => {
  expect(keySigns("mod+k", false)).toEqual([["Ctrl", "K"]]);
  expect(keySigns("g d", true)).toEqual([["G"], ["D"]]);
});
