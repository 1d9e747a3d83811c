/** Two people's (or two tabs') changes of one thing, together. */
import { isPlain, isSame, type Plain } from "./paths";

/** What both changed since `base`, value by value; where both changed the same value, mine holds. */
export function merged(base: unknown, mine: unknown, theirs: unknown): unknown {
  if (isSame(mine, base)) return theirs;
  if (isSame(theirs, base) || isSame(mine, theirs)) return mine;
  if (isPlain(mine) && isPlain(theirs)) return mergedSections(isPlain(base) ? base : {}, mine, theirs);
  if (Array.isArray(base) && Array.isArray(mine) && Array.isArray(theirs)) {
    const isAlike = mine.length === base.length && theirs.length === base.length && mine.every(isPlain);
    if (isAlike) return mine.map((each, i) => merged(base[i], each, theirs[i]));
  }
  return mine;
}

function mergedSections(base: Plain, mine: Plain, theirs: Plain): Plain {
  const keys = new Set([...Object.keys(theirs), ...Object.keys(mine)]);
  const found = [...keys].map((key) => [key, merged(base[key], mine[key], theirs[key])] as const);
  return Object.fromEntries(found.filter(([, value]) => value !== undefined));
}
