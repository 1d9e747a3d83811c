"""Samples in whole trainings: they show what is exported, fail alone, and leave the training as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from loratory.config.sampling import SamplingConfig
from loratory.runs import RunFolder
from loratory.training import samples
from tests.e2e.jobs import Data, events, export_contents, kinds, losses, train

pytestmark = pytest.mark.slow

STRONG = {"optimizer.learning_rate": 0.1, "network": {"rank": 2, "dropout": 0.1}}
SMALL = "--w 32 --h 32 --d 3"


def pictures(run: RunFolder, step: int) -> list[np.ndarray]:
    return [np.asarray(Image.open(path), np.int16) for path in run.samples().get(step, [])]


def said(run: RunFolder, kind: str) -> list[Data]:
    return [event.data for event in events(run) if event.kind == kind]


@pytest.mark.parametrize(
    ("architecture", "names"),
    [
        ("sd15", ["ddpm", "euler_a", "dpm_2_a", "sa_solver", "lcm", "tcd", "dpmsolver++"]),
        ("flux1", ["lcm", "heun", "unipc"]),
    ],
)
def test_the_training_is_the_same_with_and_without(architecture: str, names: list[str], make_job: Callable) -> None:
    """Also with samplers that draw noise of their own; dropout is drawn after them, and not for them."""
    lines = [f"a {name} dog {SMALL} --s 2 --am 0.5 --ss {name}" for name in names]
    sampling = {"prompts": lines, "every_n_steps": 2, "before_first_step": True}
    plain = train(make_job(architecture, STRONG, output="plain"))
    run = train(make_job(architecture, STRONG | {"sampling": sampling}))
    assert losses(run) == losses(plain)
    assert (
        export_contents(run)["run.safetensors"]["sshs_model_hash"]
        == (export_contents(plain)["run.safetensors"]["sshs_model_hash"])
    )
    assert {step: len(found) for step, found in run.samples().items()} == dict.fromkeys((0, 2, 4), len(names))
    assert not said(run, "sample_failed")
    assert all(picture.std() > 0 for step in (0, 2, 4) for picture in pictures(run, step))


def test_strength_nought_is_the_base_model(make_job: Callable) -> None:
    strengths = ("0", "0.5", "1", "-1")
    sampling = {"prompts": [f"a dog {SMALL} --s 3 --am {each}" for each in strengths], "every_n_steps": 4}
    run = train(make_job("sd15", STRONG | {"sampling": sampling}))
    before, (off, half, full, against) = pictures(run, 0), pictures(run, 4)
    assert all(np.array_equal(picture, off) for picture in before), "nothing is learned yet"
    shown = [off, half, full, against]
    assert not any(np.array_equal(a, b) for i, a in enumerate(shown) for b in shown[:i])


def test_one_that_fails_stops_neither_the_others_nor_the_training(
    make_job: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, released = samples.make_sample, []

    def sometimes(pipeline: Any, prompt: Any, *others: Any) -> Any:
        if "boom" in prompt.text:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
        if "bang" in prompt.text:
            raise RuntimeError("broken")
        return real(pipeline, prompt, *others)

    monkeypatch.setattr(samples, "make_sample", sometimes)
    monkeypatch.setattr(samples, "release_memory", lambda: released.append(True))
    prompts = [f"{text} {SMALL} --s 1" for text in ("boom", "a dog", "bang", "a cat")]
    run = train(make_job("sd15", {"sampling": {"prompts": prompts, "every_n_steps": 4, "before_first_step": False}}))
    assert [path.name[10:12] for path in run.samples()[4]] == ["01", "03"]
    assert [(each["prompt"], each["error"]) for each in said(run, "sample_failed")] == [
        ("boom", "OutOfMemoryError"),
        ("bang", "RuntimeError"),
    ]
    assert len(released) == 1, "memory is given back where it ran out"
    assert kinds(run)[-1] == "finished" and run.final_export_path.is_file()


def test_encoders_come_once_for_all_prompts_and_need_not_find_room(
    make_job: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are large: fetching them for each prompt would take longer than the picture."""
    real, came = samples.at_work, []

    def counted(modules: Any, device: Any) -> Any:
        came.append(True)
        if len(came) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
        return real(modules, device)

    monkeypatch.setattr(samples, "at_work", counted)
    prompts = [f"{text} {SMALL} --s 1" for text in ("a dog", "a cat")]
    run = train(make_job("sd15", {"sampling": {"prompts": prompts, "every_n_steps": 2}}))
    assert len(came) == 3
    assert {step: len(found) for step, found in run.samples().items()} == {0: 2, 4: 2}
    assert [(each["prompt"], each["error"]) for each in said(run, "sample_failed")] == [("all", "OutOfMemoryError")]
    assert kinds(run)[-1] == "finished"


def test_prompts_can_be_edited_while_it_trains(make_job: Callable, at_step: Callable, tmp_path: Path) -> None:
    file = tmp_path / "prompts.json"
    entry = {"prompt": "a [trigger]", "width": 32, "height": 32, "sample_steps": 1}

    def write(*entries: Data) -> None:
        file.write_text(json.dumps(entries), encoding="utf-8")

    def edit(training: Any) -> None:
        write(entry, entry | {"prompt": "a cat"})

        def broken(done: int) -> None:
            if done == 3:
                write(entry | {"size": 5})

        training.on_step = broken

    write(entry)
    at_step(1, edit)
    sampling = {"prompts_file": str(file), "every_n_steps": 1}
    run = train(make_job("sd15", {"sampling": sampling, "datasets.0.trigger_word": "ohwx"}))
    assert {step: len(found) for step, found in run.samples().items()} == {0: 1, 1: 2, 2: 2, 3: 2, 4: 2}
    assert [each["count"] for each in said(run, "prompts")] == [2]
    (failed,) = said(run, "prompts_failed")
    assert failed["step"] == 3 and "prompts.json, prompt 1: unknown key 'size'" in failed["message"]
    assert Image.open(run.samples()[0][0]).info["prompt"] == "a ohwx"


