"""Configs that the rules about the model's files find, and such that they leave alone; test_rules.py tries them."""

from __future__ import annotations

from typing import Any

from tests.unit.config.rule_examples import Example

RECOVERY = {"path": "a", "on": "always", "recovers": "uint3"}


def recovering(*adapters: dict[str, Any], weights: str = "uint8", **model: Any) -> dict[str, Any]:
    model = {"path": "demo", "side_adapters": [RECOVERY | each for each in adapters], **model}
    return {"model": model, "memory": {"denoiser_weights": weights}}


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
    "recovery_adapters_belong_to_the_base": Example(
        bad=(
            ("flux1", recovering({"on": "training"}), "error", [("model.side_adapters.0.on",)]),
            ("flux1", recovering({"strength": 0.5}), "warning", [("model.side_adapters.0.strength",)]),
            ("flux1", recovering({}, merge=[{"path": "a"}]), "error", [("model.side_adapters.0.path", "model.merge")]),
            (
                "sd15",
                recovering({"recovers": None}, {}, weights="full"),
                "error",
                [("memory.denoiser_weights", "model.side_adapters.1.recovers")],
            ),
            (
                "flux1",
                recovering({}, {"path": "b"}),
                "error",
                [("model.side_adapters.0.recovers", "model.side_adapters.1.recovers")],
            ),
        ),
        good=(
            ("flux1", recovering({}, {"path": "b", "recovers": None, "on": "training"}, merge=[{"path": "c"}])),
            ("sd15", recovering({"recovers": None, "strength": 0.5}, weights="full")),
        ),
    ),
    "texts_are_no_longer_than_the_model_reads": Example(
        bad=(
            ("flux1", {"text": {"max_tokens": 600}}, "error", [("text.max_tokens",)]),
            ("sd3", {"text": {"max_tokens": 513}}, "error", [("text.max_tokens",)]),
        ),
        good=(("flux1", {"text": {"max_tokens": 512}}), ("sd3", {"text": {"max_tokens": 512}})),
    ),
}
