"""Which files a training leaves, in which layout, and what their headers tell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from loratory.config.architectures import SPECS
from loratory.config.network_preview import model_layers
from loratory.networks.formats import DIALECTS, import_
from loratory.networks.metadata import read_lora
from tests.e2e.jobs import Data, changed, kinds, train

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
