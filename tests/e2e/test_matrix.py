"""What must hold for every architecture; one that gets a file in tests/tiny joins by itself."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from loratory.config.architectures import get_spec
from loratory.config.model import ModelConfig
from loratory.models import load
from loratory.networks.metadata import read_lora
from tests.architectures import each, each_pair, each_with
from tests.e2e.jobs import Data, job, losses, metrics, train
from tests.tiny import SINGLE_FILES, TINY

pytestmark = pytest.mark.slow

FAST = {"optimizer.learning_rate": 0.01, "batching.size": 2}
# Dropout is on, because recomputed activations need the same masks; captions vary, with and without a cache. SGD,
# because AdamW makes a whole step of a gradient that is nothing but a rounding error.
BUSY = {
    "batching.size": 2,
    "optimizer": {"type": "sgd", "learning_rate": 1.0, "momentum": 0.0},
    "network.dropout": 0.3,
    "datasets.0.captions": {"shuffle": True, "dropout_rate": 0.3},
    "datasets.0.augmentation.flip": True,
}


@pytest.fixture(scope="module")
def usual(
    tiny_model: Callable[[str], Path], photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, Data], list[float]]:
    """`usual(architecture, FAST or BUSY)`: the losses that this job usually has, computed once."""
    known: dict[tuple[str, bool], list[float]] = {}

    def get(architecture: str, changes: Data) -> list[float]:
        key = architecture, changes is BUSY
        if key not in known:
            folder = tmp_path_factory.mktemp("usual")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("LORATORY_HOME", str(folder / "home"))
                known[key] = losses(train(job(tiny_model(architecture), photos, folder / "out", changes)))
        return known[key]

    return get


def all_finite(run: Any) -> bool:
    lines = metrics(run)
    return bool(lines) and all(torch.tensor([line["loss"], line["grad_norm"]]).isfinite().all() for line in lines)


@pytest.mark.parametrize(("architecture", "layout"), each_pair(SINGLE_FILES))
def test_single_file_trains_like_the_folder(
    architecture: str, layout: str, make_job: Callable, usual: Callable, tiny_file: Callable, tiny_model: Callable
) -> None:
    """The same weights give the same losses, wherever they come from."""
    source = {"model.path": str(tiny_file(architecture, layout)), "model.components": str(tiny_model(architecture))}
    run = train(make_job(architecture, FAST | source))
    assert losses(run) == pytest.approx(usual(architecture, FAST), rel=1e-5)
    _, metadata = read_lora(run.final_export_path)
    assert metadata["ss_sd_model_name"] == tiny_file(architecture, layout).name
    assert len(metadata["ss_new_sd_model_hash"]) == 64


# Each may change how the same numbers are computed, and only in their last digits.
SAME_LOSSES: dict[str, Data] = {
    "gradient checkpointing": {"memory.gradient_checkpointing": True},
    "each second block, its input elsewhere": {
        "memory.gradient_checkpointing": "offload",
        "memory.checkpoint_every": 2,
        "memory.low_vram": True,
    },
    "another kernel, kept": {"memory.attention": "math", "memory.gradient_checkpointing": "selective"},
    "another layout": {"memory.channels_last": True, "memory.vae_slicing": True},
    "nothing cached": {"caching": {"latents": "off", "text_embeddings": "off"}},
    "cached in memory, one by one": {"caching": {"latents": "memory", "text_embeddings": "memory", "batch_size": 1}},
    "no prefetch": {"runtime.prefetch": 0},
}


@pytest.mark.parametrize(("architecture", "setting"), each_with(SAME_LOSSES))
def test_does_not_change_what_is_learned(architecture: str, setting: str, make_job: Callable, usual: Callable) -> None:
    """Neither where encoded data is kept nor what is computed twice shows in the losses."""
    run = train(make_job(architecture, BUSY | SAME_LOSSES[setting]))
    assert losses(run) == pytest.approx(usual(architecture, BUSY), rel=1e-5)


def bytes_of(model: Any) -> dict[str, bytes]:
    """Every tensor of the base model, adapters apart."""
    parts = {"denoiser": model.components.denoiser, "vae": model.components.vae, **model.components.text_encoders}
    return {f"{name}.{key}": tensor.numpy().tobytes() for name, part in parts.items()
            for key, tensor in part.state_dict().items()}  # fmt: skip


@pytest.mark.parametrize("architecture", each())
def test_learns(
    architecture: str,
    make_job: Callable,
    at_step: Callable,
    tiny_model: Callable,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On one picture, always with the same noise and time, the loss falls by a third, and the base stays as it is."""
    from loratory.training import batches

    real = batches.stream
    monkeypatch.setattr(
        batches, "stream", lambda seed, name, *place: real(seed, name, *(0 for _ in place[:-1]), place[-1])
    )
    folder = tmp_path / "one"
    folder.mkdir()
    for suffix in (".png", ".txt"):
        shutil.copy(photos / f"1_chelsea{suffix}", folder)
    once = {"datasets.0.path": str(folder), "optimizer.learning_rate": 0.01, "optimizer.weight_decay": 0.0,
            "duration.steps": 20, "network.rank": 8, "batching.buckets": {"resolution": 32, "mode": "off"}}  # fmt: skip
    bases: list[dict[str, bytes]] = []
    at_step(20, lambda training: bases.append(bytes_of(training.architecture)))
    found = losses(train(make_job(architecture, once)))
    assert len(found) == 20
    assert found[-1] <= 0.67 * found[0], found
    config = ModelConfig(path=str(tiny_model(architecture)))
    fresh = load(config, precision=torch.float32, device=torch.device("cpu"), resolve=lambda path, **_: Path(path))
    assert bases == [bytes_of(fresh)]


