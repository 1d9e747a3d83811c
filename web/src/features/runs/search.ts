import { z } from "zod";

const SORTS = [
  "created",
  "name",
  "state",
  "step",
  "loss",
  "validation_loss",
  "bytes",
  "iterations_per_second",
] as const;
export type Sort = (typeof SORTS)[number];

/** What the list of runs shows: in the address. */
export const runsSearch = z.object({
  q: z.string().max(200).optional().catch(undefined),
  state: z.string().optional().catch(undefined),
  tag: z.string().optional().catch(undefined),
  sort: z.enum(SORTS).optional().catch(undefined),
  up: z.boolean().optional().catch(undefined),
  more: z.number().int().min(1).max(10).optional().catch(undefined),
  ids: z.array(z.string()).max(20).optional().catch(undefined),
});

export type RunsSearch = z.infer<typeof runsSearch>;

export const PAGE = 100;

/** States as a person asks for them, and what they are to the server. */
export const KINDS: Record<string, { label: string; states: string[] }> = {
  active: { label: "Running", states: ["starting", "caching", "training", "validating", "sampling", "saving"] },
  waiting: { label: "Waiting", states: ["queued"] },
  finished: { label: "Finished", states: ["finished"] },
  stopped: { label: "Stopped", states: ["stopped"] },
  failed: { label: "Failed", states: ["failed", "died"] },
};
