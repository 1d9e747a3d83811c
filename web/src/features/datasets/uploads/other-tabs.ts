import { isSending } from "./store";

/** Tabs of this browser tell each other who is sending files, so that none calls another one's files lost. */
const channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("loratory-uploads");
const PATIENCE_MS = 250;

interface Said {
  kind: "who" | "me";
  datasetId: string;
}

channel?.addEventListener("message", ({ data }: MessageEvent<Said>) => {
  if (data.kind === "who" && isSending(data.datasetId)) {
    channel.postMessage({ kind: "me", datasetId: data.datasetId } satisfies Said);
  }
});

/** Does another tab send files to this dataset? */
export function isSentElsewhere(datasetId: string): Promise<boolean> {
  return new Promise((resolve) => {
    if (!channel) return resolve(false);
    const end = (found: boolean) => {
      clearTimeout(timer);
      channel.removeEventListener("message", heard);
      resolve(found);
    };
    const heard = ({ data }: MessageEvent<Said>) => {
      if (data.kind === "me" && data.datasetId === datasetId) end(true);
    };
    const timer = setTimeout(() => end(false), PATIENCE_MS);
    channel.addEventListener("message", heard);
    channel.postMessage({ kind: "who", datasetId } satisfies Said);
  });
}
