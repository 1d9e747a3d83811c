import type { ConfigDifference, Sample, SamplePrompt, Samples } from "@/api/generated/types.gen";

/** A parameter that is not the same in all runs. */
export interface ConfigRow {
  path: string;
  /** One for each run; `isThere` false where that run has no such parameter. */
  values: { value: unknown; isThere: boolean }[];
}

/**
 * One table of several runs, from the differences of each one from the first (null: of this run nothing is known).
 * What a difference leaves out is the same as in the first run.
 */
export function configRows(differences: readonly (readonly ConfigDifference[] | null)[]): ConfigRow[] {
  const paths: string[] = [];
  const first = new Map<string, ConfigRow["values"][number]>();
  for (const found of differences) {
    let place = -1;
    for (const each of found ?? []) {
      if (!first.has(each.path)) {
        place += 1;
        paths.splice(place, 0, each.path);
        first.set(each.path, { value: each.a, isThere: "a" in each });
      }
      place = paths.indexOf(each.path);
    }
  }
  const own = differences.map((found) => new Map((found ?? []).map((each) => [each.path, each])));
  // A list that is longer in one run has entries that the others lack: what is empty there says nothing.
  return paths
    .filter((path) => path !== "name")
    .map((path) => {
      const base = first.get(path) ?? { value: undefined, isThere: false };
      const others = own.map((found) => {
        const each = found.get(path);
        return each ? { value: each.b, isThere: "b" in each } : base;
      });
      return { path, values: [base, ...others] };
    })
    .filter(({ values }) => values.some(({ value, isThere }) => isThere && value !== null));
}

/**
 * What names a prompt in every run: its words, for size or steps may differ between runs; and where a run has the same
 * words several times (with several seeds), which of them it is.
 */
function identitiesOf(prompts: readonly SamplePrompt[]): Map<string, string> {
  const times = new Map<string, number>();
  const found = new Map<string, string>();
  for (const each of prompts) {
    const words = each.text === null ? each.key : `${each.text}\n${each.negative ?? ""}`;
    const time = times.get(words) ?? 0;
    times.set(words, time + 1);
    found.set(each.key, `${words}\n${time}`);
  }
  return found;
}

export interface Column {
  steps: number[];
  at: (step: number, identity: string) => Sample | undefined;
}

export interface SyncedSamples {
  /** All steps of all runs. */
  steps: number[];
  prompts: { identity: string; prompt: SamplePrompt }[];
  columns: Column[];
}

/** The samples of several runs, to be shown side by side. */
export function syncedSamples(all: readonly (Samples | undefined)[]): SyncedSamples {
  const prompts = new Map<string, SamplePrompt>();
  const steps = new Set<number>();
  const columns = all.map((samples): Column => {
    const identities = identitiesOf(samples?.prompts ?? []);
    for (const prompt of samples?.prompts ?? []) {
      const identity = identities.get(prompt.key) as string;
      if (!prompts.has(identity)) prompts.set(identity, prompt);
    }
    const found = new Map<string, Sample>();
    for (const each of samples?.samples ?? []) found.set(`${each.step} ${identities.get(each.prompt)}`, each);
    for (const step of samples?.steps ?? []) steps.add(step);
    return { steps: samples?.steps ?? [], at: (step, identity) => found.get(`${step} ${identity}`) };
  });
  return {
    steps: [...steps].sort((a, b) => a - b),
    prompts: [...prompts].map(([identity, prompt]) => ({ identity, prompt })),
    columns,
  };
}

/** What a run has of a prompt at a step, or at its last step before: so a run that samples seldom is not a hole. */
export function sampleAt(column: Column, step: number, identity: string): Sample | undefined {
  for (const each of column.steps.toReversed()) {
    const found = each <= step ? column.at(each, identity) : undefined;
    if (found) return found;
  }
  return undefined;
}
