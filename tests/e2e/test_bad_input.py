"""What a person can do wrong with `loratory train`: one readable sentence, exit code 1, and nothing lost."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from loratory.runs import RunFolder, read_status
from tests.e2e.jobs import Data, changed, events, kinds, losses, train

pytestmark = pytest.mark.slow


def missing_dataset(folder: Path, data: Data) -> Data:
    return changed(data, {"datasets.0.path": str(folder / "nowhere")})


def dataset_is_a_file(folder: Path, data: Data) -> Data:
    (folder / "pictures.zip").write_bytes(b"PK")
    return changed(data, {"datasets.0.path": str(folder / "pictures.zip")})


def no_pictures(folder: Path, data: Data) -> Data:
    (folder / "texts").mkdir()
    (folder / "texts" / "readme.md").write_text("nothing", encoding="utf-8")
    return changed(data, {"datasets.0.path": str(folder / "texts")})


def only_broken_pictures(folder: Path, data: Data) -> Data:
    (folder / "broken").mkdir()
    (folder / "broken" / "a.jpg").write_text("this is no picture", encoding="utf-8")
    return changed(data, {"datasets.0.path": str(folder / "broken")})


def caption_in_latin_1(folder: Path, data: Data) -> Data:
    (folder / "mine").mkdir()
    Image.new("RGB", (64, 64), "red").save(folder / "mine" / "a.png")
    (folder / "mine" / "a.txt").write_bytes("ein Käse".encode("latin-1"))
    return changed(data, {"datasets.0.path": str(folder / "mine")})


def model_is_nowhere(folder: Path, data: Data) -> Data:
    return changed(data, {"model.path": str(folder / "model")})


def model_is_an_empty_folder(folder: Path, data: Data) -> Data:
    (folder / "model").mkdir()
    return changed(data, {"model.path": str(folder / "model")})


def model_is_a_text(folder: Path, data: Data) -> Data:
    (folder / "model.safetensors").write_text("<html>404</html>" * 100, encoding="utf-8")
    return changed(data, {"model.path": str(folder / "model.safetensors")})


def model_is_a_lora(folder: Path, data: Data) -> Data:
    save_file({"lora_unet_x.lora_up.weight": torch.zeros(2, 2)}, folder / "lora.safetensors")
    return changed(data, {"model.path": str(folder / "lora.safetensors")})


def model_is_a_pickle(folder: Path, data: Data) -> Data:
    torch.save({"state_dict": {"a": torch.zeros(1)}}, folder / "model.ckpt")
    return changed(data, {"model.path": str(folder / "model.ckpt")})


def unknown_key(folder: Path, data: Data) -> Data:
    return data | {"netwrok": {"rank": 4}}


def out_of_range(folder: Path, data: Data) -> Data:
    return changed(data, {"network.rank": 0})


def unknown_step_of_pictures(folder: Path, data: Data) -> Data:
    return changed(data, {"datasets.0.augmentation": {"pipeline": [{"name": "Rotat"}]}})


def rules_broken(folder: Path, data: Data) -> Data:
    return changed(data, {"datasets.0.augmentation": {"random_crop": True, "variants": None}})


def no_such_device(folder: Path, data: Data) -> Data:
    return changed(data, {"runtime.device": "quantum"})


def prompt_with_unknown_option(folder: Path, data: Data) -> Data:
    return changed(data, {"sampling": {"prompts": ["a cat --q 3"]}})


def lora_of_other_layers(folder: Path, data: Data) -> Data:
    other = train(changed(data, {"name": "other", "network.train_text_encoders": True, "duration.steps": 1}))
    return changed(data, {"network.start_from": str(other.final_export_path)})


def output_below_a_file(folder: Path, data: Data) -> Data:
    (folder / "file").write_text("", encoding="utf-8")
    return changed(data, {"saving.output_dir": str(folder / "file")})


def folder_of_something_else(folder: Path, data: Data) -> Data:
    place = Path(data["saving"]["output_dir"]) / data["name"]
    place.mkdir(parents=True)
    (place / "thesis.txt").write_text("years of work", encoding="utf-8")
    return data


def name_is_a_path(folder: Path, data: Data) -> Data:
    return data | {"name": "../run"}


def nothing_trained(folder: Path, data: Data) -> Data:
    return changed(data, {"network.train_denoiser": False})


MISTAKES: list[tuple[Callable[[Path, Data], Data], list[str]]] = [
    (missing_dataset, ["The dataset folder", "nowhere does not exist"]),
    (dataset_is_a_file, ["pictures.zip is a file"]),
    (no_pictures, ["holds no pictures", "only 1 .md file"]),
    (only_broken_pictures, ["None of the 1 pictures", "a.jpg holds text, not a picture"]),
    (caption_in_latin_1, ["a.txt is not UTF-8 (byte 5)", "save it as UTF-8"]),
    (model_is_nowhere, ["There is no model at", "neither a file or folder on this machine nor a repository"]),
    (model_is_an_empty_folder, ["model.path: the folder", "has no model_index.json, and holds nothing"]),
    (model_is_a_text, ["model.safetensors is not a usable .safetensors file: it is a web page"]),
    (model_is_a_lora, ["lora.safetensors holds no model that is known here", "lora_unet_x"]),
    (model_is_a_pickle, ["model.ckpt", "allow_pickle"]),
    (unknown_key, ["netwrok.rank: unknown key; did you mean network.rank?"]),
    (out_of_range, ["network.rank: must be at least 1 (it is 0)"]),
    (unknown_step_of_pictures, ["datasets.0.augmentation.pipeline.0.name", "Did you mean Rotate?"]),
    (rules_broken, ["datasets.0.augmentation.variants, caching.latents", "set caching.latents to off"]),
    (no_such_device, ["runtime.device: 'quantum' is no device"]),
    (prompt_with_unknown_option, ["'a cat --q 3' has the unknown option --q"]),
    (lora_of_other_layers, ["other.safetensors", "layers that are not trained here", "text_encoder."]),
    (output_below_a_file, ["run", "choose an output folder you may write to"]),
    (folder_of_something_else, ["run is not a run folder"]),
    (name_is_a_path, ["name: becomes the name of a folder"]),
    (nothing_trained, ["network.train_denoiser, network.train_text_encoders: both are off"]),
]


@pytest.mark.parametrize(("mistake", "words"), MISTAKES, ids=[mistake.__name__ for mistake, _ in MISTAKES])
def test_mistake(
    mistake: Callable, words: list[str], tmp_path: Path, make_job: Callable, job_file: Callable, loratory: Callable
) -> None:
    """Named in one sentence; what lay there before still does; put right, the same job trains."""
    good = make_job("sd15", {"duration.steps": 1})
    bad = mistake(tmp_path, good)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "home" not in path.parts}
    said = loratory("train", job_file(bad))
    assert said.code == 1, said.text
    for word in words:
        assert word in said.error
    assert len(said.error) < 500, "a sentence, not a page"
    assert {path: path.read_bytes() for path in before} == before


def test_mistake_that_shows_late_leaves_the_run_ready(
    tmp_path: Path, make_job: Callable, job_file: Callable, loratory: Callable
) -> None:
    """A caption is read after the run's folder was made: the failure stands in it, and the mended job goes on there."""
    data = caption_in_latin_1(tmp_path, make_job())
    path = job_file(data)
    said = loratory("train", path)
    run = RunFolder.open(tmp_path / "out" / "run")
    assert read_status(run.path).state == "failed"
    assert "not UTF-8" in read_status(run.path).message
    assert kinds(run)[-1] == "failed"
    assert f"The whole story is in {run.log_path}" in said.text
    assert "Traceback" in run.log_path.read_text(encoding="utf-8")
    (tmp_path / "mine" / "a.txt").write_text("ein Käse", encoding="utf-8")
    assert loratory("train", path).code == 0
    assert len(losses(run)) == 4


