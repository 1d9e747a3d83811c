import { serverUrl } from "@/api/setup";

/** Longest sides of thumbnails that the server makes. */
export type ThumbSize = 128 | 256 | 512 | 1024;

/** A thumbnail's address; with the picture's stamp the browser may keep it for ever. */
export function thumbnailUrl(datasetId: string, item: string, size: ThumbSize, stamp = ""): string {
  const asked = new URLSearchParams({ item, size: String(size), ...(stamp && { stamp }) });
  return serverUrl(`/api/datasets/${datasetId}/pictures/thumbnail?${asked}`);
}

/** The picture itself. */
export function pictureUrl(datasetId: string, item: string, stamp = ""): string {
  const asked = new URLSearchParams({ item, ...(stamp && { stamp }) });
  return serverUrl(`/api/datasets/${datasetId}/pictures/file?${asked}`);
}

export function fileName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
