import { z } from "zod/mini";
import type { Sample, SamplePrompt, Samples } from "@/api/generated/types.gen";
import { serverUrl } from "@/api/setup";
import { maybe } from "@/shared/maybe";

/** Which samples are shown: in the address. */
export const samplesSearch = z.object({
  /** The chosen step; left out: the newest. */
  step: maybe(z.int().check(z.nonnegative())),
  prompt: maybe(z.string()),
  /** The full-screen viewer is open. */
  open: maybe(z.boolean()),
  /** Compare with this step. */
  with: maybe(z.int().check(z.nonnegative())),
  /** All steps at once. */
  all: maybe(z.boolean()),
});

export type SamplesSearch = z.infer<typeof samplesSearch>;

/** The samples of a run, ready to be looked up by step and prompt. */
export interface Shown {
  steps: number[];
  prompts: SamplePrompt[];
  at: (step: number, prompt: string) => Sample | undefined;
}

export function shownOf(samples: Samples): Shown {
  const found = new Map<string, Sample>();
  for (const each of samples.samples ?? []) found.set(`${each.step} ${each.prompt}`, each);
  return {
    steps: samples.steps ?? [],
    prompts: samples.prompts ?? [],
    at: (step, prompt) => found.get(`${step} ${prompt}`),
  };
}

export function sampleUrl(runId: string, sample: Sample, size?: 128 | 256 | 512): string {
  const query = size ? `?size=${size}` : "";
  return serverUrl(`/api/runs/${runId}/samples/${encodeURIComponent(sample.file)}${query}`);
}

export function promptText(prompt: SamplePrompt): string {
  return prompt.text || `Prompt ${prompt.index + 1}`;
}
