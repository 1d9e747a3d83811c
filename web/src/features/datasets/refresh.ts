import type { QueryClient } from "@tanstack/react-query";
import { scanDataset } from "@/api/generated/sdk.gen";
import { askAgain } from "@/api/of-dataset";

/** Let the server look at the folder now, then ask again: after files came or went. */
export async function refreshDataset(queries: QueryClient, datasetId: string): Promise<void> {
  try {
    await scanDataset({ path: { dataset_id: datasetId } });
  } catch {
    // The server finds the files by itself a little later.
  }
  await askAgain(queries, datasetId);
}
