/** Files that were dropped on any page, on their way to the page that receives them, `/datasets`. */

export interface DroppedFile {
  file: File;
  /** With the folders it was in: "dog/photos/1.jpg". */
  path: string;
}

let waiting: Promise<DroppedFile[]> | null = null;
const listeners = new Set<() => void>();

/** Keep them until a page takes them. */
export function offerDropped(files: Promise<DroppedFile[]>): void {
  waiting = files;
  for (const listener of listeners) listener();
}

/** What is waiting, once; null where nothing is. */
export function takeDropped(): Promise<DroppedFile[]> | null {
  const files = waiting;
  waiting = null;
  return files;
}

/** For a page that is open already when something is dropped. Gives what ends it. */
export function onDropped(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Files that were picked, with the folders they were in. */
export function pickedFiles(files: FileList | null): DroppedFile[] {
  return [...(files ?? [])].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
}

/** All files of a drop, those in folders too. Must be called while the drop is being dealt with, not later. */
export function readDropped(transfer: DataTransfer): Promise<DroppedFile[]> {
  const roots: (FileSystemEntry | File)[] = [];
  for (const item of transfer.items) {
    if (item.kind !== "file") continue;
    const found = item.webkitGetAsEntry?.() ?? item.getAsFile();
    if (found) roots.push(found);
  }
  return Promise.all(roots.map(read)).then((lists) => lists.flat());
}

async function read(found: FileSystemEntry | File): Promise<DroppedFile[]> {
  if (found instanceof File) return [{ file: found, path: found.name }];
  const path = found.fullPath.replace(/^\//, "");
  if (found.isFile) {
    const file = await new Promise<File>((resolve, reject) => (found as FileSystemFileEntry).file(resolve, reject));
    return [{ file, path }];
  }
  const reader = (found as FileSystemDirectoryEntry).createReader();
  const inside: FileSystemEntry[] = [];
  // A reader gives a hundred at a time, and nothing when it is done.
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) break;
    inside.push(...some);
  }
  const lists: DroppedFile[][] = [];
  for (const each of inside) lists.push(await read(each));
  return lists.flat();
}
