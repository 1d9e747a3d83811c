"""Which parts are on the card in which phase, what a run writes, and what makes it fit."""

from __future__ import annotations

import math
from typing import Any

import pytest

from loratory.config.architectures import SPECS
from loratory.config.memory_tables import memory_table
from loratory.config.modules import layers
from loratory.planner.counts import count, typed
from loratory.planner.disk import disk_of
from loratory.planner.estimate import Estimate, estimate
from loratory.planner.fitting import changed, fit
from loratory.planner.machine import CPU, Machine, parsed
from loratory.planner.memory import Phase, block_bytes, memory_of
from loratory.planner.report import duration, report
from tests.unit.planner.helpers import GIB, job, model

LARGE = (1024, 1024)


def parts(phase: Phase | None) -> dict[str, int]:
    assert phase is not None
    return {part.name: part.bytes for part in phase.parts}


def phases(name: str, **sections: Any) -> dict[str, dict[str, int]]:
    found = memory_of(model(job(name, **sections)), LARGE)
    return {phase.name: parts(phase) for phase in found.phases}


@pytest.mark.parametrize("name", SPECS)
def test_every_architecture_can_be_planned(name: str) -> None:
    found = made(name)
    assert found.peak_bytes > memory_table(name).denoiser.numbers * 2
    assert all(len(line) <= 80 for line in report(found).splitlines())
    assert found.as_json()["peak_bytes"] == found.peak_bytes


def made(name: str, machine: Machine = CPU, pictures: int = 20, **sections: Any) -> Estimate:
    config = job(name, **sections)
    spec = SPECS[name]
    side = spec.default_resolution
    return estimate(config, spec, layers(name), [typed(pictures, (side, side))], machine)


def test_weights_by_hand() -> None:
    """SDXL: 2,567,463,684 numbers in its UNet, 123,060,480 and 694,659,840 in its text encoders, 83,653,863 in fp32."""
    found = phases("sdxl")["training"]
    assert found["denoiser"] == pytest.approx(2 * 2_567_463_684, rel=1e-5)
    assert found["text encoders"] == pytest.approx(2 * (123_060_480 + 694_659_840), rel=1e-4)
    assert found["autoencoder"] == 4 * 83_653_863


def test_what_waits_is_not_on_the_card() -> None:
    usual, low = phases("sdxl"), phases("sdxl", memory={"low_vram": True})
    unloaded = phases("sdxl", memory={"unload_text_encoders": True})
    assert {"denoiser", "text encoders", "autoencoder"} <= usual["training"].keys() & usual["encoding pictures"].keys()
    assert {"text encoders", "autoencoder"}.isdisjoint(low["training"])
    assert "denoiser" not in low["encoding pictures"]
    assert "denoiser" not in low["encoding captions"]
    assert "autoencoder" in unloaded["training"]
    assert "text encoders" not in unloaded["training"]
    assert "text encoders" in unloaded["encoding captions"]


def test_encoders_that_each_step_needs_stay() -> None:
    low = {"low_vram": True}
    assert "autoencoder" in phases("sdxl", memory=low, caching={"latents": "off"})["training"]
    assert "pictures at work" in phases("sdxl", memory=low, caching={"latents": "off"})["training"]
    assert "text encoders" in phases("sdxl", memory=low, caching={"text_embeddings": "off"})["training"]
    trained = phases("sdxl", memory=low, network={"rank": 4, "train_text_encoders": True})
    assert "text encoders" in trained["training"]
    assert "encoding captions" not in trained


def test_swapped_blocks_leave_two_of_themselves() -> None:
    blocks = block_bytes(model(job("flux1")))
    assert len(blocks) == 57
    before = phases("flux1")["training"]["denoiser"]
    after = phases("flux1", memory={"blocks_to_swap": 20})["training"]["denoiser"]
    assert before - after == pytest.approx(sum(blocks) / 57 * 18, rel=0.15)
    packed = block_bytes(model(job("flux1", memory={"denoiser_weights": "fp8_e4m3"})))
    assert sum(packed) == pytest.approx(sum(blocks) / 2, rel=0.01)


def test_parts_of_the_network() -> None:
    plain = phases("sdxl")["training"]
    numbers = plain["adapter"] // 4
    assert plain["gradients"] == plain["adapter"]
    assert "running mean" not in plain
    assert phases("sdxl", ema={"decay": 0.99})["training"]["running mean"] == 4 * numbers
    half = phases("sdxl", memory={"adapter_precision": "bf16"})["training"]
    assert (half["adapter"], half["gradients"]) == (2 * numbers, 2 * numbers)
    fused = phases("sdxl", optimizer={"fused_backward_pass": True})["training"]
    assert fused["gradients"] < plain["gradients"] / 100


def test_tiles_are_as_large_as_the_autoencoders_own() -> None:
    """diffusers cuts into tiles of the config's sample_size: 512 in Stable Diffusion 1.5, 768 in 2, 1024 in SDXL and
    Flux; Qwen's are of 256. What is no larger is not cut."""
    sides = {"sd15": 512, "sd2": 768, "sdxl": 1024, "flux1": 1024, "flux2": 1024, "qwen_image": 256}
    for name, side in sides.items():
        one = {"caching": {"batch_size": 1}}
        cut, whole = phases(name, memory={"vae_tiling": True}, **one), phases(name, **one)
        at_work = [each["encoding pictures"]["pictures at work"] for each in (cut, whole)]
        assert at_work[0] / at_work[1] == pytest.approx(min(1, side**2 / 1024**2)), name


