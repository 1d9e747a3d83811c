/** How much of each tab was edited, and how much of it is wrong. */
import { type Form, type FormState, isEdited } from "@/forms/form";
import { leaves, patternOf } from "@/forms/paths";

export function editsByTab(form: Form, state: FormState): number[] {
  const counts = new Map<string, number>();
  for (const [path] of leaves(state.data)) {
    const field = form.model.byPattern.get(patternOf(path));
    if (!field || !isEdited(state, field, path)) continue;
    counts.set(field.facts.tab, (counts.get(field.facts.tab) ?? 0) + 1);
  }
  return form.model.tabs.map((each) => counts.get(each.name) ?? 0);
}

/** What is only missing is no mistake yet. */
export function errorsByTab(form: Form, said: FormState["said"]): number[] {
  const counts = new Map<string, number>();
  for (const [path, list] of Object.entries(said)) {
    if (!list.some((each) => each.level === "error" && each.code !== "missing")) continue;
    const tab = tabOf(form, path) ?? "";
    counts.set(tab, (counts.get(tab) ?? 0) + 1);
  }
  return form.model.tabs.map((each) => counts.get(each.name) ?? 0);
}

/** Of the parameter, of the nearest one around it, or of the first one in the section. */
function tabOf(form: Form, path: string): string | undefined {
  let pattern = patternOf(path);
  for (;;) {
    const found = form.model.byPattern.get(pattern);
    if (found) return found.facts.tab;
    const inside = form.model.fields.find((each) => each.pattern.startsWith(`${pattern}.`));
    if (inside) return inside.facts.tab;
    const shorter = pattern.split(".").slice(0, -1).join(".");
    if (!shorter) return undefined;
    pattern = shorter;
  }
}
