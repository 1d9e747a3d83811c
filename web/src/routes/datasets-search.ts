import * as z from "zod/mini";

/** What the addresses of the datasets' pages hold: a wrong value is left out, so that an old link still opens. */
export const librarySearch = z.object({
  search: z._default(z.catch(z.string(), ""), ""),
});

const TABS = ["pictures", "edits", "checks", "buckets", "numbers", "copy", "settings"] as const;
export type Tab = (typeof TABS)[number];

export const datasetSearch = z.object({
  tab: z._default(z.catch(z.enum(TABS), "pictures"), "pictures"),
  /** The query of the gallery. */
  q: z._default(z.catch(z.string(), ""), ""),
  sort: z._default(z.catch(z.enum(["path", "name", "changed", "bytes", "pixels", "caption", "tags"]), "path"), "path"),
  order: z._default(z.catch(z.enum(["up", "down"]), "up"), "up"),
  size: z._default(z.catch(z.enum(["s", "m", "l"]), "m"), "m"),
  /** The picture that is open in the editor. */
  item: z.optional(z.catch(z.string(), "")),
  /** The kind of check that is shown. */
  check: z.optional(z.catch(z.string(), "")),
  /** Whether captions are edited as tags or as text; left out: as the dataset says. */
  as: z.optional(z.catch(z.enum(["tags", "text"]), "tags")),
});
export type DatasetSearch = z.infer<typeof datasetSearch>;
