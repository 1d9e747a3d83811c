"""Presets train: each on its architecture's tiny model, with everything but sizes, places and length as it stands."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from loratory.config.architectures import SPECS
from loratory.config.load import load
from loratory.config.modules import layers
from loratory.config.presets import Preset, built_in, save
from loratory.config.presets.cards import Card
from loratory.config.targets import blocks_of
from tests.e2e.jobs import Data, contents, differences, losses, train

QUICK = ("sdxl-style-16gb", "flux1-concept-16gb", "sd15-character-8gb")


def features(preset: Preset) -> str:
    """What a preset asks of memory, whatever the numbers."""
    memory = preset.settings.get("memory", {})
    return json.dumps({name: bool(value) if isinstance(value, int) else value for name, value in memory.items()})


def cases() -> list[Any]:
    """All in the full tier, but each kind of card of an architecture once; a few in the quick one."""
    kinds = {(each.architecture, each.goal, features(each)): each for each in built_in().values() if each.goal}
    chosen = dict.fromkeys([*QUICK, *(each.name for each in kinds.values())])
    marks = [pytest.mark.slow, pytest.mark.full]
    return [pytest.param(name, id=name, marks=marks[: 1 if name in QUICK else 2]) for name in (*chosen, "classic")]


def small(preset: Preset, job: Data) -> Data:
    """Pictures of 64 pixels, two steps, and no more blocks waiting than a tiny model has."""
    changes: Data = {
        "name": "preset", "preset": preset.name, "model": job["model"], "datasets": job["datasets"],
        "batching": job["batching"], "duration": {"steps": 2}, "saving": job["saving"], "runtime": {"device": "cpu"},
    }  # fmt: skip
    if preset.settings.get("memory", {}).get("blocks_to_swap"):
        changes["memory"] = {"blocks_to_swap": 1}
    if preset.name == "classic":
        changes["memory"] = {"precision": "fp32"}  # fp16 needs a card
    return changes


@pytest.mark.parametrize("name", cases())
def test_it_trains(name: str, make_job: Callable) -> None:
    preset = built_in()[name]
    run = train(small(preset, make_job(preset.architecture)))
    assert len(losses(run)) == 2
    assert all(0 < loss < 100 for loss in losses(run))
    assert run.final_export_path.exists()


def test_waiting_blocks_are_fewer_than_there_are() -> None:
    """What the tiny models cannot show."""
    for preset in built_in().values():
        swapped = preset.settings.get("memory", {}).get("blocks_to_swap", 0)
        spec = SPECS[str(preset.architecture)]
        assert swapped < len(set(blocks_of(spec, layers(spec.name)).values())), preset.name
    assert Card(1).settings() == {}


@pytest.mark.slow
def test_a_run_goes_on_without_its_preset(make_job: Callable, job_file: Callable, loratory: Callable, own_home: Path,
                                          tmp_path: Path) -> None:  # fmt: skip
    """The frozen config holds what the preset gave; stopped and gone on is the same as unbroken, bit for bit."""
    settings = {
        "network": {"rank": 3},
        "schedule": {"type": "cosine"},
        "optimizer": {"type": "adamw", "learning_rate": 0.01},
    }
    save(Preset("mine", "", settings))
    job = make_job("sd15", {"preset": "mine", "duration.steps": 4, "saving.checkpoint_every_n_steps": 2})
    del job["network"]
    unbroken = train(job | {"name": "unbroken"})
    stopped = train(job | {"name": "unbroken", "saving": job["saving"] | {"output_dir": str(tmp_path / "other")}})
    config = load(stopped.config_path, frozen=True)
    assert (config.preset, config.network.rank, config.schedule.type) == ("mine", 3, "cosine")
    for checkpoint in stopped.checkpoints()[1:]:
        for path in sorted(checkpoint.path.iterdir()):
            path.unlink()
        checkpoint.path.rmdir()
    (own_home / "presets" / "mine.yaml").unlink()
    said = loratory("train", stopped.path)
    assert said.code == 0, said.text
    assert differences(contents(stopped), contents(unbroken)) == []


def test_the_wrong_model_is_named(make_job: Callable, job_file: Callable, loratory: Callable) -> None:
    said = loratory("train", job_file(make_job("sd15", {"preset": "sdxl-style-12gb"})))
    assert said.code == 1
    assert "preset: sdxl-style-12gb is for Stable Diffusion XL, and the model is Stable Diffusion 1.5" in said.error
    assert "sd15-style-12gb is for that" in said.error


# The commands


def test_listing(loratory: Callable, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    save(Preset("ink", "Ink drawings", {"network": {"rank": 3}}, "sdxl"))
    said = loratory("presets", "--for", "sdxl", "--memory", "23.7")
    assert said.code == 0
    assert "sdxl-character-24gb, sdxl-style-24gb" in said.text
    assert "ink: Ink drawings (sdxl)" in said.text
    assert "classic" not in said.text
    assert "flux2" not in said.text
    assert "none fits here" in loratory("presets", "--for", "flux2", "--memory", "8").text
    assert "classic: the web form's defaults (sd15)" in loratory("presets").text
    found = json.loads(loratory("presets", "--for", "sdxl", "--memory", "8", "--json").text)
    assert {each["name"] for each in found if each["proposed"]} == {
        f"sdxl-{goal}-8gb" for goal in ("character", "style", "object", "concept")
    }
    assert [each["name"] for each in found if each["own"]] == ["ink"]
    assert "did you mean sdxl" in loratory("presets", "--for", "sdlx").error


def test_the_card_of_this_machine_is_proposed_for(loratory: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from loratory import doctor

    monkeypatch.setattr(doctor, "nvidia_cards", lambda: iter([doctor.Card("nvidia", "RTX 3060", gigabytes=11.99)]))
    said = loratory("presets", "--for", "zimage")
    assert "For RTX 3060, 12 GB:" in said.text
    assert "zimage-style-12gb" in said.text


def test_showing_saving_and_comparing(
    make_job: Callable, job_file: Callable, loratory: Callable, own_home: Path
) -> None:
    shown = loratory("presets", "show", "sdxl-style-12gb").text
    assert "- Rank 32: a style shows everywhere in the picture." in shown
    assert yaml.safe_load(shown.partition("\n\n")[2]) == built_in()["sdxl-style-12gb"].settings
    assert json.loads(loratory("presets", "show", "classic", "--json").text)["architecture"] == "sd15"
    path = job_file(make_job("sd15", {"network.rank": 5, "seed": 9, "preset": "sd15-style-8gb"}))
    said = loratory("presets", "save", "mine", "--from", path)
    assert said.code == 0, said.text
    saved = yaml.safe_load((own_home / "presets" / "mine.yaml").read_text(encoding="utf-8"))
    assert saved["architecture"] == "sd15"
    assert saved["settings"]["network"] == {"rank": 5, "conv_rank": 16}
    assert saved["settings"]["seed"] == 9
    assert "model" not in saved["settings"]
    assert "give --replace" in loratory("presets", "save", "mine", "--from", path).error
    piece = path.with_name("piece.yaml")
    piece.write_text("network: {rank: 6}\n", encoding="utf-8")
    assert loratory("presets", "save", "mine", "--from", piece, "--for", "flux1", "--replace").code == 0

    assert "no difference" in loratory("config", "diff", path, path).text
    found = json.loads(loratory("config", "diff", path, "--json").text)
    assert (found["a"], found["b"]) == (str(path), "sd15-style-8gb"), "the preset that it names"
    assert {"path": "network.rank", "a": 5, "b": 32} in found["differences"]
    found = json.loads(loratory("config", "diff", "defaults", path, "--json").text)
    assert {"path": "seed", "a": 42, "b": 9} in found["differences"]
    table = loratory("config", "diff", "sd15-style-8gb", "sd15-object-8gb").text
    assert "network.rank" in table
    assert json.loads(loratory("config", "diff", own_home / "presets" / "mine.yaml", "--json").text)["differences"] == [
        {"path": "network.rank", "a": 6, "b": 16}
    ]
    assert "no preset nowhere" in loratory("config", "diff", "nowhere").error

    changed = yaml.safe_load(loratory("config", "show", "--changed", path).text)
    assert changed["network"] == {"rank": 5, "conv_rank": 16}
    assert "preset" not in changed
    again = path.with_name("again.yaml")
    again.write_text(yaml.safe_dump(changed), encoding="utf-8")
    assert load(again) == load(path).model_copy(update={"preset": None})
    assert "sampling:" in loratory("config", "show", path).text


def test_presets_of_other_programs_become_ours(tmp_path: Path, loratory: Callable, own_home: Path) -> None:
    """What kohya_ss keeps as a preset has no model and no pictures; one of ai-toolkit has both, and they stay out."""
    theirs = tmp_path / "SDXL slow.json"
    form = {
        "LoRA_type": "Standard", "sdxl": True, "network_dim": 256, "network_alpha": 64, "epoch": 30, "unet_lr": 4e-7,
        "text_encoder_lr": 0, "optimizer": "Adafactor", "optimizer_args": "relative_step=False",
        "lr_scheduler": "constant_with_warmup", "lr_warmup": 8,
        "train_batch_size": 4, "mixed_precision": "bf16", "max_resolution": "1024,1024", "bucket_reso_steps": 32,
        "enable_bucket": True, "bogus": 1, "output_name": "", "wandb_api_key": "0123456789abcdef",
    }  # fmt: skip
    theirs.write_text(json.dumps(form), encoding="utf-8")
    said = loratory("presets", "save", "slow", "--from", theirs)
    assert said.code == 0, said.text
    assert "bogus" in said.text
    assert "is not given" not in said.text, "no preset has a model or pictures"
    saved = yaml.safe_load((own_home / "presets" / "slow.yaml").read_text(encoding="utf-8"))
    assert saved["architecture"] == "sdxl"
    assert saved["settings"]["network"] == {"rank": 256, "alpha": 64.0}
    assert saved["settings"]["schedule"] == {"type": "constant_with_warmup", "warmup_ratio": 0.08}
    buckets = {"resolution": 1024, "step": 32, "maximum": 1024, "adapt_minimum": False}
    assert saved["settings"]["batching"] == {"size": 4, "buckets": buckets}
    assert "0123456789abcdef" not in json.dumps(saved) + said.text

    job = tmp_path / "job.yaml"
    job.write_text(
        "job: extension\nconfig:\n  name: dog\n  process:\n  - type: sd_trainer\n    training_folder: out\n"
        "    model: {name_or_path: black-forest-labs/FLUX.1-dev, is_flux: true}\n"
        "    network: {type: lora, linear: 24, linear_alpha: 24}\n    datasets: [{folder_path: pictures}]\n",
        encoding="utf-8",
    )
    assert loratory("presets", "save", "flux", "--from", job).code == 0
    saved = yaml.safe_load((own_home / "presets" / "flux.yaml").read_text(encoding="utf-8"))
    assert saved["architecture"] == "flux1"
    assert saved["settings"]["network"]["rank"] == 24
    assert "dog" not in json.dumps(saved)
    assert "pictures" not in json.dumps(saved)