@pytest.mark.skipif(
    os.name == "nt" or getattr(os, "geteuid", int)() == 0, reason="platform: needs rights that can lack"
)
def test_unreadable_dataset(tmp_path: Path, make_job: Callable, job_file: Callable, loratory: Callable) -> None:
    (tmp_path / "closed").mkdir(mode=0o000)
    said = loratory("train", job_file(make_job("sd15", {"datasets.0.path": str(tmp_path / "closed")})))
    assert said.code == 1
    assert "check the folder's rights" in said.error


def test_unreadable_dataset_whoever_runs_it(
    make_job: Callable, job_file: Callable, loratory: Callable, monkeypatch: pytest.MonkeyPatch, photos: Path
) -> None:
    """The administrator may read everything, so the refusal is played here."""
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).startswith(str(photos)):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    said = loratory("train", job_file(make_job()))
    assert said.code == 1
    assert (
        f"The dataset folder {photos} cannot be looked into: Permission denied; check the folder's rights."
        in said.error
    )


def test_pickle_is_read_when_that_is_wanted(
    make_job: Callable, tiny_file: Callable, tiny_model: Callable, tmp_path: Path
) -> None:
    """And trains like the same weights in a .safetensors file."""
    data = make_job("sd15", {"duration.steps": 2, "model.components": str(tiny_model("sd15"))})
    torch.save({"state_dict": load_file(tiny_file("sd15", "original"))}, tmp_path / "model.ckpt")
    safe = train(changed(data, {"model.path": str(tiny_file("sd15", "original")), "name": "safe"}))
    wanted = {"model.allow_pickle": True, "model.architecture": "sd15"}
    pickled = train(changed(data, wanted | {"model.path": str(tmp_path / "model.ckpt")}))
    # The tensors lie otherwise in memory, for which processors have other kernels: the last digit may differ.
    assert losses(pickled) == pytest.approx(losses(safe), rel=1e-5)


def test_two_processes_on_one_run(make_job: Callable, job_file: Callable, loratory: Callable) -> None:
    """The second is refused and leaves the first in peace."""
    path = job_file(make_job())
    run = train(make_job())
    with run.lock():
        run.write_status("training", step=1)
        before = len(events(run))
        said = loratory("train", path)
        assert read_status(run.path).state == "training"
        assert len(events(run)) == before
    assert said.code == 1
    assert f"The run 'run' is being worked on by process {os.getpid()}" in said.error


def test_jobs_in_turn(make_job: Callable, job_file: Callable, loratory: Callable) -> None:
    """A failing job stops the row, unless --recover is given; the exit code tells of it in both cases."""
    good, bad = make_job("sd15", {"duration.steps": 1}), changed(make_job(), {"name": "bad", "network.rank": 0})
    row = [job_file(bad), job_file(good)]
    said = loratory("train", *row)
    assert said.code == 1
    assert "1 more jobs were not started; --recover goes on after a failing one." in said.text
    assert not Path(good["saving"]["output_dir"], "run").exists()
    said = loratory("train", *row, "--recover")
    assert said.code == 1
    assert "Finished 1 steps" in said.text
