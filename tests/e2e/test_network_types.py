"""Every network type is trained, stopped and resumed bit-equal, and exported. New ones join by themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from loratory.config.architectures import SPECS
from loratory.config.architectures.base import unreached_layers
from loratory.config.network_preview import model_layers
from loratory.networks.formats.names import kohya_names
from loratory.networks.metadata import read_lora
from loratory.runs import RunFolder, read_status, request
from tests.architectures import each
from tests.e2e.jobs import Data, contents, differences, losses, train
from tests.tiny import TINY
from tests.unit.networks.test_network_types import CONFIGS

pytestmark = pytest.mark.slow

STEPS = {
    "duration.steps": 4,
    "batching.size": 2,
    "optimizer.learning_rate": 0.01,
    "saving.checkpoint_every_n_steps": 2,
    "saving.keep_last_checkpoints": 100,
    "saving.precision": "fp32",
}
SETTINGS: dict[str, Data] = {
    **{name: {"type": name} for name in CONFIGS},
    "dylora": {"type": "dylora", "rank": 4, "unit": 2},
    "boft": {"type": "boft", "rank": 4, "constraint": 0.1},
    "lora, everything": {"type": "lora", "rank": 2, "decompose": True, "rank_stabilized": True,
                         "train_text_encoders": True, "initialization": "pissa",
                         "targets": {"norms": True, "full_if_contains": ["time_emb", "ff_context"]}},
    "lokr, dora": {"type": "lokr", "factor": 4, "rank": 1, "decompose": True},
}  # fmt: skip
QUICK = ("lora, everything", "lokr, dora", "dylora", "boft")
"""What `make test` trains, on one architecture; the unit tests look at every type."""
DROPOUTS = {"dropout": 0.1, "rank_dropout": 0.1, "module_dropout": 0.1}


def stops_and_goes_on(
    make_job: Callable[..., Data], at_step: Callable, architecture: str, changes: Data, steps: int = 4
) -> RunFolder:
    """Train it at one go and with a stop half way: both must leave the same. Returns the first."""
    whole = train(make_job(architecture, changes, output="whole"))
    at_step(steps // 2, lambda training: request(training.run.path, "stop"))
    parted = make_job(architecture, changes, output="parted")
    assert read_status(train(parted).path).state == "stopped"
    at_step(0, lambda training: None)
    again = train(parted)
    found, wanted = contents(again), contents(whole)
    assert wanted["exports"] and len(wanted["metrics"]) == steps
    assert differences(found, wanted) == []
    return whole


@pytest.mark.parametrize(
    ("architecture", "setting"),
    [pytest.param(name, setting, marks=[pytest.mark.full] * (name != "sd15" or setting not in QUICK))
     for name in TINY for setting in SETTINGS],
)  # fmt: skip
def test_a_type_is_trained_stopped_and_resumed(
    architecture: str, setting: str, make_job: Callable[..., Data], at_step: Callable
) -> None:
    dropouts = {} if "norms" in SETTINGS[setting].get("targets", {}) else DROPOUTS
    run = stops_and_goes_on(make_job, at_step, architecture, STEPS | {"network": SETTINGS[setting] | dropouts})
    tensors, _ = read_lora(run.final_export_path)
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())


@pytest.mark.parametrize("architecture", each(name for name in TINY if SPECS[name].large_text_encoders))
def test_large_text_encoders_are_trained_when_they_are_asked_for(
    architecture: str, make_job: Callable[..., Data], at_step: Callable, tiny_model: Callable[[str], Path]
) -> None:
    """Also with recomputed activations, which must not change what is learned."""
    changes = STEPS | {
        "network": {"rank": 2, "train_large_text_encoders": True, "train_denoiser": False, "dropout": 0.1}
    }
    run = stops_and_goes_on(make_job, at_step, architecture, changes)
    spec = SPECS[architecture]
    prefixes = tuple(spec.text_encoder_prefixes[name] for name in spec.large_text_encoders)
    tensors, _ = read_lora(run.final_export_path)
    assert all(key.startswith(prefixes) for key in tensors)
    ups = {key: tensor for key, tensor in tensors.items() if key.endswith("lora_up.weight")}
    names = {key.removesuffix(".lora_up.weight") for key, up in ups.items() if not up.any()}
    layers = {layer.path: layer.shape for layer in model_layers(spec, tiny_model(architecture))}
    unreached = unreached_layers(spec, layers)
    unused = {name for name, native in kohya_names(spec, layers).items() if unreached.keys() >= set(native.parts)}
    assert ups and names <= unused, "every layer has learned whose output is used"
    recomputed = train(make_job(architecture, changes | {"memory.gradient_checkpointing": True}, output="recomputed"))
    assert losses(recomputed) == pytest.approx(losses(run), rel=1e-5)


def test_shared_down_matrices_are_resumed(make_job: Callable[..., Data], at_step: Callable) -> None:
    run = stops_and_goes_on(make_job, at_step, "flux1", STEPS | {"network": {"rank": 2, "shared_down": True}})
    tensors, _ = read_lora(run.final_export_path)
    assert tensors["lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight"].shape[0] == 2


def test_lora_plus_is_resumed(make_job: Callable[..., Data], at_step: Callable) -> None:
    changes = STEPS | {"optimizer.lora_plus_ratio": 8.0, "network": {"rank": 2, "train_text_encoders": True}}
    run = stops_and_goes_on(make_job, at_step, "sd15", changes)
    plain = train(make_job("sd15", changes | {"optimizer.lora_plus_ratio": 1.0}, output="plain"))
    assert losses(run)[0] == losses(plain)[0] and losses(run)[-1] != losses(plain)[-1]


# The shape of a file


def test_layers_ranks_and_alphas_of_a_file(tmp_path: Path, make_job: Callable[..., Data], at_step: Callable) -> None:
    """As with kohya's dim_from_weights; the run goes on without the file."""
    block = "lora_unet_mid_block_attentions_0_transformer_blocks_0"
    tensors: dict[str, Any] = {}
    for name, rank, inputs in ((f"{block}_attn1_to_q", 3, 64), (f"{block}_attn2_to_k", 5, 32)):
        tensors |= {f"{name}.lora_down.weight": torch.randn(rank, inputs), f"{name}.alpha": torch.tensor(1.5),
                    f"{name}.lora_up.weight": torch.randn(64, rank)}  # fmt: skip
    source = tmp_path / "start.safetensors"
    save_file(tensors, source)
    network = {"rank": 7, "start_from": str(source), "shape_from_start": True, "dropout": 0.2}
    changes = STEPS | {"network": network, "optimizer.learning_rate": 1e-3}
    run = stops_and_goes_on(make_job, at_step, "sd15", changes)
    trained, metadata = read_lora(run.final_export_path)
    assert {key: tensor.shape for key, tensor in trained.items()} == {key: each.shape for key, each in tensors.items()}
    assert all(float(trained[key]) == 1.5 for key in trained if key.endswith(".alpha"))
    assert all(torch.allclose(trained[key], each, atol=0.02) for key, each in tensors.items()), "it went on from there"
    assert metadata["ss_network_dim"] != "7", "it would be a lie"

    at_step(2, lambda training: request(training.run.path, "stop"))
    parted = make_job("sd15", changes, output="without")
    train(parted)
    source.unlink()
    at_step(0, lambda training: None)
    assert read_status(train(parted).path).state == "finished"