@pytest.mark.parametrize("architecture", each())
def test_bf16(architecture: str, make_job: Callable, usual: Callable) -> None:
    run = train(make_job(architecture, FAST | {"memory.precision": "bf16"}))
    assert all_finite(run)
    expected = usual(architecture, FAST)
    assert losses(run)[0] == pytest.approx(expected[0], rel=0.02), "nothing is learned yet"
    assert losses(run) == pytest.approx(expected, rel=0.08)
    assert losses(run) != expected


@pytest.mark.parametrize("architecture", each(name for name in TINY if get_spec(name).trainable_text_encoders))
def test_text_encoders_are_trained(architecture: str, make_job: Callable) -> None:
    """Every text encoder that can be trained learns, at its own rate; the denoiser only if it is asked to."""
    spec = get_spec(architecture)
    both = {
        "network.train_text_encoders": True,
        "optimizer": {"learning_rate": 0.01, "text_encoder_learning_rate": 0.02},
    }
    for changes, denoiser in ((both, True), (both | {"network.train_denoiser": False}, False)):
        run = train(make_job(architecture, FAST | changes, output=f"out{denoiser}"))
        assert all_finite(run)
        trained = [*([spec.denoiser] if denoiser else []), *spec.trainable_text_encoders]
        rates = {name: value for name, value in metrics(run)[-1].items() if name.startswith("lr/")}
        assert rates == {f"lr/{name}": 0.01 if name == spec.denoiser else 0.02 for name in trained}
        tensors, _ = read_lora(run.final_export_path)
        for name in trained:
            prefix = spec.text_encoder_prefixes.get(name, "lora_" + name if name == "unet" else "lora_unet")
            learned = [key for key in tensors if key.startswith(prefix + "_") and "lora_up" in key]
            assert any(bool(tensors[key].any()) for key in learned), (name, sorted(tensors)[:3])
            # Some architectures take the last but one layer's output, and nothing reaches the last (third) one.
            still = [key for key in learned if not tensors[key].any() and "_layers_2_" not in key]
            assert still == [], "these adapters have learned nothing"


@pytest.mark.parametrize("architecture", each())
def test_batch_or_accumulation(architecture: str, make_job: Callable, tmp_path: Path, photos: Path) -> None:
    """Two pictures at once or one after the other are the same step. (Twice the same picture: their order is drawn.)"""
    folder = tmp_path / "twice"
    folder.mkdir()
    for name in ("a", "b"):
        for suffix in (".png", ".txt"):
            shutil.copy(photos / f"1_chelsea{suffix}", folder / f"{name}{suffix}")
    changes = {"datasets.0.path": str(folder), "optimizer.learning_rate": 0.01}
    at_once = train(make_job(architecture, changes | {"batching.size": 2}, output="batch"))
    in_turn = train(make_job(architecture, changes | {"batching.gradient_accumulation_steps": 2}))
    assert losses(in_turn) == pytest.approx(losses(at_once), rel=1e-5)
    norms = [[line["grad_norm"] for line in metrics(run)] for run in (in_turn, at_once)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)


@pytest.mark.parametrize("architecture", each())
def test_several_datasets_and_sizes(architecture: str, make_job: Callable, photos: Path, tmp_path: Path) -> None:
    """Each picture at each size, as often as its folder says; the file's header tells of both folders."""
    second = tmp_path / "second" / "3_ohwx cat"
    second.mkdir(parents=True)
    shutil.copy(photos / "1_chelsea.png", second)
    datasets = [{"path": str(photos), "resolutions": [64, 32]}, {"path": str(second.parent), "num_repeats": 2}]
    run = train(make_job(architecture, {"datasets": datasets, "duration": {"epochs": 1}}))
    assert all_finite(run)
    assert len(losses(run)) == 5 * 2 + 3 * 2
    _, metadata = read_lora(run.final_export_path)
    assert json.loads(metadata["ss_dataset_dirs"]).keys() == {"photos", "second"}
    counts = [bucket["count"] for bucket in json.loads(metadata["ss_bucket_info"])["buckets"].values()]
    assert sum(counts) == 5 * 2 + 3 * 2
    assert len(counts) >= 3, "two sizes, and two shapes of the larger one"