def test_it_says_how_far_it_is(
    make_job: Callable, job_file: Callable, loratory: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = samples.make_sample

    def watched(*arguments: Any) -> Any:
        (status,) = Path(job["saving"]["output_dir"]).glob("run/status.json")
        seen.append(json.loads(status.read_text(encoding="utf-8")))
        return real(*arguments)

    monkeypatch.setattr(samples, "make_sample", watched)
    monkeypatch.setattr("loratory.console.SECONDS_BETWEEN_LINES", 0.0)
    job = make_job("sd15", {"sampling": {"prompts": [f"a {SMALL} --s 1"] * 2, "every_n_steps": 4}})
    found = loratory("train", job_file(job))
    assert found.code == 0 and found.text.count("sample 2 of 2") == 2
    assert [(each["state"], each["step"], each["message"]) for each in seen] == [
        ("sampling", step, f"sample {number} of 2") for step in (0, 4) for number in (1, 2)
    ]


def test_how_many_are_kept(make_job: Callable) -> None:
    sampling = {"prompts": [f"a {SMALL} --s 1"], "every_n_steps": 1, "format": "jpg"}
    keep = {"saving.keep_last_samples": 2, "saving.keep_every_n_steps": 3}
    run = train(make_job("sd15", {"sampling": sampling, "duration.steps": 8} | keep))
    assert list(run.samples()) == [0, 3, 6, 7, 8]
    assert {path.suffix for found in run.samples().values() for path in found} == {".jpg"}
    assert [each["file"][:17] for each in said(run, "deleted")] == [f"samples/{n:09d}" for n in (1, 2, 4, 5)]


@pytest.mark.parametrize(
    ("sampling", "words"),
    [
        ({"sampler": "flowmatch"}, "sampling.sampler: flowmatch is meant for models of another kind"),
        ({"prompts": ["a --ss flowmatch"]}, "Stable Diffusion 1.5 takes ddim, ddpm"),
        ({"prompts_file": "nowhere.txt"}, "nowhere.txt cannot be read"),
        ({"prompts": ["a --frames 9"]}, "samples are single pictures"),
    ],
)
@pytest.mark.parametrize("command", [("train",), ("config", "check")])
def test_mistakes_are_told_before_anything_is_loaded(
    sampling: Data, words: str, command: tuple[str, ...], make_job: Callable, job_file: Callable, loratory: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def load(*_: Any, **__: Any) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("loratory.training.assemble.load_model", load)
    found = loratory(*command, job_file(make_job("sd15", {"sampling": {"every_n_steps": 1} | sampling})))
    assert found.code == 1
    assert words in found.text


# Every field ------------------------------------------------------------------------------------------------------

PROMPTS = [f"a dog {SMALL} --s 2", "a cat --s 2 --w 32 --h 32"]
# field -> what is needed, and other values: of the job, or made from a folder
FIELDS: dict[str, tuple[Data, Any]] = {
    "prompts": ({}, ["a bird --s 1"]),
    "prompts_file": ({"prompts": []}, "prompts.txt"),
    "every_n_steps": ({}, 2),
    "every_n_epochs": ({"every_n_steps": None}, 1),
    "before_first_step": ({}, False),
    "seed": ({}, 5),
    "walk_seed": ({"prompts": ["a --s 2", "a --s 2"]}, True),
    "sampler": ({}, "euler_a"),
    "steps": ({"prompts": ["a"]}, 1),
    "scale": ({}, 1.0),
    "guidance": ({"architecture": "flux1"}, 9.0),
    "guidance_rescale": ({"scale": 9.0}, 1.0),
    "negative_prompt": ({}, "blurry"),
    "width": ({"prompts": ["a --s 1"]}, 32),
    "height": ({"prompts": ["a --s 1"]}, 32),
    "strength": ({}, 0.0),
    "format": ({}, "webp"),
    "quality": ({"format": "jpg"}, 5),
}


def test_every_field_is_in_the_table() -> None:
    assert set(FIELDS) == set(SamplingConfig.model_fields)


def shown(run: RunFolder, of_files: bool) -> dict[str, bytes]:
    """The pixels of every picture by step, place and kind; or the file itself, for what is lost in it."""
    return {
        f"{path.name[:12]}{path.suffix}": path.read_bytes() if of_files else Image.open(path).tobytes()
        for paths in run.samples().values()
        for path in paths
    }


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, bytes]]:
    """What runs made without a field's other value, by what they needed: many need the same."""
    return {}


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_changes_the_pictures(
    field: str, make_job: Callable, tmp_path: Path, known: dict[str, dict[str, bytes]]
) -> None:
    """Which there are, their pixels, or what is in the files."""
    (tmp_path / "prompts.txt").write_text(f"a horse {SMALL} --s 1\n", encoding="utf-8")
    needs, other = FIELDS[field]
    sampling = {"prompts": PROMPTS, "every_n_steps": 1} | needs
    architecture = sampling.pop("architecture", "sd15")
    value = str(tmp_path / other) if field == "prompts_file" else other

    def made(changes: Data, output: str) -> dict[str, bytes]:
        job = make_job(architecture, STRONG | {"sampling": changes, "duration.steps": 2}, output=output)
        run = train(job)
        assert not said(run, "sample_failed")
        return shown(run, of_files=field == "quality")

    key = str((architecture, sampling))
    if key not in known:
        known[key] = made(sampling, "before")
    assert made(sampling | {field: value}, "after") != known[key]