def test_a_file_of_another_type_gives_no_shape(
    tmp_path: Path, make_job: Callable[..., Data], job_file: Callable, loratory: Callable
) -> None:
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    save_file({f"{name}.diff": torch.zeros(64, 64), f"{name}.diff_b": torch.zeros(64)}, tmp_path / "start.safetensors")
    network = {"start_from": str(tmp_path / "start.safetensors"), "shape_from_start": True}
    said = loratory("train", job_file(make_job("sd15", {"network": network | {"type": "loha"}})))
    assert said.code == 1
    assert "the model's layer has none" in said.error
    lokr = {f"{name}.lokr_w1": torch.ones(8, 8), f"{name}.lokr_w2": torch.ones(8, 8)}
    save_file(lokr, tmp_path / "start.safetensors")
    said = loratory("train", job_file(make_job("sd15", {"network": network | {"type": "loha"}, "name": "other"})))
    assert said.code == 1
    assert "holds lokr, the job wants loha; set network.type" in said.error
    # The same run with the right file begins with that one, not with what the failure left.
    right = {
        f"{name}.hada_w{i}_{side}": torch.ones(size) for i in "12" for side, size in (("a", (64, 2)), ("b", (2, 64)))
    }
    save_file(right, tmp_path / "right.safetensors")
    network = network | {"start_from": str(tmp_path / "right.safetensors"), "type": "loha"}
    said = loratory("train", job_file(make_job("sd15", {"network": network, "name": "other"})))
    assert said.code == 0, said.text
