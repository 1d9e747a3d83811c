import { z } from "zod";
import type { Sample, SamplePrompt, Samples } from "@/api/generated/types.gen";
import { serverUrl } from "@/api/setup";

/** Which samples are shown: in the address. */
export const samplesSearch = z.object({
  /** The chosen step; left out: the newest. */
  step: z.number().int().min(0).optional().catch(undefined),
  prompt: z.string().optional().catch(undefined),
  /** The full-screen viewer is open. */
  open: z.boolean().optional().catch(undefined),
  /** Compare with this step. */
  with: z.number().int().min(0).optional().catch(undefined),
  /** All steps at once. */
  all: z.boolean().optional().catch(undefined),
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
