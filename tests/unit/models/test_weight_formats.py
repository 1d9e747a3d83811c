"""The numbers that a weight becomes in each format, against ones worked out here with NumPy, and what they take."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import NormalDist
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from loratory.config.weight_formats import Weights
from loratory.models.common.storage import FORMATS
from loratory.models.common.storage.grouped import joined, taken_apart
from tests.unit.models.test_storage import rounded

Array = np.ndarray[Any, np.dtype[Any]]
UINTS = range(2, 9)


def random_weight(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.02


def test_the_config_names_what_there_is() -> None:
    assert set(get_args(Weights)) == {"full", *FORMATS}


BITS = {"fp8_e4m3": 8, "fp8_e5m2": 8, "int8": 8, "nf4": 4 + 8 / 64 + 32 / (64 * 256)} | {
    f"uint{bits}": bits + (16 + 8) / 64 for bits in UINTS
}


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_number_takes(name: str) -> None:
    weight = random_weight(256, 1024).to(torch.bfloat16)
    taken = sum(tensor.nbytes for tensor in FORMATS[name].pack(weight).values()) * 8 / weight.numel()
    of_rows = 16 / 1024 if name in ("fp8_e4m3", "fp8_e5m2", "int8") else 0  # one factor for each
    of_a_layer = (256 + 16 + 1) * 32 / weight.numel() if name == "nf4" else 0
    assert taken == pytest.approx(BITS[name] + of_rows + of_a_layer, abs=1e-9)


# fp8

# Exponent bits, mantissa bits, bias and largest number: OCP 8-bit Floating Point Specification, revision 1.0.
LAYOUTS = {"fp8_e4m3": (4, 3, 7, 448.0), "fp8_e5m2": (5, 2, 15, 57344.0)}
LAYOUTS_IN_TORCH = {"fp8_e4m3": "float8_e4m3fn", "fp8_e5m2": "float8_e5m2"}


def numbers_of(name: str) -> np.ndarray:
    """Every number that the format has, from its bits."""
    exponents, mantissas, bias, largest = LAYOUTS[name]
    found = []
    for exponent in range(2**exponents):
        for mantissa in range(2**mantissas):
            fraction = mantissa / 2**mantissas
            value = fraction * 2.0 ** (1 - bias) if exponent == 0 else (1 + fraction) * 2.0 ** (exponent - bias)
            found += [value, -value] if value <= largest else []
    return np.unique(found)


def nearest(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The nearest of `numbers`; of two as near, the one with an even mantissa, which has the shorter fraction."""
    place = np.searchsorted(numbers, values).clip(1, len(numbers) - 1)
    low, high = numbers[place - 1], numbers[place]
    below, above = values - low, high - values
    is_even = np.abs(np.searchsorted(numbers, low) - np.searchsorted(numbers, 0.0)) % 2 == 0
    return np.where((below < above) | ((below == above) & is_even), low, high)


def rows(count: int = 40, width: int = 64) -> Tensor:
    """Rows of very different sizes, one of zeros, one of few large numbers."""
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(count, width, generator=generator) * torch.logspace(-6, 4, count)[:, None]
    found[3], found[4, 5] = 0.0, 1e4
    return found


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_weight_becomes_the_nearest_numbers_of_the_format_times_a_power_of_two_for_each_row(name: str) -> None:
    weight = rows()
    packed, factors = FORMATS[name].pack(weight).values()
    largest = LAYOUTS[name][3]
    size = np.abs(weight.double().numpy()).max(axis=1)
    powers = np.array([2.0 ** np.ceil(np.log2(each / largest)) if each else 1.0 for each in size])
    np.testing.assert_array_equal(factors.double().numpy()[:, 0], powers)
    expected = nearest(weight.double().numpy() / powers[:, None], numbers_of(name))
    np.testing.assert_array_equal(packed.double().numpy(), expected)
    assert packed.dtype == getattr(torch, LAYOUTS_IN_TORCH[name])
    assert np.abs(expected).max() <= largest


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
def test_what_was_in_the_format_comes_back_bit_for_bit(name: str, precision: torch.dtype) -> None:
    weight = rows()[:30].to(precision) if precision != torch.float16 else rows()[16:30].to(precision)
    once = rounded(weight, name)
    assert torch.equal(rounded(once, name), once)
    # Files that others stored in this format without any factor, up to its largest number.
    numbers = torch.tensor(numbers_of(name), dtype=precision).reshape(1, -1)
    if precision != torch.float16:  # whose own range is as wide as e5m2's
        assert torch.equal(rounded(numbers, name), numbers)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_error_of_a_weight_is_at_most_half_a_place(name: str) -> None:
    weight = torch.randn(64, 256, generator=torch.Generator().manual_seed(1)) * 0.02
    places = LAYOUTS[name][1]
    within = weight.abs() > weight.abs().amax(dim=1, keepdim=True) / 64  # nothing here is below the full numbers
    error = ((rounded(weight, name) - weight).abs() / weight.abs())[within]
    assert error.max() <= 2.0 ** -(places + 1)
    assert error.max() > 2.0 ** -(places + 3), "it is rounded, after all"


