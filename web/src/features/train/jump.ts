import { idOf } from "@/forms/field-row";
import type { Field } from "@/forms/fields";
import { type Form, specOf } from "@/forms/form";
import { getIn, patternOf } from "@/forms/paths";

/** Lead to a parameter, whatever hides it: another tab, a higher level. Gives its label, or null where there is none. */
export function jump(form: Form, wanted: string, openTab: (name: string) => void): void {
  const found = nearest(form, wanted);
  if (!found) return;
  const { field, path } = found;
  form.store.setState({ isChangedOnly: false });
  form.reveal(path);
  openTab(field.facts.tab);
  let tries = 0;
  const look = () => {
    const row = document.querySelector(`[data-path="${CSS.escape(path)}"]`);
    tries += 1;
    if (!row) {
      if (tries < 40) requestAnimationFrame(look);
      return;
    }
    row.scrollIntoView({ block: "center" });
    const input = document.getElementById(idOf(path));
    (input ?? row.querySelector<HTMLElement>("input, button, select"))?.focus({ preventScroll: true });
  };
  requestAnimationFrame(look);
}

/** The parameter itself; of a section its first one; of one that the chosen type lacks, the type. */
function nearest(form: Form, path: string): { field: Field; path: string } | null {
  const pattern = patternOf(path);
  const { fields, byPattern } = form.model;
  const field = byPattern.get(pattern) ?? fields.find((each) => each.pattern.startsWith(`${pattern}.`));
  if (!field) {
    const outer = path.split(".").slice(0, -1).join(".");
    return outer ? nearest(form, outer) : null;
  }
  if (field.union && specOf(form.state, field) === null) return nearest(form, `${field.union.path}.type`);
  return { field, path: concrete(form, field, path) };
}

/** With numbers in the place of []: the first entry, where none is said. */
function concrete(form: Form, field: Field, path: string): string {
  if (patternOf(path) === field.pattern && !path.includes("[]")) return path;
  let found = "";
  for (const part of field.pattern.split("[]")) {
    found = found === "" ? part : `${found}.0${part}`;
  }
  const list = found.split(".0")[0] ?? "";
  // The list itself is where a first entry can be added.
  return field.pattern.includes("[]") && getIn(form.state.data, `${list}.0`) === undefined ? list : found;
}