def test_samples_are_a_phase_of_their_own() -> None:
    assert "samples" not in phases("sdxl")
    found = phases("sdxl", sampling={"prompts": ["a dog"], "every_n_steps": 100})
    assert found["samples"]["sample at work"] > 0
    low = phases("sdxl", memory={"low_vram": True}, sampling={"prompts": ["a dog"], "every_n_steps": 100})
    assert "text encoders" not in low["samples"]


# Disk


def test_disk_by_hand() -> None:
    """20 pictures of 1024x1024: latents of 4 channels at 128x128, mean and deviation in fp32."""
    config = job("sdxl", duration={"steps": 1000}, saving={"export_every_n_steps": 250, "keep_last_checkpoints": 2},
                 sampling={"prompts": ["a", "b"], "every_n_steps": 500, "before_first_step": True})  # fmt: skip
    mine = model(config)
    found = disk_of(mine, count(config, SPECS["sdxl"], [typed(20, LARGE)]))
    assert found.latents == 20 * 2 * 4 * 128 * 128 * 4
    assert found.texts == pytest.approx(21 * (77 * 2048 + 1280) * 2, rel=0.001)
    numbers = sum(map(math.prod, mine.network_shapes))
    assert found.one_checkpoint == pytest.approx(12 * numbers, rel=0.001)
    assert found.checkpoints == 3 * found.one_checkpoint
    assert found.one_export == pytest.approx(2 * numbers, rel=0.01)
    assert found.exports == 4 * found.one_export  # after 250, 500, 750 steps, and the last one
    assert found.samples == round(3 * 2 * 1024 * 1024 * 1.6)  # before the first step, after 500 and 1000
    mirrored = job("sdxl", datasets=[{"path": "p", "augmentation": {"flip": True}}])
    doubled = disk_of(model(mirrored), count(mirrored, SPECS["sdxl"], [typed(20, LARGE)]))
    assert doubled.latents == 2 * found.latents
    none = job("sdxl", caching={"latents": "memory", "text_embeddings": "off"})
    nothing = disk_of(model(none), count(none, SPECS["sdxl"], [typed(20, LARGE)]))
    assert (nothing.latents, nothing.texts) == (0, 0)


# What makes it fit


@pytest.mark.parametrize(
    ("name", "size"), [("sdxl", 8), ("sdxl", 12), ("flux1", 24), ("flux1", 16), ("qwen_image", 24)]
)
def test_what_is_said_to_be_enough_is_enough_and_needed(name: str, size: int) -> None:
    mine = model(job(name))
    found = fit(mine, LARGE, size * GIB, 1.0)
    assert not found.fits
    assert found.enough

    def peak(options: Any) -> int:
        config = mine.config
        for option in options:
            config = changed(config, option.changes)
        return memory_of(model(config), LARGE).highest.bytes

    assert peak(found.enough) == found.peak_with_enough_bytes
    assert peak(found.enough) <= size * GIB
    for left_out in found.enough:
        assert peak([each for each in found.enough if each is not left_out]) > size * GIB


def test_each_option_saves_what_it_says() -> None:
    mine = model(job("sdxl"))
    found = fit(mine, LARGE, 8 * GIB, 1.0)
    before = memory_of(mine, LARGE)
    for option in found.options:
        after = memory_of(model(changed(mine.config, option.changes)), LARGE)
        one, other = before.phase(option.phase), after.phase(option.phase)  # type: ignore[arg-type]
        assert one is not None
        assert one.bytes - (0 if other is None else other.bytes) == option.saves_bytes > 0


def test_what_fits_is_left_alone_and_what_cannot_is_said() -> None:
    assert fit(model(job("sd15")), (512, 512), 80 * GIB, 1.0).enough == ()
    assert fit(model(job("sd15")), (512, 512), 80 * GIB, 1.0).fits
    nothing = made("flux2", Machine("a card", 4 * GIB))
    assert nothing.fit is not None
    assert nothing.fit.enough == ()
    assert "Nothing that was tried is enough" in report(nothing)


def test_options_that_a_rule_forbids_are_not_offered() -> None:
    found = fit(model(job("sdxl", caching={"text_embeddings": "off"})), LARGE, 8 * GIB, 1.0)
    assert not any("memory.unload_text_encoders" in option.changes for option in found.options)


def test_the_message_names_card_and_changes() -> None:
    said = " ".join(report(made("sdxl", Machine("a card", 12 * GIB))).split())
    assert "Will not fit in 12.0 GiB" in said
    assert "memory.gradient_checkpointing: on" in said
    assert "GiB memory.low_vram: true" in said


@pytest.mark.parametrize(("seconds", "words"), [(5, "5 s"), (90, "90 s"), (720, "12 min"), (3900, "1 h 05 min")])
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_what_nvidias_tool_says() -> None:
    assert parsed("NVIDIA GeForce RTX 4090, 24564\nanother, 1\n") == Machine("NVIDIA GeForce RTX 4090", 24564 * 2**20)
    assert parsed("") == CPU
    assert parsed("No devices were found\n") == CPU
