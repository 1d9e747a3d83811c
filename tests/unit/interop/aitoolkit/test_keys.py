"""Every key of ai-toolkit's job files is decided, and every decision is what happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loratory.config.base import param_of
from loratory.config.fields import declared
from loratory.config.load import parse
from loratory.config.train import TrainConfig
from loratory.errors import UserError
from loratory.interop.aitoolkit.keys import FREE, INSIDE, KEYS, decision
from tests.unit.interop.aitoolkit.examples import LATER, NEEDS, UNET, WITHOUT_EFFECT, asking
from tests.unit.interop.aitoolkit.files import P, base, changed, imported, job, notes

LISTED = json.loads(Path(__file__).with_name("keys.json").read_text(encoding="utf-8"))
"""The names that their program and its relaxis fork read, by section."""
PATHS = {
    name if section in ("top", "process") else f"{section}.{name}"
    for section, names in LISTED.items()
    for name in names
}
LEAVES = sorted(key for key in KEYS if not key.startswith(LATER) and key not in WITHOUT_EFFECT)
MADE = [key for key in LEAVES if KEYS[key].becomes in ("same", "made")]
TOLD = [key for key in LEAVES if KEYS[key].becomes in ("ignored", "dead", "unsupported") and ".lorm." not in key]
REFUSED = [key for key in LEAVES if KEYS[key].becomes == "refused" and ".lorm." not in key and "*" not in key]


def test_every_key_is_decided_and_none_is_made_up() -> None:
    assert [path for path in sorted(PATHS) if decision(path) is None] == []
    assert KEYS.keys() - PATHS == set()


def test_every_reason_is_half_a_sentence_and_every_place_is_ours() -> None:
    ours = {path.replace("[]", "") for path, _, _ in declared(TrainConfig)}
    sections = {path.rpartition(".")[0] for path in ours} | {path.partition(".")[0] for path in ours}
    for name, key in KEYS.items():
        assert bool(key.reason) == (key.becomes not in ("same", "made")), name
        assert not key.reason.endswith("."), name
        for place in key.to.split(", ") if key.to else ():
            path = place.partition(" (")[0]
            assert place.startswith("(") or path in ours | sections | {"job"}, (name, place)


@pytest.mark.parametrize("key", MADE)
def test_what_is_taken_over_changes_the_job(key: str) -> None:
    arch = "sdxl" if key in UNET else "flux"
    before = changed(base(arch), NEEDS.get(key, {}))
    after = imported(changed(before, {key: asking(key)}))
    assert after.data != imported(before).data
    path = key if key == "meta" else key.replace("datasets.", "datasets.0.")
    note = notes(after)[path]
    assert note.level == "mapped", note
    parse(after.data, "the job")


@pytest.mark.parametrize("key", TOLD)
def test_what_is_not_taken_over_is_told_by_its_path(key: str) -> None:
    given = changed(base(), {key: asking(key)})
    after = imported(given)
    assert after.data == imported(base()).data
    note = notes(after)[key.replace("datasets.", "datasets.0.")]
    assert (note.level, note.message) == (KEYS[key].becomes, KEYS[key].reason)


@pytest.mark.parametrize("key", [key for key in TOLD + REFUSED if KEYS[key].usual])
def test_what_asks_for_nothing_is_no_trouble(key: str) -> None:
    for value in (*KEYS[key].usual, None):
        found = notes(job({key: value}))[key.replace("datasets.", "datasets.0.")]
        assert (found.level, found.message) == ("default", "")


@pytest.mark.parametrize("key", [key for key in REFUSED if "." not in key or key.startswith(("datasets", "network"))])
def test_another_kind_of_training_does_not_start(key: str) -> None:
    value = {"type": "t2i"} if key in INSIDE else asking(key)
    with pytest.raises(UserError, match=KEYS[key].reason[:30].replace("(", r"\(")) as caught:
        job({key: value})
    assert f"{P}.{key.replace('datasets.', 'datasets.0.')}" in str(caught.value)


def test_all_refusals_are_told_together() -> None:
    with pytest.raises(UserError) as caught:
        job({"adapter": {"type": "ip"}, "slider": {"targets": []}, "datasets.control_path": "/controls"})
    assert str(caught.value).count("\n  - ") == 3


def test_what_nobody_knows_is_told_with_the_nearest_name() -> None:
    found = notes(job({"train.gradient_checkpoint": True, "network.network_kwargs.xyz": 1, "meta.xyz": 1}))
    assert found["train.gradient_checkpoint"].level == "unknown"
    assert "did you mean gradient_checkpointing?" in found["train.gradient_checkpoint"].message
    assert found["network.network_kwargs.xyz"].level == "unknown"
    assert found["meta.xyz"].level == "mapped"  # free


def test_every_key_given_has_a_note() -> None:
    """Also those within lists and within sections of free names."""
    given = changed(base("sdxl"), {
        "sample.samples": [{"prompt": "a dog", "seed": 3}, {"prompt": "a cat", "what": 1}],
        "train.optimizer_params": {"betas": [0.8, 0.9], "strange": 1, "high_noise_lr_bump": 1e-6},
        "train.lr_scheduler_params": {"strange": 1},
        "model.model_kwargs": {"strange": 1},
        "datasets.augmentations": [{"method": "Blur", "params": {"p": 0.1}}],
    })  # fmt: skip
    found = notes(imported(given))
    for path, level in {
        "sample.samples": "mapped", "sample.samples.0.prompt": "mapped", "sample.samples.1.what": "unknown",
        "train.optimizer_params.betas": "mapped", "train.optimizer_params.strange": "unsupported",
        "train.optimizer_params.high_noise_lr_bump": "ignored", "train.lr_scheduler_params.strange": "unsupported",
        "model.model_kwargs.strange": "unsupported", "datasets.0.augmentations.0.method": "mapped",
        "datasets.0.augmentations.0.params.p": "mapped",
    }.items():  # fmt: skip
        assert found[path].level == level, path
    assert all(name in KEYS for name in FREE)


def test_names_declared_with_our_parameters_are_theirs() -> None:
    """What the reference page says about ai-toolkit is in its own list."""
    named = {
        (path, theirs) for path, model, name in declared(TrainConfig) for theirs in param_of(model, name).aitoolkit
        if not theirs.startswith("train.optimizer_params.")
    }  # fmt: skip
    assert [(path, theirs) for path, theirs in sorted(named) if theirs not in PATHS] == []
