import { z } from "zod/mini";
import { maybe } from "@/shared/maybe";

/** What the address of the page of training holds. */
export const trainSearch = z.object({
  mode: maybe(z.enum(["guided", "all", "yaml"])),
  tab: maybe(z.string()),
  level: maybe(z.enum(["basic", "advanced", "expert"])),
  changed: maybe(z.boolean()),
  /** Start a draft with this dataset (its id), this preset, this run's config, this model's path. */
  dataset: maybe(z.string()),
  preset: maybe(z.string()),
  from: maybe(z.string()),
  model: maybe(z.string()),
  /** Lead to this setting. */
  field: maybe(z.string()),
});
