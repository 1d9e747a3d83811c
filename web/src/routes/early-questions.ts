/** Questions that are asked before the part of the app that shows them has come: they are asked again then. */
const EVENTS = ["mantine-modals:openModal", "mantine-modals:openConfirmModal"];

let waiting: CustomEvent[] = [];

function keep(event: Event): void {
  waiting.push(event as CustomEvent);
}

export function keepQuestions(): void {
  for (const name of EVENTS) window.addEventListener(name, keep);
}

export function askKept(): void {
  for (const name of EVENTS) window.removeEventListener(name, keep);
  const kept = waiting;
  waiting = [];
  for (const { type, detail } of kept) window.dispatchEvent(new CustomEvent(type, { detail }));
}
