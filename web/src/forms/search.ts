/** Find parameters by their label, help, and the names that other trainers give them. */
import type { Field, FormModel } from "./fields";

export interface Hit {
  readonly field: Field;
  /** The name that was found, where it is not the label: `network_dim`. */
  readonly by: string;
  readonly score: number;
}

export function find(model: FormModel, typed: string, most = 12): Hit[] {
  const wanted = plain(typed);
  if (wanted.length < 2) return [];
  return model.fields
    .map((field) => rate(field, wanted))
    .filter((each): each is Hit => each !== null)
    .sort((a, b) => b.score - a.score || a.field.label.length - b.field.label.length)
    .slice(0, most);
}

function rate(field: Field, wanted: string): Hit | null {
  let best: Hit | null = null;
  const take = (score: number, by: string) => {
    if (score > (best?.score ?? 0)) best = { field, by, score };
  };
  take(closeness(field.label, wanted), "");
  take(closeness(`${field.facts.group} ${field.label}`, wanted) * 0.9, "");
  take(closeness(`${field.facts.tab} ${field.facts.group} ${field.label}`, wanted) * 0.8, "");
  take(closeness(field.pattern, wanted) * 0.95, field.pattern);
  for (const name of field.facts.kohya) take(closeness(name, wanted), `kohya: ${name}`);
  for (const name of field.facts.aitoolkit) take(closeness(name, wanted) * 0.99, `ai-toolkit: ${name}`);
  for (const option of field.spec.options) take(closeness(option.label, wanted) * 0.9, `choice: ${option.label}`);
  for (const word of wanted.split(" ")) {
    if (best === null && word.length > 2 && plain(field.spec.help).includes(wanted)) take(10, "in its help");
  }
  return best;
}

function closeness(text: string, wanted: string): number {
  const found = plain(text);
  if (found === wanted) return 100;
  if (found.startsWith(wanted)) return 80;
  if (found.includes(` ${wanted}`)) return 65;
  if (found.replaceAll(" ", "").startsWith(wanted.replaceAll(" ", ""))) return 60;
  if (found.includes(wanted)) return 40;
  const words = wanted.split(" ");
  return words.length > 1 && words.every((word) => found.includes(word)) ? 30 : 0;
}

function plain(text: string): string {
  return text
    .toLowerCase()
    .replace(/[_\-.[\]]+/g, " ")
    .trim()
    .replace(/\s+/g, " ");
}
