import type { QueryClient } from "@tanstack/react-query";
import { scanDataset } from "@/api/generated/sdk.gen";

/** Operations whose answers depend on a dataset's pictures or captions. */
const OF_DATASET = new Set([
  "getDataset",
  "listDatasets",
  "listPictures",
  "listPicturePaths",
  "listTags",
  "listTagsTogether",
  "getDatasetStatistics",
  "previewBuckets",
  "getChecks",
  "listFindings",
  "listCaptionEdits",
]);

/** Ask again for everything that is shown of a dataset's content. */
export async function askAgain(queries: QueryClient, datasetId: string): Promise<void> {
  await queries.invalidateQueries({
    predicate: ({ queryKey }) => {
      const key = queryKey[0] as { _id?: string; path?: { dataset_id?: string } } | undefined;
      const own = key?.path?.dataset_id === undefined || key.path.dataset_id === datasetId;
      return own && OF_DATASET.has(key?._id ?? "");
    },
  });
}

/** Let the server look at the folder now, then ask again: after files came or went. */
export async function refreshDataset(queries: QueryClient, datasetId: string): Promise<void> {
  try {
    await scanDataset({ path: { dataset_id: datasetId } });
  } catch {
    // The server finds the files by itself a little later.
  }
  await askAgain(queries, datasetId);
}
