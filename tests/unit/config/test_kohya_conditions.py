"""Every condition that kohya's trainer checks is decided on, and what works here although others forbid it is fine."""

from __future__ import annotations

from typing import Any

import pytest

from loratory.config.architectures import SPECS
from loratory.config.rules import RULES, check
from tests.unit.config.kohya_conditions import CHECKED, SILENT
from tests.unit.config.test_rules import buckets, config_of, dataset


@pytest.mark.parametrize("what", [*CHECKED.items(), *SILENT.items()], ids=lambda what: what[0])
def test_every_condition_of_kohyas_trainer_is_decided(what: tuple[str, str]) -> None:
    kind, _, rest = what[1].partition(":")
    assert kind in ("rule", "field", "works", "run", "import")
    if kind == "rule":
        assert rest in {rule.__name__ for rule in RULES}, "there is no such rule"


@pytest.mark.parametrize(
    "changes",
    [
        dataset(captions={"shuffle": True, "dropout_rate": 0.1, "tag_dropout_rate": 0.1}),
        dataset(augmentation={"random_crop": True, "colour": True}),
        {"text": {"weighted": True}, "caching": {"text_embeddings": "disk"}},
        {"memory": {"blocks_to_swap": 3, "gradient_checkpointing": "offload"}},
        {"memory": {"precision": "fp32", "denoiser_weights": "fp8_e4m3"}},
        {"memory": {"precision": "bf16", "adapter_precision": "fp16"}},
        {"schedule": {"type": "constant", "warmup_steps": 10}},
        dataset(captions={"keep_tokens_separator": "|||"}),
        buckets(mode="off"),
        {"network": {"train_text_encoders": True}},
    ],
)  # fmt: skip
def test_what_others_forbid_and_works_here_is_no_problem(changes: dict[str, Any]) -> None:
    assert check(config_of(changes), SPECS["sd15"]) == []
