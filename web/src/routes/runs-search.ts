import { z } from "zod";
import { chartSearch } from "@/charts/options";
import { runsSearch } from "@/features/runs/search";
import { samplesSearch } from "@/features/samples/shown";

export { runsSearch };

export const RUN_TABS = ["overview", "samples", "checkpoints", "metrics", "log", "config", "files"] as const;

/** Everything that a run's page shows is in its address. */
export const runSearch = z.object({
  tab: z.enum(RUN_TABS).optional().catch(undefined),
  ...chartSearch.shape,
  ...samplesSearch.shape,
  /** Series of the metrics tab. */
  series: z.array(z.string()).max(8).optional().catch(undefined),
  /** What is looked for in the log. */
  find: z.string().max(200).optional().catch(undefined),
  /** What the config is compared with: "defaults", "preset:<name>" or "run:<id>". */
  against: z.string().optional().catch(undefined),
  folder: z.string().max(1000).optional().catch(undefined),
});

export const compareSearch = z.object({
  ids: z.array(z.string()).max(20).optional().catch(undefined),
  ...chartSearch.shape,
  name: z.string().optional().catch(undefined),
  step: z.number().int().min(0).optional().catch(undefined),
});

export type RunSearch = z.infer<typeof runSearch>;
