/** One draft that several tabs write. Storage tells them of each other late, so each value says when it was changed: the
 *  latest holds, and no tab takes what it has not heard of for something that another one took out. */
import { isPlain, isSame, type Plain } from "@/forms/paths";

/** A count that is higher than all that its tab knew (Lamport's clock), and for two of one count the tab's name. */
type Stamp = readonly [count: number, tab: string];

export interface Written {
  readonly data: Plain;
  /** When each value was changed, or taken out, since the draft was made. */
  readonly stamps: Readonly<Record<string, Stamp>>;
}

const BETWEEN = "\n"; // names of layers have dots

/** What one tab knows. */
export class Tab {
  private known: ReadonlyMap<string, unknown>;
  private readonly stamps: Map<string, Stamp>;

  constructor(
    readonly name: string,
    begun: Plain,
    stamps: Written["stamps"] = {},
  ) {
    this.known = valuesOf(begun);
    this.stamps = new Map(Object.entries(stamps));
  }

  /** What is to be kept now. */
  write(data: Plain): Written {
    this.note(data);
    return { data, stamps: Object.fromEntries(this.stamps) };
  }

  /** What is typed here with what another tab wrote later; null where that is nothing. */
  take(written: Written, data: Plain): Plain | null {
    this.note(data);
    const values = valuesOf(written.data);
    let next = data;
    for (const [path, stamp] of Object.entries(written.stamps)) {
      if (!isLater(stamp, this.stamps.get(path))) continue;
      this.stamps.set(path, stamp);
      if (!isSame(values.get(path), this.known.get(path))) next = put(next, path.split(BETWEEN), values.get(path));
    }
    this.known = valuesOf(next);
    return next === data ? null : next;
  }

  private note(data: Plain): void {
    const now = valuesOf(data);
    const count = 1 + Math.max(0, ...[...this.stamps.values()].map(([each]) => each));
    for (const path of new Set([...now.keys(), ...this.known.keys()]))
      if (!isSame(now.get(path), this.known.get(path))) this.stamps.set(path, [count, this.name]);
    this.known = now;
  }
}

function isLater(one: Stamp, other: Stamp | undefined): boolean {
  if (!other) return true;
  return one[0] === other[0] ? one[1] > other[1] : one[0] > other[0];
}

/** All that is no section. A list is one value: what its second entry is, nobody can say without its first. */
function valuesOf(data: Plain, prefix = ""): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const [key, value] of Object.entries(data)) {
    if (!isPlain(value)) found.set(prefix + key, value);
    else for (const [path, inner] of valuesOf(value, prefix + key + BETWEEN)) found.set(path, inner);
  }
  return found;
}

/** With another value there; `undefined` takes it out, and the sections that are empty then. */
function put(data: Plain, path: readonly string[], value: unknown): Plain {
  const [head = "", ...rest] = path;
  const { [head]: before, ...others } = data;
  const next = rest.length > 0 ? put(isPlain(before) ? before : {}, rest, value) : value;
  const isGone =
    next === undefined || (rest.length > 0 && value === undefined && Object.keys(next as Plain).length === 0);
  return isGone ? others : { ...data, [head]: next };
}
