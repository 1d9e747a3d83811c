"""The prompts of a run: completed with the job's usual values, refused where a model cannot, read again when edited."""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from loratory.config.architectures import SPECS
from loratory.config.samplers import SAMPLERS
from loratory.config.sampling import SamplingConfig
from loratory.data.prompts import FLAGS, Prompt
from loratory.drafts import prompts as module
from loratory.errors import UserError
from loratory.training.preview import picture_file
from loratory.training.prompts import Prompts
from tests.unit.training.helpers import job


def prompts_of(architecture: str = "sd15", **sampling: Any) -> list[Prompt]:
    config = job(sampling=sampling, batching={"buckets": {"resolution": 256}})
    return Prompts(config, SPECS[architecture]).current


def test_what_is_left_open_is_the_models_usual() -> None:
    sd15, flux = SPECS["sd15"], SPECS["flux1"]
    assert prompts_of(prompts=["a"]) == [
        Prompt("a", "", 256, 256, 42, sd15.sample_scale, sd15.sample_steps, strength=1.0)
    ]
    assert prompts_of("flux1", prompts=["a"])[0].steps == flux.sample_steps


# field of the job -> its value, the prompt's field, an option of a line that says another value, that value
USUAL: dict[str, tuple[Any, str, str, Any]] = {
    "seed": (7, "seed", "--d 8", 8),
    "sampler": ("euler_a", "sampler", "--ss ddim", "ddim"),
    "steps": (3, "steps", "--s 4", 4),
    "scale": (0.0, "scale", "--l 2", 2.0),
    "guidance": (1.5, "guidance", "--g 2", 2.0),
    "guidance_rescale": (0.7, "rescale", "--gr 0.5", 0.5),
    "negative_prompt": ("bad", "negative", "--n", ""),
    "width": (64, "width", "--w 128", 128),
    "height": (64, "height", "--h 128", 128),
    "strength": (0.0, "strength", "--am 0.5", 0.5),
}


@pytest.mark.parametrize("field", USUAL)
def test_the_jobs_usual_values_hold_where_a_prompt_says_nothing(field: str) -> None:
    value, name, option, other = USUAL[field]
    plain, said = prompts_of(prompts=["a", f"a {option}"], **{field: value})
    assert (getattr(plain, name), getattr(said, name)) == (value, other)
    assert dataclasses.replace(plain, **{name: None}) == dataclasses.replace(
        prompts_of(prompts=["a"])[0], **{name: None}
    ), "nothing else has changed"


def test_seeds_walk() -> None:
    lines = ["a", "b --d 9", "c"]
    assert [prompt.seed for prompt in prompts_of(prompts=lines, seed=7, walk_seed=True)] == [7, 9, 9]
    assert [prompt.seed for prompt in prompts_of(prompts=lines, seed=7)] == [7, 9, 7]
    assert prompts_of(prompts=lines, seed=2**63 - 1, walk_seed=True)[2].seed == 1


@pytest.mark.parametrize(
    ("architecture", "line", "message"),
    [
        ("flux1", "a --ss ddim", "ddim is meant for models of another kind; Flux.1 takes flowmatch, euler"),
        ("sd15", "a --ss flowmatch", "Stable Diffusion 1.5 takes ddim, ddpm"),
        ("sd15", "a --ss eular", "eular is no sampler that is known"),
        ("flux1", "a --w 16 --h 8", "asks for height 8"),
        ("sd15", "a --ci nowhere.png", "nowhere.png cannot be opened"),
    ],
)
def test_what_cannot_be_made_is_refused(architecture: str, line: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        prompts_of(architecture, prompts=[line])
    assert message in str(caught.value)


def test_control_pictures_need_an_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("RGB", (8, 8)).save(good)
    bad.write_text("no picture", encoding="utf-8")
    with pytest.raises(UserError, match=r"1 control pictures .*Stable Diffusion 1.5 has no control input"):
        prompts_of(prompts=[f"a --ci {good}"])
    with pytest.raises(UserError, match=r"bad\.png holds text"):
        prompts_of(prompts=[f"a --ci {bad}"])
    takes_one = dataclasses.replace(SPECS["sd15"], control_images=1)
    config = job(sampling={"prompts": [f"a --ci {good}"]})
    assert Prompts(config, takes_one).current[0].control_images == (str(good),)
    with pytest.raises(UserError, match=r"has 2 control pictures .* takes 1"):
        Prompts(job(sampling={"prompts": [f"a --ci {good} --ci {good}"]}), takes_one)


def test_options_without_effect_are_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, module.__name__):
        prompts_of("sd15", prompts=["a --g 3 --gr 0.5 --fs 2"])
        prompts_of("flux1", prompts=["a --g 3 --gr 0.5 --fs 2"])
    said = [record.getMessage() for record in caplog.records]
    assert [sentence.split(" has ")[1].split(",")[0] for sentence in said] == ["--g", "--fs", "--gr"]


