import { listPicturesOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { ListPicturesData } from "@/api/generated/types.gen";

export type Sort = NonNullable<NonNullable<ListPicturesData["query"]>["sort"]>;

export interface Asked {
  query: string;
  sort: Sort;
  order: "up" | "down";
}

export const PAGE = 200;

/** A page of what a query finds, as the server is asked for it. */
export function pageOf(datasetId: string, asked: Asked, number: number) {
  return listPicturesOptions({
    path: { dataset_id: datasetId },
    query: { ...asked, offset: number * PAGE, limit: PAGE },
  });
}
