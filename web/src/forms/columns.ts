/** Which group stands in which column. Decided once for what is to be seen, so that nothing moves while one types. */
import type { Field, Group } from "./fields";
import { type FormState, isShown, specOf } from "./form";

/** Groups side by side in two columns, or one that takes the whole width. */
export type Band = { readonly wide: Group } | { readonly left: readonly Group[]; readonly right: readonly Group[] };

const HEAD = 1.5;
const TALL: Readonly<Record<string, number>> = { path: 1.6, texts: 1.6, sizes: 1.6, numbers: 1.6, pairs: 2, lines: 4 };

export function bandsOf(groups: readonly Group[], state: FormState, prefix = ""): Band[] {
  const bands: Band[] = [];
  let narrow: Group[] = [];
  const flush = () => {
    if (narrow.length > 0) bands.push(halves(narrow, state, prefix));
    narrow = [];
  };
  for (const group of groups) {
    if (group.isWide) {
      flush();
      bands.push({ wide: group });
    } else narrow.push(group);
  }
  flush();
  return bands;
}

/** In reading order: the first groups on the left, cut where both sides come to about the same height. */
function halves(groups: readonly Group[], state: FormState, prefix: string): Band {
  const heights = groups.map((group) => heightOf(group, state, prefix));
  const whole = heights.reduce((sum, each) => sum + each, 0);
  let best = groups.length;
  let least = Number.POSITIVE_INFINITY;
  let left = 0;
  for (const [i, height] of heights.entries()) {
    left += height;
    const taller = Math.max(left, whole - left);
    if (taller < least - 0.01) {
      least = taller;
      best = i + 1;
    }
  }
  return { left: groups.slice(0, best), right: groups.slice(best) };
}

const ROW_REM = 3;

/** About how tall it is, for as long as it was not laid out. */
export function estimatedHeight(groups: readonly Group[], state: FormState, prefix = ""): string {
  return `auto ${Math.ceil(groups.reduce((sum, group) => sum + heightOf(group, state, prefix), 0) * ROW_REM)}rem`;
}

function heightOf(group: Group, state: FormState, prefix: string): number {
  const rows = group.fields.filter((field) => isShown(state, field, prefix + field.key));
  return rows.length === 0 ? 0 : HEAD + rows.reduce((sum, field) => sum + rowHeight(state, field), 0);
}

function rowHeight(state: FormState, field: Field): number {
  const kind = specOf(state, field)?.kind ?? "text";
  return field.children.length > 0 ? 2 : (TALL[kind] ?? 1);
}