# int8


def bf16(values: Any) -> Array:
    """The nearest numbers of bf16, of two as near the even one: the upper half of an fp32's bits."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def plain(values: Any) -> Array:
    return np.asarray(values, dtype=np.float32)


PRECISIONS = {"fp32": (torch.float32, plain), "bf16": (torch.bfloat16, bf16)}
each_precision = pytest.mark.parametrize("precision", PRECISIONS)


def of(weight: Tensor) -> Array:
    return weight.float().numpy()


@each_precision
def test_int8_has_a_factor_for_each_row(precision: str) -> None:
    dtype, round_to = PRECISIONS[precision]
    weight = rows().to(dtype)
    factors = round_to(np.abs(of(weight)).max(axis=1, keepdims=True) / np.float32(127))
    factors[factors == 0] = 1
    codes = np.clip(np.rint(of(weight) / factors), -127, 127)
    kept = FORMATS["int8"].pack(weight)
    assert kept["packed"].dtype == torch.int8
    np.testing.assert_array_equal(kept["packed"].numpy(), codes)
    np.testing.assert_array_equal(of(rounded(weight, "int8")), round_to(codes * factors))
    assert (np.abs(codes).max(axis=1) == 127).sum() == 39, "all but the row of zeros use the range"


def test_the_error_of_int8_is_at_most_half_a_place() -> None:
    weight = random_weight(64, 256)
    place = weight.abs().amax(dim=1, keepdim=True) / 127
    error = (rounded(weight, "int8") - weight).abs() / place
    assert 0.49 < error.max() < 0.501
    assert float((error * place).norm() / weight.norm()) == pytest.approx(2.9 / 127 / np.sqrt(12), rel=0.1)


# uint2 … uint8


def torchao_numbers(weight: Array, bits: int, round_to: Any) -> tuple[Array, Array, Array, Array]:
    """Codes, scales, places of zero and the weight that they stand for: of rows cut into groups of 64.

    torchao 0.10, quantization/quant_primitives.py: `choose_qparams_affine` and `quantize_affine` with the mapping
    ASYMMETRIC, preserve_zero and zeros in the domain INT; each operation in the weight's own format.
    """
    groups = weight.reshape(len(weight), -1, 64)
    low, high = np.minimum(groups.min(-1), 0), np.maximum(groups.max(-1), 0)
    top = np.float32(2**bits - 1)
    scales = np.maximum(round_to(round_to(high - low) / top), np.finfo(np.float32).eps).astype(np.float32)
    zeros = np.clip(0 - np.rint(round_to(low / scales)), 0, top)
    codes = np.rint(round_to(groups * round_to(1 / scales)[..., None])) + zeros[..., None]
    codes = np.clip(round_to(codes), 0, top)
    found = round_to((codes - zeros[..., None]) * scales[..., None])
    return codes.reshape(weight.shape), scales, zeros, found.reshape(weight.shape)


def uneven(dtype: torch.dtype) -> Tensor:
    """Groups of one sign, of zeros, of one number, and of very different sizes."""
    weight = torch.cat([rows(24, 192)[4:], random_weight(8, 192)])
    weight[0, :64], weight[1, 64:128], weight[2, :64] = 0, weight[1, 64:128].abs(), -weight[2, :64].abs()
    weight[3, 128:] = 0.25
    return weight.to(dtype)


@each_precision
@pytest.mark.parametrize("bits", UINTS)
def test_uints_have_a_scale_and_a_zero_for_each_64_numbers(bits: int, precision: str) -> None:
    dtype, round_to = PRECISIONS[precision]
    weight = uneven(dtype)
    codes, scales, zeros, found = torchao_numbers(of(weight), bits, round_to)
    kept = FORMATS[f"uint{bits}"].pack(weight)
    np.testing.assert_array_equal(of(kept["scales"])[..., 0], scales)
    np.testing.assert_array_equal(kept["zeros"].numpy()[..., 0], zeros)
    np.testing.assert_array_equal(taken_apart(kept["packed"], bits).flatten(1).numpy(), codes)
    np.testing.assert_array_equal(of(rounded(weight, f"uint{bits}")), found)
    assert kept["packed"].shape == (len(weight), 3, 8 * bits)


SAVED = json.loads((Path(__file__).parent / "torchao_uintx.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("number", range(len(SAVED["cases"])))
def test_they_are_the_numbers_of_torchao(number: int) -> None:
    """What torchao 0.10.0 gave for a weight that is whole numbers / 4096, kept in a file."""
    case = SAVED["cases"][number]
    weight = torch.tensor(SAVED["weight times 4096"], dtype=torch.float32) / 4096
    weight = weight.to(getattr(torch, case["dtype"]))
    kept = FORMATS[f"uint{case['bits']}"].pack(weight)
    assert taken_apart(kept["packed"], case["bits"]).flatten(1).tolist() == case["codes"]
    assert kept["scales"].squeeze(-1).tolist() == case["scales"]
    assert kept["zeros"].squeeze(-1).tolist() == case["zeros"]
    assert rounded(weight, f"uint{case['bits']}").tolist() == case["weight"]


@pytest.mark.parametrize("bits", UINTS)
def test_bits_lie_close_together_and_come_back(bits: int) -> None:
    numbers = torch.randint(0, 2**bits, (5, 3, 64), generator=torch.Generator().manual_seed(bits), dtype=torch.uint8)
    packed = joined(numbers, bits)
    assert packed.nbytes * 8 == numbers.numel() * bits
    assert torch.equal(taken_apart(packed, bits), numbers)


@pytest.mark.parametrize("bits", UINTS)
def test_a_short_last_group_and_fp16_lose_no_more(bits: int) -> None:
    for shape, dtype in (((6, 100), torch.float32), ((6, 7, 3, 3), torch.float32), ((6, 100), torch.float16)):
        weight = random_weight(*shape).to(dtype)
        weight[0], weight[1] = 0, weight[1] * 1e-3
        found = rounded(weight, f"uint{bits}")
        assert found.shape == weight.shape and found.dtype == dtype
        flat = torch.nn.functional.pad(weight.float().flatten(1), (0, -weight[0].numel() % 64)).unflatten(1, (-1, 64))
        place = (flat.amax(-1).clamp(min=0) - flat.amin(-1).clamp(max=0)) / (2**bits - 1)
        error = torch.nn.functional.pad((found - weight).float().flatten(1), (0, -weight[0].numel() % 64))
        # Half a place, at the ends up to one more half, because zero lies on a whole number.
        assert (error.unflatten(1, (-1, 64)).abs().amax(-1) <= place * 1.001 + 1e-7).all()


# nf4


def normal_float_4() -> Array:
    """QLoRA (arXiv 2305.14314), appendix E and the authors' `create_normal_map`: quantiles of the normal distribution,
    8 above zero and 7 below, so that zero is one of the 16."""
    above = [NormalDist().inv_cdf(p) for p in np.linspace(0.9677083, 0.5, 9)[:-1]]
    below = [-NormalDist().inv_cdf(p) for p in np.linspace(0.9677083, 0.5, 8)[:-1]]
    numbers = np.sort([*above, 0.0, *below])
    return numbers / numbers.max()


def test_nf4_takes_the_nearest_quantile() -> None:
    weight = random_weight(48, 100)
    table = normal_float_4()
    blocks = of(weight).reshape(-1, 64)
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    codes = np.abs((blocks / largest)[..., None] - table).argmin(-1)
    kept = FORMATS["nf4"].pack(weight)
    packed = kept["packed"].flatten().numpy()
    np.testing.assert_array_equal(np.stack([packed >> 4, packed & 15], -1).flatten(), codes.flatten())
    # The scales are rounded to 8 bits, too: their mean and the largest distance from it are kept in fp32.
    scales = (
        largest.mean() + np.abs(largest - largest.mean()).max() * of(kept["code_of_scales"])[kept["scales"].numpy()]
    )
    assert np.abs(scales - largest[:, 0]).max() < 0.02 * np.abs(largest - largest.mean()).max()
    found = of(rounded(weight, "nf4")).reshape(-1, 64)
    np.testing.assert_allclose(found, table[codes] * scales[:, None], rtol=1e-4, atol=1e-8)
    assert np.linalg.norm(found - blocks) / np.linalg.norm(blocks) == pytest.approx(0.091, abs=0.005)


def test_nf4_of_blocks_that_are_no_whole_blocks() -> None:
    for shape in ((3, 5), (8, 4, 3, 3), (1, 1)):
        weight = random_weight(*shape).to(torch.bfloat16)
        found = rounded(weight, "nf4")
        assert found.shape == weight.shape and found.dtype == weight.dtype
        assert ((found - weight).abs() < 0.17 * weight.abs().max()).all()
