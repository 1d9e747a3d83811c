import type { LocalModel } from "@/api/generated/types.gen";

/** Kinds of files in the order of the page, and what they are called. */
export const KINDS = [
  { kind: "model", label: "Base models" },
  { kind: "lora", label: "LoRA files" },
  { kind: "vae", label: "VAEs" },
  { kind: "text_encoder", label: "Text encoders" },
  { kind: "other", label: "Other" },
  { kind: "problem", label: "Not usable" },
] as const;

export type Kind = (typeof KINDS)[number]["kind"];

/** Pickles and broken files are no kind of model: they are shown with what is wrong with them. */
export function kindOf(model: Pick<LocalModel, "kind">): Kind {
  const known = KINDS.find((each) => each.kind === model.kind);
  return known?.kind ?? (model.kind === "pickle" || model.kind === "broken" ? "problem" : "other");
}

/** Those that have every word somewhere: in their name, path, architecture, trigger words. */
export function search(models: readonly LocalModel[], query: string): LocalModel[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return models.filter((model) => {
    const text = [
      model.title,
      model.relative,
      model.path,
      model.architecture,
      model.precision,
      model.trigger_words,
      model.base_model,
    ]
      .join(" ")
      .toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** What is known of it beside its size, in a few words. */
export function factsOf(model: LocalModel): string[] {
  const parameters = model.numbers ? `${billions(model.numbers)} parameters` : null;
  const rank = model.rank === null ? null : `rank ${model.rank}${model.alpha === null ? "" : `, alpha ${model.alpha}`}`;
  return [model.precision, model.kind === "lora" ? rank : parameters].filter((each) => each !== null);
}

function billions(numbers: number): string {
  return numbers >= 1e9
    ? `${(numbers / 1e9).toFixed(1)} billion`
    : `${Math.max(0.1, numbers / 1e6).toFixed(1)} million`;
}
