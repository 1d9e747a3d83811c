import type { DroppedFile } from "@/shared/dropped";

/** Files that a person dropped or picked, with their way below what was dropped. */

const ARCHIVES = [".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".rar", ".7z"];
const LITTER = /(^|\/)(\.DS_Store|Thumbs\.db|desktop\.ini|__MACOSX(\/.*)?|\._[^/]*)$/i;
/** Kohya's folders: how often each picture is used, and what it shows. */
const REPEATS = /^\d+_/;

export function isArchive(name: string): boolean {
  const low = name.toLowerCase();
  return ARCHIVES.some((ending) => low.endsWith(ending));
}

/** What a picker or a drop area gives, as files with paths. */
export function droppedOf(files: readonly File[]): DroppedFile[] {
  return withoutLitter(files.map((file) => ({ file, path: pathOf(file) })));
}

/** In the order of names. What systems leave in folders by themselves is nobody's picture. */
export function withoutLitter(dropped: readonly DroppedFile[]): DroppedFile[] {
  const order = new Intl.Collator(undefined, { numeric: true });
  return dropped.filter((each) => !LITTER.test(each.path)).sort((one, other) => order.compare(one.path, other.path));
}

function pathOf(file: File): string {
  const known = file as File & { path?: string; relativePath?: string };
  const path = file.webkitRelativePath || known.relativePath || known.path || file.name;
  return path.replaceAll("\\", "/").replace(/^(\.?\/)+/, "") || file.name;
}

/** The one folder that all of them lie in, if there is one. */
function topFolder(dropped: readonly DroppedFile[]): string | null {
  const [first] = dropped;
  if (!first?.path.includes("/")) return null;
  const top = first.path.slice(0, first.path.indexOf("/"));
  return dropped.every((each) => each.path.startsWith(`${top}/`)) ? top : null;
}

/** What a new dataset of these files may be called. */
export function suggestedName(dropped: readonly DroppedFile[]): string {
  const top = topFolder(dropped);
  if (top !== null) return top.replace(REPEATS, "").trim();
  const [first] = dropped;
  if (dropped.length !== 1 || !first || !isArchive(first.path)) return "";
  const low = first.path.toLowerCase();
  const ending = ARCHIVES.filter((each) => low.endsWith(each)).sort((one, other) => other.length - one.length)[0] ?? "";
  return first.path.slice(0, first.path.length - ending.length);
}

/** The folder that becomes the dataset is no sub-folder of it; kohya's folders say repeats and stay. */
export function withoutTop(dropped: readonly DroppedFile[]): DroppedFile[] {
  const top = topFolder(dropped);
  if (top === null || REPEATS.test(top)) return [...dropped];
  return dropped.map((each) => ({ ...each, path: each.path.slice(top.length + 1) }));
}
