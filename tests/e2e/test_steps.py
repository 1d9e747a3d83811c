"""How steps are taken: in the backward pass, with adapters of 16 bits, with rates of blocks; stopped and gone on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from loratory.errors import UserError
from loratory.networks.metadata import read_lora
from loratory.runs import RunFolder
from loratory.runs.status import read_status
from tests.e2e.jobs import Data, contents, differences, kinds, losses, metrics, train
from tests.e2e.test_network_types import STEPS, stops_and_goes_on

PLAIN = STEPS | {"optimizer": {"type": "adamw", "learning_rate": 0.01, "max_grad_norm": 0.0}}


def fused(changes: Data, **way: Any) -> Data:
    return changes | {"optimizer": changes["optimizer"] | way}


WAYS = {"each": {"fused_backward_pass": True}, "groups": {"fused_optimizer_groups": 3}}


@pytest.mark.slow
@pytest.mark.parametrize(("way", "checkpointing"), [("each", True), ("groups", False)])
def test_steps_in_the_backward_pass_are_the_same_training(
    way: str, checkpointing: bool, make_job: Callable[..., Data]
) -> None:
    """Files, checkpoints, samples and every number in the metrics; also with recomputed activations and a text encoder,
    matrices that layers share, and dropout."""
    changes = PLAIN | {
        "network": {"rank": 4, "train_text_encoders": True, "dropout": 0.1},
        "memory.gradient_checkpointing": checkpointing, "ema": {"decay": 0.5},
        "sampling": {"prompts": ["a photo --w 32 --h 32 --s 1 --d 3"], "every_n_steps": 2},
    }  # fmt: skip
    whole = train(make_job("sd15", changes, output="whole"))
    parted = train(make_job("sd15", fused(changes, **WAYS[way]), output="parted"))
    found, wanted = contents(parted), contents(whole)
    for export in (*found["exports"].values(), *wanted["exports"].values()):
        export.pop("loratory_config", None)  # it says how steps were taken
        export.pop("ss_session_id", None)
    assert wanted["exports"] and wanted["checkpoints"] and wanted["samples"]
    assert differences(found, wanted) == []


@pytest.mark.slow
def test_shared_matrices_move_once(make_job: Callable[..., Data]) -> None:
    changes = PLAIN | {"network": {"rank": 4, "shared_down": True}}
    whole = train(make_job("flux1", changes, output="whole"))
    parted = train(make_job("flux1", fused(changes, fused_backward_pass=True), output="parted"))
    assert metrics(parted) == metrics(whole)


def test_a_run_may_change_how_it_steps(make_job: Callable[..., Data], at_step: Callable) -> None:
    from loratory.runs.control import request

    whole = train(make_job("sd15", PLAIN, output="whole"))
    at_step(2, lambda training: request(training.run.path, "stop"))
    assert read_status(train(make_job("sd15", PLAIN, output="parted")).path).state == "stopped"
    at_step(0, lambda training: None)
    again = train(make_job("sd15", fused(PLAIN, fused_optimizer_groups=2), output="parted"))
    assert metrics(again) == metrics(whole)
    one, other = (read_lora(run.final_export_path)[0] for run in (again, whole))
    assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize(("way", "share"), [({}, 1.0), (WAYS["each"], 0.0), (WAYS["groups"], 0.5)])
def test_the_gradients_of_the_whole_network_never_exist_at_once(
    way: Data, share: float, make_job: Callable[..., Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted at every gradient that comes, in numbers."""
    from loratory.training import assemble

    most, original = [0, 0], assemble.make_steps

    def make(*arguments: Any) -> Any:
        parameters: list[nn.Parameter] = list(arguments[2].parameters())
        most[1] = sum(each.numel() for each in parameters)

        def count(_: Any) -> None:
            most[0] = max(most[0], sum(each.numel() for each in parameters if each.grad is not None))

        for each in parameters:
            each.register_post_accumulate_grad_hook(count)
        most.append(max(each.numel() for each in parameters))
        return original(*arguments)

    monkeypatch.setattr(assemble, "make_steps", make)
    train(make_job("sd15", fused(PLAIN, **way)))
    if share == 1:
        assert most[0] == most[1]
    else:
        assert 0 < most[0] <= max(share * most[1], most[2])


def test_a_gradient_that_is_no_number_is_skipped_and_said(make_job: Callable[..., Data], at_step: Callable) -> None:
    def spoil(training: Any) -> None:
        weight = next(iter(training.network.parameters()))
        hook = weight.register_hook(lambda gradient: (hook.remove(), gradient * float("nan"))[1])

    at_step(2, spoil)
    run = train(make_job("sd15", fused(PLAIN, fused_backward_pass=True)))
    assert kinds(run).count("step_skipped") == 1
    assert [line["step"] for line in metrics(run) if "grad_norm" in line.get("nonfinite", ())] == [3]
    tensors, _ = read_lora(run.final_export_path)
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())


