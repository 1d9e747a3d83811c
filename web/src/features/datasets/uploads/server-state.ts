import { listUploads, statFile } from "@/api/generated/sdk.gen";
import { problemOf } from "@/api/problem";
import type { Sent } from "./upload-files";

/** How long it is waited before a server that did not answer is asked whether it is back. */
const SOONEST_MS = 500;
const LATEST_MS = 5_000;

export async function untilServerAnswers(): Promise<void> {
  for (let wait = SOONEST_MS; ; wait = Math.min(2 * wait, LATEST_MS)) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    try {
      await listUploads({ query: { limit: 1 } });
      return;
    } catch (error) {
      if (!problemOf(error).isDisconnected) return;
    }
  }
}

/** Is there a file of that name and size in the file's place? */
export async function isOnServer(file: Sent): Promise<boolean> {
  const path = [file.meta.folder, file.meta.relativePath].filter(Boolean).join("/");
  try {
    return (await statFile({ query: { root: file.meta.root, path } })).data.size_bytes === file.size;
  } catch {
    return false;
  }
}
