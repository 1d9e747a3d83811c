import { z } from "zod/mini";
import { maybe } from "@/shared/maybe";

/** How charts are shown: in the address, so that a reload and a link show the same. */
export const chartSearch = z.object({
  x: maybe(z.enum(["time", "epoch"])),
  smooth: maybe(z.number().check(z.minimum(0), z.maximum(0.99))),
  log: maybe(z.boolean()),
  clip: maybe(z.boolean()),
});

export type ChartSearch = z.infer<typeof chartSearch>;

export const USUAL_SMOOTHING = 0.9;