# Adapters of 16 bits -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_an_adapter_of_16_bits_trains_stops_and_goes_on(
    precision: str, make_job: Callable[..., Data], at_step: Callable
) -> None:
    changes = PLAIN | {
        "optimizer": {"type": "adamw_schedule_free", "learning_rate": 0.01}, "memory.adapter_precision": precision,
        "network": {"rank": 4, "max_weight_norm": 1.0, "train_text_encoders": True}, "ema": {"decay": 0.9},
    }  # fmt: skip
    run = stops_and_goes_on(make_job, at_step, "sd15", changes)
    checkpoint = run.newest_checkpoint()
    assert checkpoint is not None
    from safetensors.torch import load_file

    found = {name: {tensor.dtype for tensor in load_file(checkpoint.path / f"{name}.safetensors").values()}
             for name in ("network", "optimizer", "ema")}  # fmt: skip
    half = torch.bfloat16 if precision == "bf16" else torch.float16
    assert found["network"] == {half}
    assert found["ema"] == {torch.float32}
    assert half not in found["optimizer"]
    tensors, _ = read_lora(run.final_export_path)
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    assert all(value == value for value in losses(run))


@pytest.mark.slow
def test_its_loss_follows_that_of_32_bits(make_job: Callable[..., Data]) -> None:
    def trained(name: str, **changes: Any) -> list[float]:
        settings = PLAIN | {"duration": {"steps": 12}} | {key.replace("__", "."): v for key, v in changes.items()}
        return losses(train(make_job("sd15", settings, output=name)))

    wide = trained("fp32")
    for precision in ("bf16", "fp16"):
        found = trained(precision, memory__adapter_precision=precision)
        assert found != wide
        assert found == pytest.approx(wide, rel=0.02)


def test_the_format_of_a_run_stays(make_job: Callable[..., Data]) -> None:
    train(make_job("sd15", PLAIN))
    with pytest.raises(UserError, match=r"memory\.adapter_precision was 'fp32' and is now 'bf16'"):
        train(make_job("sd15", PLAIN | {"memory.adapter_precision": "bf16"}))


# Rates of blocks ---------------------------------------------------------------------------------------------


def test_blocks_with_rates_of_their_own_train_stop_and_go_on(make_job: Callable[..., Data], at_step: Callable) -> None:
    """The block with next to no rate stays where it was."""
    rates = {"block_rate_factors": {"middle_block": 1e-12, "output_blocks": 2.0}, "lora_plus_ratio": 4.0}
    run: RunFolder = stops_and_goes_on(make_job, at_step, "sd15", fused(PLAIN, **rates))
    last = metrics(run)[-1]
    assert {key: last[key] for key in last if key.startswith("lr/")} == pytest.approx({
        "lr/unet": 0.01, "lr/unet_up": 0.04, "lr/unet_x2.0": 0.02, "lr/unet_up_x2.0": 0.08, "lr/unet_x1e-12": 1e-14,
        "lr/unet_up_x1e-12": 4e-14,
    })  # fmt: skip
    tensors, _ = read_lora(run.final_export_path)
    size = {place: max(float(tensor.float().abs().max()) for name, tensor in tensors.items()
                       if place in name and "lora_up" in name) for place in ("mid_block", "up_blocks")}  # fmt: skip
    assert size["mid_block"] < 1e-10 < 0.01 < size["up_blocks"]


def test_a_block_that_is_not_there_is_said_before_anything_is_made(
    tmp_path: Path, make_job: Callable[..., Data], job_file: Callable, loratory: Callable
) -> None:
    path = job_file(make_job("sd15", fused(PLAIN, block_rate_factors={"input_blocks.11": 2.0})))
    for command in (("train", path), ("config", "check", path)):
        said = loratory(*command)
        assert said.code == 1
        assert "optimizer.block_rate_factors: this model has no input_blocks.11; it has input_blocks.0-" in said.error
    assert not (tmp_path / "out" / "run").exists()


def test_an_optimizer_in_another_trainers_words(
    make_job: Callable[..., Data], job_file: Callable, loratory: Callable
) -> None:
    arguments = {"type": "SGDNesterov", "learning_rate": 0.01, "arguments": "momentum=0.5 weight_decay=0.1"}
    said = loratory("config", "show", job_file(make_job("sd15", {"optimizer": arguments})))
    assert said.code == 0
    assert "momentum: 0.5" in said.text
    assert "type: sgd" in said.text
