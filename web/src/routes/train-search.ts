import { z } from "zod/mini";

const shape = z.object({
  mode: z.catch(z.optional(z.enum(["guided", "all", "yaml"])), undefined),
  tab: z.catch(z.optional(z.string()), undefined),
  level: z.catch(z.optional(z.enum(["basic", "advanced", "expert"])), undefined),
  changed: z.catch(z.optional(z.boolean()), undefined),
  /** Start a draft with this dataset (its id), this preset, this run's config, this model's path. */
  dataset: z.catch(z.optional(z.string()), undefined),
  preset: z.catch(z.optional(z.string()), undefined),
  from: z.catch(z.optional(z.string()), undefined),
  model: z.catch(z.optional(z.string()), undefined),
});

export type TrainSearch = z.infer<typeof shape>;

export function trainSearch(search: Record<string, unknown>): TrainSearch {
  return shape.parse(search);
}
