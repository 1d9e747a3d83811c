"""Whole trainings of which most waits in the computer's memory: they are, bit for bit, those of which nothing does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from loratory.config.architectures import get_spec
from loratory.config.network_preview import model_layers
from loratory.config.targets import blocks_of
from loratory.errors import UserError
from loratory.training import memory
from tests.e2e.jobs import BUSY, Data, contents, differences, events, sample_pixels, train
from tests.e2e.test_network_types import stops_and_goes_on
from tests.tiny import TINY
from tests.unit.training.cards import Card, cards

__all__ = ["cards"]

pytestmark = pytest.mark.slow

SWAP = {"memory.blocks_to_swap": 5}
VARIED = BUSY | {
    "ema": {"decay": 0.5}, "validation": {"split": 0.4, "every_n_steps": 4}, "duration.steps": 5,
}  # fmt: skip


def payloads(run: Any) -> Data:
    """What must be the same although the job says something else about memory, which metadata repeats."""
    found = contents(run)
    found["exports"] = {name: {"sha": facts["sshs_model_hash"]} for name, facts in found["exports"].items()}
    for checkpoint in found["checkpoints"].values():
        checkpoint.pop("facts")
    return found


@pytest.fixture(autouse=True)
def aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are mapped put weights anywhere, and the CPU's products round otherwise there. A card copies them, to
    places of its own; so does this."""
    from loratory.training import assemble

    original = assemble.bring_denoiser

    def bring(architecture: Any, *args: Any) -> Any:
        for parameter in architecture.components.denoiser.parameters():
            parameter.data = parameter.data.clone()
        return original(architecture, *args)

    monkeypatch.setattr(assemble, "bring_denoiser", bring)


@pytest.mark.parametrize(
    "name", ["flux1", *(pytest.param(name, marks=pytest.mark.full) for name in TINY if name != "flux1")]
)
def test_swapped_blocks_change_nothing(
    name: str, make_job: Callable[..., Data], tiny_model: Callable[[str], Path], cards: list[Card]
) -> None:
    """The most that can be swapped, with exports, checkpoints, samples, an average and validation."""
    spec = get_spec(name)
    most = len(set(blocks_of(spec, model_layers(spec, tiny_model(name))).values())) - 1
    plain = payloads(train(make_job(name, VARIED, output="plain")))
    assert not cards
    swapped = payloads(train(make_job(name, VARIED | {"memory.blocks_to_swap": most}, output="swapped")))
    assert not differences(swapped, plain) and not differences(plain, swapped)
    assert len(cards) == 1 and plain["samples"] and plain["validations"]
    assert cards[0].waited > (10 if most > 2 else 0)


OPTIONS: dict[str, Data] = {
    "fused backward": {
        "optimizer": {"type": "adafactor", "fused_backward_pass": True, "max_grad_norm": 0.0},
        "batching.gradient_accumulation_steps": 1,
    },
    "dora on packed weights": {"network": {"rank": 2, "decompose": True}, "memory.denoiser_weights": "fp8_e4m3"},
    "selective": {"memory.gradient_checkpointing": "selective"},
    "preservation": {"objective.blank_prompt_preservation": 1.0},
}  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("option", OPTIONS)
def test_swapped_blocks_change_nothing_with(option: str, make_job: Callable[..., Data], cards: list[Card]) -> None:
    changes = BUSY | {"duration.steps": 4} | OPTIONS[option]
    plain = payloads(train(make_job("sd15", changes, output="plain")))
    swapped = payloads(train(make_job("sd15", changes | SWAP, output="swapped")))
    assert not differences(swapped, plain) and not differences(plain, swapped) and cards


def test_a_run_with_swapped_blocks_goes_on_bit_equal(
    make_job: Callable[..., Data], at_step: Callable, cards: list[Card]
) -> None:
    network = {"rank": 2, "decompose": True, "dropout": 0.1}
    stops_and_goes_on(make_job, at_step, "sd15", BUSY | SWAP | {"network": network, "duration.steps": 4})
    assert len(cards) > 1


