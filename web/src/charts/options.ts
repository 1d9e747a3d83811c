import { z } from "zod/mini";

/** How charts are shown: in the address, so that a reload and a link show the same. */
export const chartSearch = z.object({
  x: z.catch(z.optional(z.enum(["time", "epoch"])), undefined),
  smooth: z.catch(z.optional(z.number().check(z.minimum(0), z.maximum(0.99))), undefined),
  log: z.catch(z.optional(z.boolean()), undefined),
  clip: z.catch(z.optional(z.boolean()), undefined),
});

export type ChartSearch = z.infer<typeof chartSearch>;

export const USUAL_SMOOTHING = 0.9;
