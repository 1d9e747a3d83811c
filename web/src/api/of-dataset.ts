import type { QueryClient } from "@tanstack/react-query";
import { markStale } from "./stale";

/** Operations whose answers depend on a dataset's pictures or captions. */
const OF_DATASET = new Set([
  "getDataset",
  "listDatasets",
  "listPictures",
  "listPicturePaths",
  "getPicture",
  "readCaption",
  "getCaptionHistory",
  "listTags",
  "listTagsTogether",
  "getDatasetStatistics",
  "previewBuckets",
  "getChecks",
  "listFindings",
  "listCaptionEdits",
]);

/** Ask again for everything that is shown of a dataset's content; without an id: of all datasets'. */
export function askAgain(queries: QueryClient, datasetId?: string): Promise<void> {
  return markStale(queries, {
    predicate: ({ queryKey }) => {
      const key = queryKey[0] as { _id?: string; path?: { dataset_id?: string } } | undefined;
      const of = key?.path?.dataset_id;
      return OF_DATASET.has(key?._id ?? "") && (of === undefined || datasetId === undefined || of === datasetId);
    },
  });
}
