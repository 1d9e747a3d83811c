/** Names of series as people say them. What is not here is shown as the engine writes it. */
const NAMES: Record<string, string> = {
  loss: "Loss",
  validation_loss: "Validation loss",
  learning_rate: "Learning rate",
  loss_slope: "Slope of the loss",
  loss_r2: "R² of the slope",
  loss_samples: "Losses behind the slope",
  loss_variation: "Variation of the loss",
  loss_diff_output_preservation: "Loss of output preservation",
  loss_blank_prompt_preservation: "Loss of blank-prompt preservation",
  loss_inverted_mask_prior: "Loss outside the masks",
  grad_norm: "Gradient norm",
  gradient_stability: "Gradient stability",
  gradient_stability_avg: "Gradient stability, mean of 50",
  sign_agreement: "Sign agreement",
  linear_alpha: "Alpha of linear layers",
  conv_alpha: "Alpha of convolutions",
  phase_idx: "Phase",
  steps_in_phase: "Steps in the phase",
  iterations_per_second: "Steps per second",
  "memory/process_mib": "Memory of the process, MiB",
  "memory/device_mib": "Memory on the card, MiB",
  "memory/device_reserved_mib": "Memory held on the card, MiB",
  epoch: "Epoch",
};

export function seriesLabel(name: string): string {
  const known = NAMES[name];
  if (known) return known;
  const band = /^(validation_)?loss_band_(\d+)_(\d+)$/.exec(name);
  if (band) return `${band[1] ? "Validation loss" : "Loss"}, times ${band[2]} to ${band[3]}`;
  const mean = /^(loss|grad)_ema_(\d+)$/.exec(name);
  if (mean) return `${mean[1] === "loss" ? "Loss" : "Gradient stability"}, mean of ${mean[2]}`;
  const rate = /^lr\/(.+)$/.exec(name);
  if (rate) return `Rate of ${(rate[1] as string).replaceAll("_", " ")}`;
  const seconds = /^seconds\/(.+)$/.exec(name);
  if (seconds) return `Seconds: ${seconds[1]}`;
  return name;
}

const GROUPS: readonly [string, RegExp][] = [
  ["Loss", /^(validation_)?loss/],
  ["Gradients and rates", /^(grad|lr|learning_rate|sign_)/],
  ["Phases of alpha", /^(alpha_|phase|steps_in_phase|linear_alpha|conv_alpha)/],
  ["Time and memory", /^(seconds\/|iterations|memory)/],
];

/** Series as choices under their headings. */
export function grouped(names: readonly string[]): { group: string; items: { value: string; label: string }[] }[] {
  const groups = new Map<string, { value: string; label: string }[]>();
  for (const name of names) {
    if (name === "time") continue;
    const group = seriesGroup(name);
    groups.set(group, [...(groups.get(group) ?? []), { value: name, label: seriesLabel(name) }]);
  }
  return [...groups].map(([group, items]) => ({ group, items }));
}

/** The heading under which a series is listed. */
export function seriesGroup(name: string): string {
  return GROUPS.find(([, pattern]) => pattern.test(name))?.[0] ?? "Others";
}
