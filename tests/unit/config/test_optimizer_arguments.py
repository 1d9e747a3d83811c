"""Optimizers as other trainers write them: names, and arguments as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loratory.config.fields import section_types
from loratory.config.load import ConfigError, load, parse
from loratory.config.optimizer import OptimizerConfig

KINDS = [str(kind.model_fields["type"].default) for kind in section_types(OptimizerConfig)]


def optimizer(given: Any) -> Any:
    data = {"name": "a", "model": {"path": "demo"}, "datasets": [{"path": "x"}], "optimizer": given}
    return parse(data, "test").optimizer


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "custom"])
def test_a_name_is_enough_in_any_spelling(kind: str) -> None:
    plain = optimizer({"type": kind})
    for name in (kind, kind.upper(), kind.title().replace("_", "")):
        assert optimizer(name) == optimizer({"type": name}) == plain


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("AdamW", "adamw"), ("AdamW8bit", "adamw8bit"), ("PagedAdamW", "paged_adamw32bit"),
        ("PagedAdamW8bit", "paged_adamw8bit"), ("SGDNesterov", "sgd"), ("SGDNesterov8bit", "sgd8bit"),
        ("AdaFactor", "adafactor"), ("DAdaptation", "dadaptation"), ("DAdaptAdamPreprint", "dadaptation"),
        ("DAdaptAdanIP", "dadapt_adan_ip"), ("RAdamScheduleFree", "radam_schedule_free"),
        ("prodigyplus.ProdigyPlusScheduleFree", "prodigy_plus_schedule_free"), ("pytorch_optimizer.CAME", "came"),
        ("bitsandbytes.optim.AdEMAMix8bit", "ademamix8bit"),
    ],
)  # fmt: skip
def test_names_of_kohyas_trainer(name: str, kind: str) -> None:
    assert optimizer(name).type == kind


@pytest.mark.parametrize("name", ["torch.optim.NAdam", "torch.optim:NAdam"])
def test_any_other_class_by_its_path(name: str) -> None:
    found = optimizer({"type": name, "arguments": "betas=(0.5, 0.9) decoupled_weight_decay=True eps=1e-9"})
    assert (found.type, found.implementation) == ("custom", "torch.optim:NAdam")
    assert found.arguments == {"betas": (0.5, 0.9), "decoupled_weight_decay": True, "eps": 1e-9}


@pytest.mark.parametrize(
    ("kind", "arguments", "expected"),
    [
        ("adamw", "betas=0.9,0.95 weight_decay=0.1", {"beta1": 0.9, "beta2": 0.95, "weight_decay": 0.1}),
        ("adamw", "betas=(0.9, 0.95), eps=1e-6; weight_decay = 0", {"beta2": 0.95, "eps": 1e-6, "weight_decay": 0.0}),
        ("adamw", '{"betas": [0.8, 0.9], "lr": 0.5}', {"beta1": 0.8, "beta2": 0.9, "learning_rate": 0.5}),
        ("adamw", ["betas=0.8,0.9", "eps=1e-5"], {"beta1": 0.8, "beta2": 0.9, "eps": 1e-5}),
        ("adamw", {"betas": [0.8, 0.9]}, {"beta1": 0.8, "beta2": 0.9}),
        ("adamw", "", {}),
        ("adafactor", "relative_step=False scale_parameter=false eps=(1e-20,0.01)",
         {"relative_step": False, "scale_parameter": False, "eps1": 1e-20, "smallest_scale": 0.01}),
        ("came", "eps=1e-20,1e-10 betas=0.9,0.99,0.8", {"eps1": 1e-20, "eps2": 1e-10, "beta2": 0.99, "beta3": 0.8}),
        ("prodigy", "decouple=False safeguard_warmup=True d_coef=2 betas=0.9,0.99 beta3=None growth_rate=1.02",
         {"decoupled_decay": False, "safeguard_warmup": True, "d_coef": 2.0, "beta2": 0.99, "beta3": None,
          "growth_rate": 1.02}),
        ("sgd", "momentum=0.5", {"momentum": 0.5}),
        ("automagic", "min_lr=1e-8 lr_bump=1e-5", {"min_learning_rate": 1e-8, "rate_bump": 1e-5}),
        ("adamw_schedule_free", "r=1 weight_lr_power=3", {"averaging_power": 1.0, "rate_power": 3.0}),
    ],
)  # fmt: skip
def test_arguments_become_fields(kind: str, arguments: Any, expected: dict[str, Any]) -> None:
    assert optimizer({"type": kind, "arguments": arguments}) == optimizer({"type": kind, **expected})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"arguments": "beta=0.9"}, r"optimizer: adamw takes no argument beta; did you mean beta\d\?"),
        ({"type": "lion", "arguments": "momentum=0.9"}, "optimizer: lion takes no argument momentum; it takes .*beta1"),
        ({"type": "sgd", "arguments": "betas=0.9,0.99"}, "optimizer: sgd takes no argument betas"),
        ({"arguments": "betas=0.9,0.99,0.999"}, "optimizer: adamw takes 2 numbers as betas; there are 3"),
        ({"arguments": "betas=0.9,high"}, r"optimizer.beta1: must be a number \(it is '0.9,high'\)"),
        ({"arguments": "weight_decay=much"}, r"optimizer.weight_decay: must be a number \(it is 'much'\)"),
        ({"arguments": "weight_decay=3"}, "optimizer.weight_decay: must be at most 1"),
        ({"arguments": "weight_decay"}, "optimizer: the argument 'weight_decay' must be written as name=value"),
        ({"arguments": ["eps=1", "eps=2"]}, "optimizer: the argument eps is given twice"),
        ({"eps": 1e-6, "arguments": "eps=1e-7"}, "optimizer: eps is given twice"),
        ({"arguments": 3}, "optimizer: arguments must be a text"),
        ({"arguments": '{"eps": '}, "optimizer: arguments cannot be read as JSON"),
        ("adamm", "optimizer.type: 'adamm' is unknown; .*did you mean adamw"),
        (3, "optimizer: must hold keys and values"),
    ],
)
def test_what_is_wrong_is_said(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        optimizer(given)


def test_an_override_keeps_the_type_of_a_short_form(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("job: train\nname: a\nmodel: {path: demo}\ndatasets: [{path: x}]\noptimizer: adamw8bit\n")
    found = load(path, ["optimizer.learning_rate=0.5"]).optimizer
    assert (found.type, found.learning_rate) == ("adamw8bit", 0.5)
    assert load(path, ["optimizer=prodigy"]).optimizer.type == "prodigy"
