import { z } from "zod/mini";
import { maybe } from "@/shared/maybe";

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
  q: maybe(z.string().check(z.maxLength(200))),
  state: maybe(z.string()),
  tag: maybe(z.string()),
  sort: maybe(z.enum(SORTS)),
  up: maybe(z.boolean()),
  more: maybe(z.int().check(z.minimum(1), z.maximum(10))),
  ids: maybe(z.array(z.string()).check(z.maxLength(20))),
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
