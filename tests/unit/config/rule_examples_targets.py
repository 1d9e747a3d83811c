"""Configs that the rules about the bare model and MeanFlow find, and such that they leave alone."""

from __future__ import annotations

from typing import Any

from tests.unit.config.rule_examples import Example


def objective(**changes: Any) -> dict[str, Any]:
    return {"objective": changes}


def datasets(*several: dict[str, Any]) -> dict[str, Any]:
    return {"datasets": [{"path": f"photos{i}", **each} for i, each in enumerate(several)]}


DOG = {"diff_output_preservation": 1.0, "diff_output_preservation_class": "dog"}
NAMED, KEPT, REGULAR = {"trigger_word": "ohwx"}, {"diff_output_preservation": True}, {"is_regularisation": True}
SCALE, STEPS, RAW = (
    f"objective.{name}" for name in ("guidance_loss_target", "mean_flow_steps", "model_prediction_type")
)
CLASS = "objective.diff_output_preservation_class"

TARGET_EXAMPLES: dict[str, Example] = {
    "guidance_is_a_scale": Example(
        bad=(
            ("flux1", objective(guidance_loss_target=-1), "error", [(SCALE,)]),
            ("sd15", objective(guidance_loss_target=[4, 2]), "error", [(SCALE,)]),
            ("sd15", objective(guidance_loss_target=1), "warning", [(SCALE,)]),
        ),
        good=(
            ("flux1", objective(guidance_loss_target=3.5, guidance_loss_schedule="sigma")),
            ("sdxl", objective(guidance_loss_target=[1, 4], guidance_loss_cfg_zero=True)),
        ),
    ),
    "mean_flow_needs_flow": Example(
        bad=(
            ("sd15", objective(mean_flow_steps=4), "error", [(STEPS,)]),
            ("sdxl", objective(loss_type="mean_flow"), "error", [(STEPS,)]),
            ("flux1", objective(mean_flow_steps=4, mean_flow_distance=1e-3), "warning",
             [("objective.mean_flow_distance", "memory.precision")]),
            ("flux1", objective(mean_flow_steps=4, blank_prompt_preservation=1), "warning",
             [(STEPS, "objective.blank_prompt_preservation")]),
        ),
        good=(
            ("flux1", objective(mean_flow_steps=4)),
            ("flux1", objective(mean_flow_steps=1, mean_flow_distance=1e-3) | {"memory": {"precision": "fp32"}}),
        ),
    ),
    "targets_are_velocities": Example(
        bad=(
            ("flux1", objective(model_prediction_type="sigma_scaled", guidance_loss_target=3, mean_flow_steps=2),
             "error", [(RAW, SCALE, STEPS)]),
            ("flux1", objective(model_prediction_type="additive", mean_flow_steps=2), "error", [(RAW, STEPS)]),
        ),
        good=(
            ("flux1", objective(model_prediction_type="sigma_scaled", blank_prompt_preservation=1)),
            ("flux1", objective(guidance_loss_target=3)),
        ),
    ),
    "preservation_has_a_class": Example(
        bad=(
            ("sd15", objective(diff_output_preservation=1) | datasets(NAMED), "error", [(CLASS,)]),
            ("sd15", objective(**DOG) | datasets({"trigger_word": "Dog"}), "error",
             [("datasets.0.trigger_word", CLASS)]),
            ("sd15", objective(**DOG) | datasets(NAMED, {}), "warning",
             [("datasets.1.trigger_word", "objective.diff_output_preservation")]),
        ),
        good=(("sd15", objective(**DOG) | datasets(NAMED, REGULAR, KEPT)),),
    ),
    "empty_captions_are_taught_or_preserved": Example(
        bad=(
            ("sd15", objective(blank_prompt_preservation=1)
             | datasets({"captions": {"dropout_rate": 0.1, "dropout_every_n_epochs": 2}}), "warning",
             [("datasets.0.captions.dropout_rate", "objective.blank_prompt_preservation"),
              ("datasets.0.captions.dropout_every_n_epochs", "objective.blank_prompt_preservation")]),
        ),
        good=(
            ("sd15", objective(blank_prompt_preservation=1)),
            ("sd15", objective(blank_prompt_preservation=1)
             | datasets({}, REGULAR | {"captions": {"dropout_rate": 0.1}})),
        ),
    ),
    "priors_outside_masks_need_masks": Example(
        bad=(("sd15", objective(inverted_mask_prior=0.5), "warning", [("objective.inverted_mask_prior",)]),),
        good=(("sd15", objective(inverted_mask_prior=0.5) | datasets({}, {"masks": {"alpha": True}})),),
    ),
    "something_new_is_learned": Example(
        bad=(
            ("sd15", datasets(KEPT, KEPT), "error",
             [("datasets.0.diff_output_preservation", "datasets.1.diff_output_preservation")]),
            ("sd15", objective(blank_prompt_preservation=1) | datasets(KEPT, REGULAR), "warning",
             [("objective.blank_prompt_preservation",)]),
        ),
        good=(("sd15", objective(**DOG) | datasets(NAMED, KEPT)), ("sd15", datasets({}, KEPT))),
    ),
}  # fmt: skip
