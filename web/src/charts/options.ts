import { z } from "zod";

/** How charts are shown: in the address, so that a reload and a link show the same. */
export const chartSearch = z.object({
  x: z.enum(["time", "epoch"]).optional().catch(undefined),
  smooth: z.number().min(0).max(0.99).optional().catch(undefined),
  log: z.boolean().optional().catch(undefined),
  clip: z.boolean().optional().catch(undefined),
});

export type ChartSearch = z.infer<typeof chartSearch>;

export const USUAL_SMOOTHING = 0.9;
