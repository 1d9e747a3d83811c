"""Which files a training leaves, in which layout, and what their headers tell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from loratory.config.architectures import SPECS
from loratory.config.network_preview import model_layers
from loratory.config.saving import SavingConfig
from loratory.networks.formats import DIALECTS, import_
from loratory.networks.metadata import CLOCK_KEYS, read_lora
from loratory.runs import RunFolder
from tests.e2e.jobs import Data, changed, events, kinds, losses, train

pytestmark = pytest.mark.slow

JOB = {"optimizer.learning_rate": 0.05, "saving.precision": "fp32", "network": {"rank": 2, "train_text_encoders": True}}


def test_every_layout_holds_the_same(make_job: Callable[..., Data]) -> None:
    states = {}
    for form in DIALECTS:
        data = make_job("sdxl", JOB | {"saving.format": form}, output=form)
        run = train(data)
        tensors, metadata = read_lora(run.final_export_path)
        layers = model_layers(SPECS["sdxl"], Path(data["model"]["path"]))
        shapes = {layer.path: layer.shape for layer in layers}
        states[form] = import_(tensors, SPECS["sdxl"], shapes, metadata=metadata)
    for form, state in states.items():
        assert state.keys() == states["kohya"].keys(), form
        for path, layer in state.items():
            for name in ("down", "up"):
                torch.testing.assert_close(layer[name], states["kohya"][path][name], rtol=1e-6, atol=1e-7)


def test_what_is_kept(make_job: Callable[..., Data]) -> None:
    saving = {"saving.export_every_n_steps": 1, "saving.keep_last_exports": 2, "saving.keep_every_n_steps": 4}
    run = train(make_job("sd15", JOB | saving | {"duration.steps": 12}))
    assert [export.step for export in run.exports()] == [4, 8, 10, 11, None]


def test_files_by_minutes(make_job: Callable[..., Data]) -> None:
    data = make_job("sd15", JOB | {"saving.export_every_n_minutes": 1e-6, "saving.keep_last_exports": None})
    assert kinds(train(data)).count("export") == 4, "after every step, because every step takes longer"
    assert kinds(train(changed(data, {"name": "other", "saving.export_every_n_minutes": 60}))).count("export") == 1


@pytest.mark.parametrize("amount", ["minimum", "none"])
def test_headers_can_be_short(amount: str, make_job: Callable[..., Data]) -> None:
    _, metadata = read_lora(train(make_job("sd15", JOB | {"saving.metadata": amount})).final_export_path)
    assert "ss_tag_frequency" not in metadata and "loratory_config" not in metadata
    assert ("ss_network_dim" in metadata) == (amount == "minimum")
    assert metadata["sshs_model_hash"]


# Pickles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ckpt", "pt"])
def test_pickles_hold_the_same_numbers(kind: str, make_job: Callable[..., Data]) -> None:
    """Read as others do: a flat dictionary of tensors. Equal tensors make equal bytes."""
    plain = train(make_job("sd15", JOB, output="plain"))
    saving = {"saving.file_type": kind, "saving.export_every_n_steps": 1, "saving.keep_last_exports": 2}
    runs = [train(make_job("sd15", JOB | saving, output=f"out{n}")) for n in range(2)]
    assert [export.path.name for export in runs[0].exports()] == [f"run_00000000{n}.{kind}" for n in (2, 3)] + [
        f"run.{kind}"
    ]
    found = torch.load(runs[0].exports()[-1].path, weights_only=True)
    wanted, _ = read_lora(plain.final_export_path)
    assert list(found) == sorted(wanted)
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype, name
    first, second = (run.exports()[-1].path.read_bytes() for run in runs)
    assert first == second


def test_training_starts_from_a_pickle_only_where_that_is_allowed(
    make_job: Callable[..., Data], job_file: Callable, loratory: Callable
) -> None:
    first = {kind: train(make_job("sd15", JOB | {"saving.file_type": kind}, output=kind)).exports()[-1].path
             for kind in ("safetensors", "ckpt")}  # fmt: skip
    for field in ("network.start_from", "model.merge"):
        named = {kind: str(path) if field.endswith("from") else [{"path": str(path)}] for kind, path in first.items()}
        changes = {kind: JOB | {field: value} for kind, value in named.items()}
        said = loratory("train", job_file(make_job("sd15", changes["ckpt"], output=f"{field}-refused")))
        assert said.code == 1 and "run.ckpt is a pickle, which can carry code" in said.error
        assert "model.allow_pickle" in said.error
        wanted = train(make_job("sd15", changes["safetensors"], output=f"{field}-wanted"))
        found = train(make_job("sd15", changes["ckpt"] | {"model.allow_pickle": True}, output=f"{field}-found"))
        assert losses(found) == losses(wanted)
    (first["ckpt"].parent / "other.ckpt").write_bytes(b"no pickle")
    gone = {"network.start_from": str(first["ckpt"].parent / "gone.ckpt"), "model.allow_pickle": True}
    other = {"network.start_from": str(first["ckpt"].parent / "other.ckpt"), "model.allow_pickle": True}
    for changes, words in ((gone, "gone.ckpt is not a file"), (other, "other.ckpt cannot be loaded as plain tensors")):
        assert words in loratory("train", job_file(make_job("sd15", JOB | changes, output="broken"))).error


# Numbers that do not fit ------------------------------------------------------------------------------------------


def test_what_fp16_cannot_hold_is_said_and_not_written(
    make_job: Callable[..., Data], at_step: Callable, job_file: Callable, loratory: Callable
) -> None:
    """The training is sound: it goes on, and only a final file that cannot be written ends it with an error. From there
    the run goes on with another format."""
    data = make_job("sd15", JOB | {"saving.precision": "fp16", "saving.export_every_n_steps": 1})

    def enlarge(training: Any) -> None:
        next(iter(training.network.layers.values())).down.data[0, 0] = 1e6

    at_step(2, enlarge)
    said = loratory("train", job_file(data))
    assert said.code == 1 and "values too large for torch.float16; save as bf16 or fp32" in said.error
    run = RunFolder.open(Path(data["saving"]["output_dir"]) / "run")
    assert [export.step for export in run.exports()] == [1]
    assert [event.data["step"] for event in events(run) if event.kind == "export_failed"] == [2, 3]
    assert [each.step for each in run.checkpoints()] == [4] and len(losses(run)) == 4
    at_step(0, lambda training: None)
    said = loratory("train", job_file(changed(data, {"saving.precision": "bf16"})))
    assert said.code == 0, said.text
    tensors, _ = read_lora(run.final_export_path)
    assert max(float(tensor.max()) for tensor in tensors.values()) > 9e5


# Every field ------------------------------------------------------------------------------------------------------

EACH = {"saving.export_every_n_steps": 1}
PICTURES = {"sampling": {"prompts": ["a --w 32 --h 32 --s 1"], "every_n_steps": 1}}
CHECKPOINTS = {"saving.checkpoint_every_n_steps": 1, "saving.keep_last_checkpoints": 9}
# field -> what is needed, and another value; what is called the same is looked at in one run
FIELDS: dict[str, tuple[Data, Any]] = {
    "output_dir": ({}, "elsewhere"),
    "export_every_n_steps": ({}, 2),
    "export_every_n_epochs": ({"duration.steps": 6}, 1),
    "export_every_n_minutes": ({"saving.keep_last_exports": None}, 1e-6),
    "keep_every_n_steps": (EACH | {"saving.keep_last_exports": 1}, 2),
    "keep_last_exports": (EACH, 1),
    "format": ({}, "diffusers"),
    "file_type": ({}, "pt"),
    "precision": ({}, "fp16"),
    "checkpoint_every_n_minutes": ({"saving.keep_last_checkpoints": 9}, 1e-6),
    "checkpoint_every_n_steps": ({"saving.keep_last_checkpoints": 9}, 1),
    "keep_last_checkpoints": (CHECKPOINTS, 1),
    "keep_last_samples": (PICTURES, 1),
    "metadata": ({}, "none"),
    **{name: ({}, f"Some {name}") for name in ("title", "author", "description", "license", "comment")},
    "tags": ({}, ["dog"]),
}
TEXTS = ("title", "author", "description", "license", "comment", "tags")


def test_every_field_is_in_the_table() -> None:
    assert set(FIELDS) == set(SavingConfig.model_fields)


def left(run: RunFolder) -> Data:
    """Which files there are, and of the final one the names, formats and header without the clock and the payload."""
    final = run.exports()[-1].path
    if final.suffix == ".safetensors":
        tensors, metadata = read_lora(final)
        header = {key: value for key, value in metadata.items() if key not in CLOCK_KEYS and "hash" not in key}
    else:
        tensors, header = torch.load(final, weights_only=True), {}
    files = sorted(path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file())
    return {"place": run.path.parent.name, "files": files, "header": header,
            "tensors": {name: tensor.dtype for name, tensor in tensors.items()}}  # fmt: skip


@pytest.fixture(scope="module")
def known() -> dict[str, Data]:
    """What runs left without a field's other value, by what they needed: many need the same."""
    return {}


@pytest.mark.parametrize("field", [name for name in FIELDS if name not in TEXTS])
def test_a_field_changes_what_is_left(
    field: str, make_job: Callable[..., Data], tmp_path: Path, known: dict[str, Data]
) -> None:
    needs, value = FIELDS[field]
    value = str(tmp_path / "other" / value) if field == "output_dir" else value
    changes = {"network.rank": 1} | needs
    if str(needs) not in known:
        known[str(needs)] = left(train(make_job("sd15", changes, output="out")))
    data = make_job("sd15", changes | {f"saving.{field}": value}, output="second/out")
    assert left(train(data)) != known[str(needs)]


def test_texts_are_in_the_header(make_job: Callable[..., Data]) -> None:
    texts = {f"saving.{name}": FIELDS[name][1] for name in TEXTS}
    header = left(train(make_job("sd15", texts)))["header"]
    assert header["ss_training_comment"] == "Some comment" and header["modelspec.tags"] == "dog"
    for name in ("title", "author", "description", "license"):
        assert header[f"modelspec.{name}"] == f"Some {name}"
