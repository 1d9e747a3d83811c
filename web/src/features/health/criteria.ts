import type { Criterion } from "@/api/generated/types.gen";
import { count, significant } from "@/shared/format";

export interface CriterionWords {
  name: string;
  wanted: string;
  now: string;
  /** What to do while it does not hold. */
  advice: string;
}

/** A criterion of a phase, for people. */
export function criterionWords(each: Criterion): CriterionWords {
  const now = significant(each.value);
  switch (each.name) {
    case "min_steps":
      return {
        name: "Steps in the phase",
        wanted: `at least ${count(each.above)}`,
        now: count(each.value),
        advice: "Only time helps: the phase has at least so many steps.",
      };
    case "loss_samples":
      return {
        name: "Losses behind the slope",
        wanted: `at least ${count(each.above)}`,
        now: count(each.value),
        advice: "Only time helps: no phase ends before so many losses are known.",
      };
    case "loss_slope":
      return {
        name: "Slope of the loss",
        wanted: `between ${significant(each.above)} and ${significant(each.below)}`,
        now,
        advice:
          each.value !== null && each.above !== null && each.value <= each.above
            ? "The loss still falls: good, nothing is wrong. The slope goes through 200 steps, so it answers late."
            : "The loss does not settle. A lower learning rate helps, or a higher limit.",
      };
    case "gradient_stability_avg":
      return {
        name: "Gradient stability",
        wanted: `above ${significant(each.above)}`,
        now,
        advice: "Raise the batch size or the gradient accumulation, or lower the limit.",
      };
    case "loss_variation":
      return {
        name: "Variation of the loss",
        wanted: `below ${significant(each.below)}`,
        now,
        advice: "A larger batch makes the loss calmer.",
      };
    case "loss_r2":
      return {
        name: "R² of the slope",
        wanted: `above ${significant(each.above)}`,
        now,
        advice: "R² is near zero once the loss has settled: this limit can hold a run back for ever. Leave it out.",
      };
  }
}