def test_too_many_are_refused_before_anything_is_loaded(
    make_job: Callable[..., Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "load", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(UserError, match=r"^memory\.blocks_to_swap: 99 is too many: this model has \d+ blocks"):
        train(make_job("flux1", {"memory.blocks_to_swap": 99}))


# Text encoders that wait, or are given up

WAITS = {"memory.low_vram": True}
GONE = {"memory.unload_text_encoders": True}
PROMPTS = {
    "prompts": ["a photo --w 32 --h 32 --s 2 --d 3", "a dog --n bad --w 32 --h 32 --s 2 --l 3"], "every_n_steps": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    "name", ["sdxl", *(pytest.param(name, marks=pytest.mark.full) for name in TINY if name != "sdxl")]
)
def test_samples_need_no_text_encoder(
    name: str, make_job: Callable[..., Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are the same pictures, made from what the encoders said before they went; and so is the training."""
    usual = {"sampling": PROMPTS}
    plain = payloads(train(make_job(name, usual, output="plain")))
    assert len(plain["samples"]) == 6
    monkeypatch.setattr(memory, "_read_again", lambda *_: pytest.fail("the prompts were known"))
    for number, changes in enumerate((WAITS, GONE, WAITS | GONE)):
        found = payloads(train(make_job(name, usual | changes, output=f"out{number}")))
        assert not differences(found, plain) and not differences(plain, found), changes


@pytest.mark.parametrize(
    "changes",
    [pytest.param(GONE, marks=pytest.mark.full), WAITS | GONE | {"memory.text_encoder_weights": "fp8_e4m3"}],
)
def test_new_prompts_bring_given_up_encoders_back(
    changes: Data, make_job: Callable[..., Data], at_step: Callable, tmp_path: Path
) -> None:
    """From their files, with LoRAs merged and weights packed as before; afterwards they are gone again."""
    first = train(make_job("sd15", {"network": {"rank": 2, "train_text_encoders": True},
                                    "optimizer.learning_rate": 0.1}, output="first"))  # fmt: skip
    file = tmp_path / "prompts.txt"
    seen: list[bool] = []

    def edit(training: Any) -> None:
        encoder = training.architecture.components.text_encoders["text_encoder"]
        seen.append(all(parameter.is_meta for parameter in encoder.parameters()))
        file.write_text("a cat --w 32 --h 32 --s 2\n", encoding="utf-8")

    pictures = []
    for options in (changes, {key: value for key, value in changes.items() if "text_encoder_w" in key}):
        file.write_text("a dog --w 32 --h 32 --s 2\n", encoding="utf-8")
        at_step(3, edit)
        data = {"sampling": {"prompts_file": str(file), "every_n_steps": 2},
                "model.merge": [{"path": str(first.final_export_path)}]}  # fmt: skip
        pictures.append(sample_pixels(train(make_job("sd15", data | options, output=f"out{len(pictures)}"))))
    assert seen == [True, False]
    assert pictures[0] == pictures[1] and len(pictures[0]) == 3
    assert len({name[10:] for name in pictures[0]}) == 2, "two prompts"


def test_only_what_works_is_on_the_device(make_job: Callable[..., Data], monkeypatch: pytest.MonkeyPatch) -> None:
    """With low_vram, watched from the outside: pictures, then captions and prompts, then samples."""
    from loratory.training import assemble, samples

    visits: list[list[str]] = []

    def watched(modules: Any, device: torch.device) -> Any:
        modules = list(modules)
        visits.append(sorted(type(module).__name__ for module in modules))
        return original(modules, device)

    original = memory.at_work
    for place in (assemble, samples, memory):
        monkeypatch.setattr(place, "at_work", watched)
    run = train(make_job("sd15", WAITS | {"sampling": PROMPTS | {"every_n_steps": 4, "before_first_step": False}}))
    vae, text = ["AnyPrecisionAutoencoder"], ["CLIPTextModel"]
    assert visits == [vae, vae, text, text, vae]
    assert [event.kind for event in events(run)][-1] == "finished"


# Files that are read whole


@pytest.mark.parametrize("layout", ["folder", pytest.param("file", marks=pytest.mark.full)])
def test_files_can_be_read_without_mapping_them(
    layout: str, make_job: Callable[..., Data], tiny_file: Callable, tiny_model: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The same losses; and nothing of the model is mapped. Whoever maps goes through safetensors' own `safe_open`."""
    import safetensors.torch
    from diffusers.models import model_loading_utils
    from transformers import modeling_utils

    from loratory.models.common import checkpoint

    changes: Data = {}
    if layout == "file":
        changes = {"model.path": str(tiny_file("sdxl", "native")), "model.components": str(tiny_model("sdxl"))}
    plain = payloads(train(make_job("sdxl", changes, output="plain")))
    mapped: list[str] = []

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def load(path: Any, *args: Any, **kwargs: Any) -> Any:
            mapped.append(str(path))
            return original(path, *args, **kwargs)

        return load

    for place, name in ((safetensors.torch, "load_file"), (checkpoint, "load_file"), (modeling_utils, "safe_open")):
        monkeypatch.setattr(place, name, counted(getattr(place, name)))
    whole: list[bool] = []
    original = model_loading_utils.load_state_dict

    def asked(*args: Any, disable_mmap: bool = False, **kwargs: Any) -> Any:
        whole.append(disable_mmap)
        return original(*args, disable_mmap=disable_mmap, **kwargs)

    monkeypatch.setattr(model_loading_utils, "load_state_dict", asked)
    found = payloads(train(make_job("sdxl", changes | {"model.disable_mmap": True}, output="whole")))
    models = [path for path in mapped if "output" not in path and "sdxl" in path]
    assert not models and all(whole)
    assert not differences(found, plain)
    train(make_job("sdxl", changes, output="again"))
    assert len([path for path in mapped if "sdxl" in path]) > 0, "this test can see it"
