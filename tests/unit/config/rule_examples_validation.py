"""Configs that the rules about validation and trackers find, and such that they leave alone."""

from __future__ import annotations

from tests.unit.config.rule_examples import Example

VALIDATION_EXAMPLES: dict[str, Example] = {
    "one_source_of_validation": Example(
        bad=(
            ("sd15", {"validation": {"split": 0.1, "path": "kept"}}, "error",
             [("validation.split", "validation.path")]),
        ),
        good=(("sd15", {"validation": {"split": 0.1}}), ("sd15", {"validation": {"path": "kept"}})),
    ),
    "validation_options_that_do_nothing": Example(
        bad=(
            ("sd15", {"validation": {"timesteps": 8, "early_stop_after": 3}}, "warning",
             [("validation.timesteps",), ("validation.early_stop_after",)]),
            ("sd15", {"validation": {"split": 0.1, "min_improvement": 0.1}}, "warning",
             [("validation.min_improvement",)]),
            ("sd15", {"validation": {"split": 0.1, "early_stop_after": 3, "every_n_steps": None}}, "warning",
             [("validation.early_stop_after",)]),
        ),
        good=(
            ("sd15", {"validation": {"split": 0.1, "early_stop_after": 3, "min_improvement": 0.1, "timesteps": 8}}),
            ("sd15", {"validation": {"path": "kept", "early_stop_after": 3, "every_n_steps": None,
                                     "every_n_epochs": 1}}),
        ),
    ),
    "weights_and_biases_options_that_do_nothing": Example(
        bad=(
            ("sd15", {"logging": {"wandb": {"project": "pets", "tags": ["a"]}}}, "warning",
             [("logging.wandb.project",), ("logging.wandb.tags",)]),
        ),
        good=(("sd15", {"logging": {"wandb": {"mode": "offline", "project": "pets"}}}),),
    ),
}  # fmt: skip
