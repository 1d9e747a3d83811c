import { z } from "zod";

const shape = z.object({
  mode: z.enum(["guided", "all", "yaml"]).optional().catch(undefined),
  tab: z.string().optional().catch(undefined),
  level: z.enum(["basic", "advanced", "expert"]).optional().catch(undefined),
  changed: z.boolean().optional().catch(undefined),
  /** Start a draft with this dataset (its id), this preset, this run's config, this model's path. */
  dataset: z.string().optional().catch(undefined),
  preset: z.string().optional().catch(undefined),
  from: z.string().optional().catch(undefined),
  model: z.string().optional().catch(undefined),
  /** A setting to lead to. */
  field: z.string().optional().catch(undefined),
});

export type TrainSearch = z.infer<typeof shape>;

export function trainSearch(search: Record<string, unknown>): TrainSearch {
  return shape.parse(search);
}
