"""LoRA files in the layouts of other programs, made once: each must load, and change the weights as its program would.

`files/make.py` says what each file is, and how the expected changes were worked out without our code.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from loratory.config.architectures import SPECS
from loratory.networks.base import from_state, layers_of, modules_by_path, weight_shapes
from loratory.networks.formats import import_
from loratory.networks.metadata import read_lora
from tests.compat.files.formulas import weight_of
from tests.compat.test_lora_files import pipeline_of
from tests.tiny import TINY
from tests.unit.networks.helpers import StandInModel, pipeline_model

FOLDER = Path(__file__).parent / "files"
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
MOST_BYTES, MOST_BYTES_TOGETHER = 40_000, 400_000
# Ours are worked out in fp32, the expected ones in fp64.
TOLERANCE = 1e-4


def short(path: str) -> str:
    return path.replace(".text_model.", ".")


@pytest.fixture(scope="module")
def model_of(tiny_model: Callable[[str], Path]) -> Callable[[str], StandInModel]:
    """The tiny model of an architecture, with the frozen weights that the expected changes are worked out for."""
    models: dict[str, StandInModel] = {}

    def get(name: str) -> StandInModel:
        if name not in models:
            models[name] = pipeline_model(SPECS[name], pipeline_of(name, tiny_model(name)))
            modules = modules_by_path(models[name])
            for layer in layers_of(models[name]):
                fill(modules[layer.path])
        return models[name]

    return get


def fill(module: nn.Module) -> None:
    assert isinstance(module.weight, Tensor)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(weight_of(tuple(module.weight.shape))))


def compare(found: dict[str, Tensor], expected: dict[str, Any]) -> None:
    """Every weight of the file, by its norm and its kept entries."""
    assert found.keys() == expected.keys()
    for path, wanted in expected.items():
        delta = found[path].double()
        assert list(delta.shape) == wanted["shape"], path
        assert float(delta.norm()) == pytest.approx(wanted["norm"], rel=TOLERANCE), path
        usual = wanted["norm"] / delta.numel() ** 0.5
        for place, value in wanted["entries"].items():
            assert float(delta.flatten()[int(place)]) == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE * usual), (
                path
            )


@pytest.mark.parametrize("name", EXPECTED)
def test_a_kept_file_does_what_its_program_makes_of_it(name: str, model_of: Callable[[str], StandInModel]) -> None:
    expected = EXPECTED[name]
    model = model_of(expected["model"])
    path = FOLDER / f"{name}.safetensors"
    tensors, metadata = read_lora(path)
    state = import_(tensors, model.spec, weight_shapes(model), metadata=metadata, source=path.name)
    network = from_state(model, state)
    network.detach()
    compare({short(path): layer.delta_weight() for path, layer in network.layers.items()}, expected["deltas"])
    biases = {short(path): layer.delta_bias() for path, layer in network.layers.items()}
    compare({path: bias for path, bias in biases.items() if bias is not None}, expected["biases"])


def test_every_file_has_an_expectation_and_is_small() -> None:
    sizes = {path.stem: path.stat().st_size for path in FOLDER.glob("*.safetensors")}
    assert sizes.keys() == EXPECTED.keys()
    assert {facts["model"] for facts in EXPECTED.values()} == set(TINY)
    assert max(sizes.values()) <= MOST_BYTES
    assert sum(sizes.values()) + (FOLDER / "expected.json").stat().st_size <= MOST_BYTES_TOGETHER
    for name, facts in EXPECTED.items():
        assert facts["deltas"], name
        for delta in (*facts["deltas"].values(), *facts["biases"].values()):
            assert delta["norm"] > 0.1 and any(abs(entry) > 0.01 for entry in delta["entries"].values()), name