def test_a_file_is_read_again_once_it_was_changed(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("a dog", encoding="utf-8")
    prompts = Prompts(job(sampling={"prompts_file": str(file)}), SPECS["sd15"])

    def texts() -> list[str]:
        return [prompt.text for prompt in prompts.current]

    assert not prompts.read_again()
    file.write_text("a dog\na cat", encoding="utf-8")
    assert prompts.read_again() and texts() == ["a dog", "a cat"]
    assert not prompts.read_again()
    # What cannot be used is said once, and the old prompts stay.
    file.write_text("a dog --x 1", encoding="utf-8")
    with pytest.raises(UserError, match=r"prompts\.txt, line 1"):
        prompts.read_again()
    assert not prompts.read_again() and texts() == ["a dog", "a cat"]
    file.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        prompts.read_again()
    assert not prompts.read_again() and texts() == ["a dog", "a cat"]
    file.write_text("a bird", encoding="utf-8")
    assert prompts.read_again() and texts() == ["a bird"]
    # A request replaces them, until the file is changed.
    prompts.use(["a fish"])
    assert not prompts.read_again() and texts() == ["a fish"]
    with pytest.raises(UserError):
        prompts.use(["a fish --ss nothing"])
    assert texts() == ["a fish"]
    file.write_text("a horse", encoding="utf-8")
    assert prompts.read_again() and texts() == ["a horse"]


def test_aitoolkits_guidance_is_the_models(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("samples: [{prompt: a, guidance_scale: 4}]", encoding="utf-8")
    (sd15,), (flux,) = (prompts_of(each, prompts_file=str(file)) for each in ("sd15", "flux1"))
    assert (sd15.scale, sd15.guidance) == (4.0, None)
    assert (flux.scale, flux.guidance) == (SPECS["flux1"].sample_scale, 4.0)


def test_the_guide_names_every_option_and_sampler() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "guide" / "samples-and-files.md").read_text(encoding="utf-8")
    assert [flag for flag in FLAGS if f"`--{flag}`" not in guide and not flag.startswith("ctrl_img_")] == []
    rows = [line for line in guide.splitlines() if line.startswith("| ")]
    for models, family in (("Stable Diffusion 1.5, SDXL", "ddpm"), ("Flux.1", "flow")):
        (row,) = [line for line in rows if line.startswith(f"| {models} |")]
        short = {name for name in SAMPLERS[family] if not name.endswith("Scheduler")}
        assert set(re.findall(r"`([^`]+)`", row)) == short - ({"k_euler"} if family == "flow" else set())


# Files of pictures -----------------------------------------------------------------------------------------------

PROMPT = Prompt("ein Hund, 犬", "schlecht", 48, 32, 7, 3.5, 9, strength=0.5, sampler="euler_a")
TEXT = (
    "ein Hund, 犬\nNegative prompt: schlecht\nSteps: 9, Sampler: euler_a, CFG scale: 3.5, Seed: 7, Size: 48x32, "
    "LoRA strength: 0.5, Training step: 250"
)


@pytest.fixture
def picture() -> Image.Image:
    columns = np.linspace(0, 255, 48, dtype=np.uint8)[None, :, None]
    return Image.fromarray(np.broadcast_to(columns, (32, 48, 3)).copy())


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_a_picture_says_how_it_was_made(kind: Any, picture: Image.Image, tmp_path: Path) -> None:
    file = tmp_path / f"a.{kind}"
    file.write_bytes(picture_file(picture, PROMPT, 250, SamplingConfig(format=kind)))
    with Image.open(file) as found:
        assert found.format == {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[kind]
        assert np.abs(np.asarray(found, np.int16) - np.asarray(picture, np.int16)).max() <= (0 if kind == "png" else 6)
        if kind == "png":
            assert found.info["parameters"] == TEXT
            assert found.info["prompt"] == PROMPT.text
            assert found.info["settings"] == f"{PROMPT!r}, step 250"
        else:
            comment = found.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
            assert comment == b"UNICODE\0" + TEXT.encode("utf-16-be")


@pytest.mark.parametrize("kind", ["jpg", "webp"])
def test_quality_makes_files_smaller(kind: Any, picture: Image.Image) -> None:
    high, low = (picture_file(picture, PROMPT, 0, SamplingConfig(format=kind, quality=each)) for each in (95, 5))
    assert len(low) < len(high)
