/** Dotted paths into plain data: `datasets.0.captions.shuffle`. Entries of lists count from 0. */

export type Plain = { readonly [key: string]: unknown };

export function isPlain(value: unknown): value is Plain {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Paths come again and again, a thousand times for each key that is pressed: what is made of them is kept. */
function kept<T>(make: (path: string) => T): (path: string) => T {
  const known = new Map<string, T>();
  return (path) => {
    let found = known.get(path);
    if (found === undefined) {
      found = make(path);
      known.set(path, found);
    }
    return found;
  };
}

const partsOf = kept((path) => path.split("."));

export function getIn(data: unknown, path: string): unknown {
  let value = data;
  for (const part of partsOf(path)) {
    if (Array.isArray(value)) value = value[Number(part)];
    else if (isPlain(value)) value = Object.hasOwn(value, part) ? value[part] : undefined;
    else return undefined;
  }
  return value;
}

/** The data with another value there; what is not on the way stays the same object. `undefined` takes the key out. */
export function setIn(data: Plain, path: string, value: unknown): Plain {
  return changed(data, partsOf(path), value) as Plain;
}

/** Take the key out, and the sections around it that are empty then. Entries of lists stay. */
export function unsetIn(data: Plain, path: string): Plain {
  let next = setIn(data, path, undefined);
  const parts = partsOf(path).slice(0, -1);
  while (parts.length > 0) {
    const here = parts.join(".");
    const value = getIn(next, here);
    if (!isPlain(value) || Object.keys(value).length > 0 || /^\d+$/.test(parts.at(-1) ?? "")) break;
    next = setIn(next, here, undefined);
    parts.pop();
  }
  return next;
}

function changed(value: unknown, parts: readonly string[], to: unknown): unknown {
  const [head, ...rest] = parts;
  if (head === undefined) return to;
  if (Array.isArray(value)) {
    const next = [...value];
    const at = Number(head);
    if (rest.length === 0 && to === undefined) next.splice(at, 1);
    else next[at] = changed(next[at], rest, to);
    return next;
  }
  const before: Plain = isPlain(value) ? value : {};
  if (rest.length === 0 && to === undefined) {
    const { [head]: _gone, ...others } = before;
    return others;
  }
  if (rest.length > 0 && to === undefined && !Object.hasOwn(before, head)) return before;
  const inner = before[head] ?? (/^\d+$/.test(rest[0] ?? "") ? [] : {});
  return { ...before, [head]: changed(inner, rest, to) };
}

export function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((each, i) => isSame(each, b[i]));
  if (!isPlain(a) || !isPlain(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && isSame(a[key], b[key]));
}

/** `datasets.0.captions` as the schema has it: `datasets[].captions`. */
export const patternOf = kept((path) => path.replace(/\.\d+(?=\.|$)/g, "[]"));

/** As a preset has it, where `datasets` is one section: `datasets.captions`. */
export const plainPatternOf = kept((path) => patternOf(path).replaceAll("[]", ""));

/** Every value that is not a section, with its path. */
export function leaves(data: unknown, prefix = ""): [string, unknown][] {
  if (isPlain(data)) return Object.entries(data).flatMap(([key, value]) => leaves(value, `${prefix}${key}.`));
  if (Array.isArray(data) && data.some(isPlain)) return data.flatMap((each, i) => leaves(each, `${prefix}${i}.`));
  return [[prefix.slice(0, -1), data]];
}
