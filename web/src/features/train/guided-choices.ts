/** What each answer of the guided page writes into the draft. */
import type { PresetOut } from "@/api/generated/types.gen";
import { getIn, isSame, type Plain, setIn, unsetIn } from "@/forms/paths";

export const DEMO = "demo";

/** What the small model that comes along needs. */
const FOR_DEMO: Readonly<Record<string, unknown>> = {
  network: { rank: 16, conv_rank: 16 },
  optimizer: { type: "adamw", learning_rate: 0.0025 },
  schedule: { type: "cosine", warmup_steps: 20 },
  batching: { size: 4, buckets: { resolution: 128 } },
  memory: { precision: "fp32" },
  "sampling.width": 128,
  "sampling.height": 128,
};

export const GOALS = [
  { value: "character", label: "Character", about: "a person, an animal, a figure" },
  { value: "style", label: "Style", about: "a way of drawing, painting, lighting" },
  { value: "object", label: "Object", about: "a thing, a product, a building" },
  { value: "concept", label: "Concept", about: "a pose, a composition, an idea" },
] as const;

export interface Stop {
  readonly label: string;
  readonly steps: number;
}

const STOPS: readonly Stop[] = [
  { label: "Quick", steps: 600 },
  { label: "Balanced", steps: 1500 },
  { label: "Thorough", steps: 3000 },
];

const DEMO_STOPS: readonly Stop[] = [
  { label: "Quick", steps: 100 },
  { label: "Balanced", steps: 300 },
  { label: "Thorough", steps: 800 },
];

export function stopsFor(model: unknown): readonly Stop[] {
  return model === DEMO ? DEMO_STOPS : STOPS;
}

/** The nearest stop to what the draft says; the middle one where it says nothing. */
export function stopOf(data: Plain): number {
  const steps = getIn(data, "duration.steps");
  const stops = stopsFor(getIn(data, "model.path"));
  if (typeof steps !== "number") return 1;
  const distances = stops.map((each) => Math.abs(Math.log(each.steps / Math.max(1, steps))));
  return distances.indexOf(Math.min(...distances));
}

export function withStop(data: Plain, stop: number): Plain {
  const stops = stopsFor(getIn(data, "model.path"));
  const steps = stops[stop]?.steps ?? 1500;
  let next = setIn(data, "duration", { steps });
  // Four looks on the way, and one at the end.
  if (getIn(data, "sampling.prompts")) next = setIn(next, "sampling.every_n_steps", Math.max(1, Math.round(steps / 4)));
  return next;
}

/** Another base model: the steps keep their place between quick and thorough. */
export function withModel(data: Plain, path: string, architecture: string | null): Plain {
  const stop = stopOf(data);
  let next = setIn(data, "model", { ...(architecture ? { architecture } : {}), path });
  for (const [key, value] of Object.entries(FOR_DEMO)) {
    if (path === DEMO) next = setIn(next, key, value);
    else if (isSame(getIn(next, key), value)) next = unsetIn(next, key);
  }
  if (path === DEMO) next = unsetIn(next, "preset");
  return withStop(next, stop);
}

export function withDataset(data: Plain, id: string, name: string, captions: readonly string[]): Plain {
  let next = setIn(data, "datasets.0.path", `dataset:${id}`);
  if (!getIn(data, "name")) next = setIn(next, "name", name);
  return withPrompts(next, captions);
}

/** Samples show what captions of the dataset give, until somebody writes prompts. */
export function withPrompts(data: Plain, captions: readonly string[]): Plain {
  if (captions.length === 0 || getIn(data, "sampling.prompts") !== undefined) return data;
  const stop = stopOf(data);
  return withStop(setIn(data, "sampling.prompts", captions), stop);
}

/** The preset for a goal: the one for this machine's card, or else the thriftiest. */
export function presetFor(presets: readonly PresetOut[], goal: string): string | null {
  const fitting = presets
    .filter((each) => each.goal === goal && !each.own && !each.problem)
    .toSorted((a, b) => (a.memory_gb ?? 0) - (b.memory_gb ?? 0));
  return (fitting.find((each) => each.proposed) ?? fitting[0])?.name ?? null;
}

export function datasetOf(data: Plain): string | null {
  const path = getIn(data, "datasets.0.path");
  return typeof path === "string" && path.startsWith("dataset:") ? path.slice("dataset:".length) : null;
}
