import type { DroppedFile } from "@/shared/dropped";
import type { Begun } from "./begun";

/**
 * Dropped files with the ways of those that they go on with. A folder may be dropped again as a whole, its files may be
 * picked without it, and a new dataset's top folder has no place in it: so the end of the way, the size and the time tell.
 */
export function placed(dropped: readonly DroppedFile[], known: readonly Begun[]): DroppedFile[] {
  const left = new Map<string, Begun[]>();
  for (const each of known) {
    const key = `${nameOf(each.path)} ${each.bytes}`;
    left.set(key, [...(left.get(key) ?? []), each]);
  }
  return dropped.map((each) => {
    const candidates = left.get(`${nameOf(each.path)} ${each.file.size}`) ?? [];
    const found = candidates.find((one) => one.path === each.path) ?? candidates.find((one) => isSame(one, each));
    if (!found) return each;
    candidates.splice(candidates.indexOf(found), 1);
    return { ...each, path: found.path };
  });
}

/** The very file, not only one of its name: it need not be sent once more. */
export function isThere(begun: Begun | undefined, file: File): boolean {
  return begun?.arrived === true && begun.bytes === file.size && begun.modified === file.lastModified;
}

function isSame(one: Begun, dropped: DroppedFile): boolean {
  if (one.modified !== null && one.modified !== dropped.file.lastModified) return false;
  return endsIn(dropped.path, one.path) || endsIn(one.path, dropped.path);
}

function endsIn(long: string, short: string): boolean {
  return long === short || long.endsWith(`/${short}`);
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
