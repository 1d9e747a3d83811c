/** The jobs that are being written. They live in the browser and survive a reload; each has its own steps back. */
import { create } from "zustand";
import type { FormModel } from "@/forms/fields";
import { Form } from "@/forms/form";
import { isSame, type Plain } from "@/forms/paths";
import { draftKey, dropDraft, parsedDraft, readDraft, writeDraft } from "@/shared/draft";
import { Tab, type Written } from "./tabs";

export interface DraftEntry {
  readonly id: string;
  readonly name: string;
  readonly changed: number;
  /** Nobody chose anything yet: it is what was proposed. */
  readonly isProposal?: boolean;
}

interface Drafts {
  readonly list: readonly DraftEntry[];
  readonly current: string;
}

const VERSION = 2;
const LIST = "train";
const SOON_MS = 200;
const SAID_MS = 10_000;
/** Each tab writes at a draft of its own choice. */
const OPEN_HERE = "loratory:train:open";

export const EMPTY: Plain = { model: {}, datasets: [{}] };

/** Another one after each load of the page. */
const THIS_TAB = newId();

const forms = new Map<string, { form: Form; take: (theirs: Written | undefined) => void; write: () => void }>();

export const useDrafts = create<Drafts>()(() => firstDrafts());

function firstDrafts(): Drafts {
  const kept = readDraft<Drafts>(LIST, VERSION);
  if (!kept || kept.list.length === 0) return { list: [entryOf(newId(), EMPTY, true)], current: "" };
  return { ...kept, current: openHere() ?? kept.current };
}

function entryOf(id: string, data: Plain, isProposal: boolean): DraftEntry {
  const name = typeof data.name === "string" ? data.name : "";
  return { id, name, changed: Date.now(), ...(isProposal && { isProposal }) };
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
  if (known) return known.form;
  const kept = readDraft<Written>(nameOf(id), VERSION);
  const form = new Form(model, kept?.data ?? EMPTY);
  if (useDrafts.getState().list.some((each) => each.id === id && each.isProposal)) form.propose(form.state.data);
  const tab = new Tab(THIS_TAB, form.state.data, kept?.stamps);
  let timer = 0;
  /** What another tab wrote in the meantime comes in; what was typed here stays. */
  const take = (theirs: Written | undefined) => {
    const both = theirs && tab.take(theirs, form.state.data);
    if (both) form.replace(both);
  };
  const write = () => {
    window.clearTimeout(timer);
    timer = 0;
    if (!forms.has(id)) return;
    take(readDraft<Written>(nameOf(id), VERSION));
    const { data } = form.state;
    writeDraft(nameOf(id), VERSION, tab.write(data));
    noteIn(entryOf(id, data, form.isProposal));
  };
  form.store.subscribe((state, before) => {
    // Also in the middle of typing without a rest.
    if (state.data !== before.data && timer === 0) timer = window.setTimeout(write, SOON_MS);
  });
  forms.set(id, { form, take, write: () => timer && write() });
  return form;
}

/** The list says when a draft was changed; it need not say so at each key. */
function noteIn(entry: DraftEntry): void {
  const known = useDrafts.getState().list.find((each) => each.id === entry.id);
  const isSaid = known?.name === entry.name && Boolean(known.isProposal) === Boolean(entry.isProposal);
  if (isSaid && entry.changed - known.changed < SAID_MS) return;
  setDrafts((list) => {
    const isListed = list.some((each) => each.id === entry.id);
    return isListed ? list.map((each) => (each.id === entry.id ? entry : each)) : [entry, ...list];
  });
}

function nameOf(id: string): string {
  return `${LIST}:${id}`;
}

function setDrafts(change: (list: readonly DraftEntry[]) => readonly DraftEntry[], open?: string): void {
  const now = useDrafts.getState();
  const list = change(readDraft<Drafts>(LIST, VERSION)?.list ?? now.list);
  const current = open ?? currentId(now);
  useDrafts.setState({ list, current });
  writeDraft(LIST, VERSION, { list, current } satisfies Drafts);
  keepOpen(current);
}

/** A new draft, which is the current one from now on. */
export function addDraft(data: Plain = EMPTY, isProposal = isSame(data, EMPTY)): string {
  const id = newId();
  writeDraft(nameOf(id), VERSION, { data, stamps: {} } satisfies Written);
  setDrafts((list) => [entryOf(id, data, isProposal), ...list], id);
  return id;
}

export function openDraft(id: string): void {
  setDrafts((list) => list, id);
}

/** Gives what takes it back. */
export function deleteDraft(id: string): () => void {
  const known = forms.get(id);
  const data = known?.form.state.data ?? readDraft<Written>(nameOf(id), VERSION)?.data ?? EMPTY;
  forms.delete(id);
  dropDraft(nameOf(id));
  dropDraft(`train-yaml:${id}`);
  setDrafts((list) => {
    const left = list.filter((each) => each.id !== id);
    return left.length > 0 ? left : [entryOf(newId(), EMPTY, true)];
  });
  return () => void addDraft(data, false);
}

/** Is there nothing in it that somebody chose? */
export function isUntouched(form: Form): boolean {
  return form.isProposal || isSame(form.state.data, EMPTY);
}

function openHere(): string | null {
  try {
    return sessionStorage.getItem(OPEN_HERE);
  } catch {
    return null;
  }
}

function keepOpen(id: string): void {
  try {
    sessionStorage.setItem(OPEN_HERE, id);
  } catch {
    // forbidden: the tab opens what was open last
  }
}

window.addEventListener("pagehide", () => {
  for (const { write } of forms.values()) write();
});

// Another tab wrote: its drafts are here, too, and so is what it changed in one that is open here.
window.addEventListener("storage", ({ key, newValue }) => {
  if (key === draftKey(LIST)) {
    const mine = useDrafts.getState();
    const list = readDraft<Drafts>(LIST, VERSION)?.list ?? [];
    const open = mine.list.find((each) => each.id === currentId(mine));
    const isLost = open !== undefined && !list.some((each) => each.id === open.id);
    useDrafts.setState({ list: isLost ? [open, ...list] : list, current: open?.id ?? mine.current });
  }
  // What the event says, and not what is read now: that may be older, or this tab's own.
  for (const [id, { take }] of forms) if (key === draftKey(nameOf(id))) take(parsedDraft(newValue, VERSION));
});
