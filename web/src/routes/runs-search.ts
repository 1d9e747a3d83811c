import { z } from "zod/mini";
import { chartSearch } from "@/charts/options";
import { runsSearch } from "@/features/runs/search";
import { samplesSearch } from "@/features/samples/shown";

export { runsSearch };

export const RUN_TABS = ["overview", "samples", "checkpoints", "metrics", "log", "config", "files"] as const;

/** Everything that a run's page shows is in its address. */
export const runSearch = z.object({
  tab: z.catch(z.optional(z.enum(RUN_TABS)), undefined),
  ...chartSearch.shape,
  ...samplesSearch.shape,
  /** Series of the metrics tab. */
  series: z.catch(z.optional(z.array(z.string()).check(z.maxLength(8))), undefined),
  /** What is looked for in the log. */
  find: z.catch(z.optional(z.string().check(z.maxLength(200))), undefined),
  /** What the config is compared with: "defaults", "preset:<name>" or "run:<id>". */
  against: z.catch(z.optional(z.string()), undefined),
  folder: z.catch(z.optional(z.string().check(z.maxLength(1000))), undefined),
});

export const compareSearch = z.object({
  ids: z.catch(z.optional(z.array(z.string()).check(z.maxLength(20))), undefined),
  ...chartSearch.shape,
  name: z.catch(z.optional(z.string()), undefined),
  step: z.catch(z.optional(z.int().check(z.minimum(0))), undefined),
});

export type RunSearch = z.infer<typeof runSearch>;
