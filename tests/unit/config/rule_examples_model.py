"""Configs that the rules about the model's files find, and such that they leave alone; test_rules.py tries them."""

from __future__ import annotations

from tests.unit.config.rule_examples import Example

MODEL_EXAMPLES: dict[str, Example] = {
    "parts_are_components": Example(
        bad=(
            (
                "sd15",
                {"model": {"path": "demo", "parts": {"text_encoder_2": "x"}}},
                "error",
                [("model.parts.text_encoder_2",)],
            ),
            (
                "flux1",
                {"model": {"path": "demo", "parts": {"vae": "x"}, "vae_path": "y"}},
                "error",
                [("model.parts.vae", "model.vae_path")],
            ),
            (
                "sd3",
                {"model": {"path": "demo", "parts": {"text_encoder_2": None}}},
                "error",
                [("model.parts.text_encoder_2",)],
            ),
            (
                "sd3",
                {
                    "model": {"path": "demo", "parts": {"text_encoder_3": None}},
                    "network": {"train_large_text_encoders": True},
                },
                "error",
                [("model.parts.text_encoder_3", "network.train_large_text_encoders")],
            ),
        ),
        good=(
            ("sd3", {"model": {"path": "demo", "parts": {"text_encoder_3": None}}}),
            (
                "flux1",
                {"model": {"path": "demo", "parts": {"text_encoder_2": "x", "transformer": "y", "vae": "z"}}},
            ),
        ),
    ),
}
