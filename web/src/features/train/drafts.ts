/** The jobs that are being written. They live in the browser and survive a reload; each has its own steps back. */
import { create } from "zustand";
import type { FormModel } from "@/forms/fields";
import { Form } from "@/forms/form";
import type { Plain } from "@/forms/paths";
import { dropDraft, readDraft, writeDraft } from "@/shared/draft";

export interface DraftEntry {
  readonly id: string;
  readonly name: string;
  readonly changed: number;
}

interface Drafts {
  readonly list: readonly DraftEntry[];
  readonly current: string;
}

const VERSION = 1;
const LIST = "train";
const LATER_MS = 200;

export const EMPTY: Plain = { model: {}, datasets: [{}] };

const forms = new Map<string, Form>();

export const useDrafts = create<Drafts>()(() => firstDrafts());

function firstDrafts(): Drafts {
  const kept = readDraft<Drafts>(LIST, VERSION);
  const first = kept?.list[0];
  if (!kept || !first) return { list: [entryOf(newId(), EMPTY)], current: "" };
  return kept.list.some((each) => each.id === kept.current) ? kept : { ...kept, current: first.id };
}

function entryOf(id: string, data: Plain): DraftEntry {
  const name = typeof data.name === "string" ? data.name : "";
  return { id, name, changed: Date.now() };
}

function newId(): string {
  return Date.now().toString(36) + Math.random().toString(36).slice(2, 6);
}

/** The one that is written now. */
export function currentId(drafts: Drafts): string {
  return drafts.list.some((each) => each.id === drafts.current) ? drafts.current : (drafts.list[0]?.id ?? "");
}

/** The form of a draft; the same one each time. */
export function formOf(model: FormModel, id: string): Form {
  const known = forms.get(id);
  if (known) return known;
  const form = new Form(model, readDraft<Plain>(`${LIST}:${id}`, VERSION) ?? EMPTY);
  forms.set(id, form);
  let timer = 0;
  const write = () => {
    window.clearTimeout(timer);
    timer = 0;
    if (forms.get(id) !== form) return;
    const { data } = form.state;
    writeDraft(`${LIST}:${id}`, VERSION, data);
    setDrafts(({ list, current }) => ({
      list: list.map((each) => (each.id === id ? entryOf(id, data) : each)),
      current,
    }));
  };
  form.store.subscribe((state, before) => {
    if (state.data === before.data) return;
    window.clearTimeout(timer);
    timer = window.setTimeout(write, LATER_MS);
  });
  window.addEventListener("pagehide", () => timer && write());
  return form;
}

function setDrafts(change: (before: Drafts) => Drafts): void {
  useDrafts.setState(change);
  writeDraft(LIST, VERSION, useDrafts.getState());
}

/** A new draft, which is the current one from now on. */
export function addDraft(data: Plain = EMPTY): string {
  const id = newId();
  writeDraft(`${LIST}:${id}`, VERSION, data);
  setDrafts(({ list }) => ({ list: [entryOf(id, data), ...list], current: id }));
  return id;
}

export function openDraft(id: string): void {
  setDrafts((before) => ({ ...before, current: id }));
}

export function deleteDraft(id: string): void {
  forms.delete(id);
  dropDraft(`${LIST}:${id}`);
  setDrafts(({ list, current }) => {
    const left = list.filter((each) => each.id !== id);
    return { list: left.length > 0 ? left : [entryOf(newId(), EMPTY)], current: current === id ? "" : current };
  });
}

/** Is there nothing in it yet? */
export function isUntouched(data: Plain): boolean {
  return JSON.stringify(data) === JSON.stringify(EMPTY);
}
