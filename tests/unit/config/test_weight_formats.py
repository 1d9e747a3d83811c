"""Number formats of frozen weights as ai-toolkit writes them: each name is read, or refused with the nearest."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from loratory.config.load import ConfigError, parse
from loratory.config.weight_formats import AITOOLKIT, Recovered, Weights

FIELDS = ("denoiser_weights", "text_encoder_weights")

# ai-toolkit's `qtype`: of optimum-quanto, of torchao, and its own. What stands in their place here, by bits and kind.
READ = {
    "qfloat8": "fp8_e4m3", "qfloat8_e4m3fn": "fp8_e4m3", "qfloat8_e4m3fnuz": "fp8_e4m3", "qfloat8_e5m2": "fp8_e5m2",
    "qint8": "int8", "qint4": "uint4", "qint2": "uint2", "float8": "fp8_e4m3", "int8": "int8",
    **{f"uint{bits}": f"uint{bits}" for bits in range(2, 9)},
}  # fmt: skip
REFUSED = {
    "convrot8": "int8", "convrot4": "nf4", "convrotbitnet": "uint2", "nvfp4": "nf4",
    **{f"convrotint{bits}": f"uint{bits}" for bits in range(2, 8)},
    **{f"orbit{bits}": f"uint{bits}" for bits in (2, 3, 4)},
}  # fmt: skip


def memory(**given: Any) -> Any:
    data = {"name": "a", "model": {"path": "demo"}, "datasets": [{"path": "x"}], "memory": given}
    return parse(data, "test").memory


def test_the_table_is_whole() -> None:
    assert AITOOLKIT.keys() == READ.keys() | REFUSED.keys()
    assert set(get_args(Recovered)) < set(get_args(Weights))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("name", READ)
def test_a_name_is_read(name: str, field: str) -> None:
    assert getattr(memory(**{field: name}), field) == READ[name]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_there_is_not_is_refused_with_the_nearest(name: str, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        memory(**{field: name})
    said = str(caught.value)
    assert f"memory.{field}: {name} " in said and f"; the nearest is {REFUSED[name]}" in said


def test_an_adapter_in_the_name_is_no_part_of_the_format() -> None:
    with pytest.raises(ConfigError, match=r"\{path: owner/name/file\.safetensors, on: always, recovers: uint3\}"):
        memory(denoiser_weights="uint3|owner/name/file.safetensors")


@pytest.mark.parametrize("given", ["fp8_e3m4", "uint9", True, 8, None, "", "full|a"])
def test_everything_else_is_told_what_there_is(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"memory\.denoiser_weights: must be one of full, fp8_e4m3, .*uint2"):
        memory(denoiser_weights=given)
    assert memory().denoiser_weights == "full"
