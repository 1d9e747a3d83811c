import { z } from "zod/mini";
import { chartSearch } from "@/charts/options";
import { runsSearch } from "@/features/runs/search";
import { samplesSearch } from "@/features/samples/shown";
import { maybe } from "@/shared/maybe";

export { runsSearch };

export const RUN_TABS = ["overview", "samples", "checkpoints", "metrics", "log", "config", "files"] as const;

/** Everything that a run's page shows is in its address. */
export const runSearch = z.object({
  tab: maybe(z.enum(RUN_TABS)),
  ...chartSearch.shape,
  ...samplesSearch.shape,
  /** Series of the metrics tab. */
  series: maybe(z.array(z.string()).check(z.maxLength(8))),
  /** What is looked for in the log. */
  find: maybe(z.string().check(z.maxLength(200))),
  /** What the config is compared with: "defaults", "preset:<name>" or "run:<id>". */
  against: maybe(z.string()),
  folder: maybe(z.string().check(z.maxLength(1000))),
});

export const compareSearch = z.object({
  ids: maybe(z.array(z.string()).check(z.maxLength(20))),
  ...chartSearch.shape,
  name: maybe(z.string()),
  step: maybe(z.int().check(z.nonnegative())),
});

export type RunSearch = z.infer<typeof runSearch>;
