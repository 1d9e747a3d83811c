"""Weights in 8 bits: what they become, what they take, and that everybody computes with what they stand for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from loratory.models.common.storage import FORMATS, PackedConv2d, PackedLinear, pack, pack_weights
from loratory.training.tensor_cache import fingerprint
from tests.tiny import TINY
from tests.unit.models.conftest import load_model
from tests.unit.models.test_behaviour import conditioning, noisy_input, whole_picture_sizes

each_architecture = pytest.mark.parametrize("architecture", TINY)
each_format = pytest.mark.parametrize("name", FORMATS)

# Exponent bits, mantissa bits, bias and largest number: OCP 8-bit Floating Point Specification, revision 1.0.
LAYOUTS = {"fp8_e4m3": (4, 3, 7, 448.0), "fp8_e5m2": (5, 2, 15, 57344.0)}


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


@each_format
def test_a_weight_becomes_the_nearest_numbers_of_the_format_times_a_power_of_two_for_each_row(name: str) -> None:
    weight = rows()
    packed, factors = pack(weight, FORMATS[name])
    largest = LAYOUTS[name][3]
    size = np.abs(weight.double().numpy()).max(axis=1)
    powers = np.array([2.0 ** np.ceil(np.log2(each / largest)) if each else 1.0 for each in size])
    np.testing.assert_array_equal(factors.double().numpy()[:, 0], powers)
    expected = nearest(weight.double().numpy() / powers[:, None], numbers_of(name))
    np.testing.assert_array_equal(packed.double().numpy(), expected)
    assert packed.dtype == FORMATS[name]
    assert np.abs(expected).max() <= largest


@each_format
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float16])
def test_what_was_in_the_format_comes_back_bit_for_bit(name: str, precision: torch.dtype) -> None:
    weight = rows()[:30].to(precision) if precision != torch.float16 else rows()[16:30].to(precision)
    once = rounded(weight, name)
    assert torch.equal(rounded(once, name), once)
    # Files that others stored in this format without any factor, up to its largest number.
    numbers = torch.tensor(numbers_of(name), dtype=precision).reshape(1, -1)
    if precision != torch.float16:  # whose own range is as wide as e5m2's
        assert torch.equal(rounded(numbers, name), numbers)


def rounded(weight: Tensor, name: str) -> Tensor:
    packed, factors = pack(weight, FORMATS[name])
    return packed.to(weight.dtype) * factors


@each_format
def test_the_error_of_a_weight_is_at_most_half_a_place(name: str) -> None:
    weight = torch.randn(64, 256, generator=torch.Generator().manual_seed(1)) * 0.02
    places = LAYOUTS[name][1]
    within = weight.abs() > weight.abs().amax(dim=1, keepdim=True) / 64  # nothing here is below the full numbers
    error = ((rounded(weight, name) - weight).abs() / weight.abs())[within]
    assert error.max() <= 2.0 ** -(places + 1)
    assert error.max() > 2.0 ** -(places + 3), "it is rounded, after all"


def layer_of(kind: str) -> tuple[nn.Module, tuple[int, ...]]:
    torch.manual_seed(0)
    kinds: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
        "linear": (lambda: nn.Linear(24, 40), (3, 7, 24)),
        "linear without bias": (lambda: nn.Linear(24, 24, bias=False), (5, 24)),
        "convolution": (lambda: nn.Conv2d(16, 24, 3, stride=2, padding=1), (2, 16, 7, 6)),
        "convolution 1x1 in groups": (lambda: nn.Conv2d(16, 24, 1, groups=4, bias=False), (2, 16, 6, 5)),
        "wide steps": (lambda: nn.Conv2d(4, 6, (3, 1), padding=(2, 0), dilation=2), (1, 4, 9, 8)),
    }
    make, shape = kinds[kind]
    return make().requires_grad_(False), shape


KINDS = ("linear", "linear without bias", "convolution", "convolution 1x1 in groups", "wide steps")


def packed_copy(layer: nn.Module, name: str = "fp8_e4m3") -> tuple[Any, nn.Module]:
    """The layer packed, and a plain one that holds what its weight became."""
    root = nn.ModuleDict({"blocks": nn.ModuleList([nn.ModuleDict({"layer": copy.deepcopy(layer)})])})
    assert pack_weights(root, FORMATS[name]) == ["blocks.0.layer"]
    packed: Any = root.get_submodule("blocks.0.layer")
    plain = copy.deepcopy(layer)
    with torch.no_grad():
        plain.get_parameter("weight").copy_(packed.weight)
    return packed, plain


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_layer_computes_like_a_plain_one_with_the_rounded_weight(kind: str) -> None:
    layer, shape = layer_of(kind)
    packed, plain = packed_copy(layer)
    assert isinstance(packed, PackedLinear | PackedConv2d) and isinstance(packed, type(layer))
    assert not torch.equal(packed.weight, layer.weight)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    found, wanted = [], []
    for module, result in ((packed, found), (plain, wanted)):
        given = x.clone().requires_grad_()
        output = module(given)
        (output.square() * torch.arange(output.numel()).view_as(output)).sum().backward()
        result += [output, given.grad]
    assert torch.equal(found[0], wanted[0])
    torch.testing.assert_close(found[1], wanted[1], rtol=1e-5, atol=1e-3)
    with torch.no_grad():
        assert torch.equal(packed(x), wanted[0])


@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_neither_the_input_nor_the_unpacked_weight_is_kept_for_the_backward_pass(kind: str) -> None:
    layer, shape = layer_of(kind)
    packed, plain = packed_copy(layer)
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.nbytes)
        return tensor

    for module, expected in ((plain, True), (packed, False)):
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            module(torch.randn(shape, requires_grad=True))
        assert bool(kept) == expected


def test_what_stays_in_full() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(4, 8, 3), nn.Linear(8, 4)
            block = {
                "norm": nn.LayerNorm(8), "attention": nn.Linear(8, 8), "words": nn.Embedding(4, 8),
                "mirrored": nn.Conv2d(8, 8, 3, padding_mode="reflect"),
                "same": nn.Conv2d(8, 8, 3, padding="same"), "other": nn.Linear(8, 8),
                "line": nn.Conv1d(8, 8, 3),
            }  # fmt: skip
            self.blocks = nn.ModuleList([nn.ModuleDict(block)])

    net = Net().to(torch.bfloat16)
    assert pack_weights(net, FORMATS["fp8_e4m3"], ["oth"]) == ["blocks.0.attention"]
    assert {tensor.dtype for tensor in net.parameters()} == {torch.bfloat16}
    assert {name for name, _ in net.named_buffers()} == {"blocks.0.attention.packed", "blocks.0.attention.factors"}
    assert "blocks.0.attention.weight" not in net.state_dict()


def test_another_weight_can_be_kept_but_not_by_mistake() -> None:
    layer, _ = layer_of("linear")
    packed, _ = packed_copy(layer)
    with pytest.raises((AttributeError, KeyError)):
        packed.weight = nn.Parameter(torch.zeros(40, 24))
    packed.set_weight(layer.weight * 3)
    assert torch.equal(packed.weight, rounded(layer.weight * 3, "fp8_e4m3"))


def bytes_of(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in [*module.parameters(), *module.buffers()])


@each_architecture
def test_the_memory_of_bf16_is_halved(architecture: str, tiny_model: Callable[[str], Path]) -> None:
    """All of the blocks' matrices and convolutions, in the denoiser and in every text encoder."""
    whole = load_model(tiny_model(architecture), torch.bfloat16).components
    model = load_model(tiny_model(architecture), torch.bfloat16).components
    for before, module in zip(
        (whole.denoiser, *whole.text_encoders.values()), (model.denoiser, *model.text_encoders.values()), strict=True
    ):
        paths = pack_weights(module, FORMATS["fp8_e4m3"])
        layers = [module.get_submodule(path) for path in paths]
        full = sum(before.get_submodule(path).weight.nbytes for path in paths)
        factors = sum(layer.factors.nbytes for layer in layers)
        assert sum(layer.packed.nbytes for layer in layers) * 2 == full
        assert bytes_of(before) - bytes_of(module) == full // 2 - factors
        assert factors < full / 9  # of a tiny model; a row of 3072 numbers has one
        blocks = [
            each for path, each in before.named_modules()
            if isinstance(each, nn.Linear | nn.Conv2d) and any(part.isdigit() for part in path.split(".")[:-1])
        ]  # fmt: skip
        assert len(blocks) == len(paths), "every layer of a block is packed"
        assert module.dtype == torch.bfloat16, "what pipelines ask for"


@each_architecture
def test_predictions_are_near_those_of_the_full_weights(architecture: str, tiny_model: Callable, ours: Any) -> None:
    full, packed = ours(architecture), load_model(tiny_model(architecture))
    noisy, times = noisy_input(full)
    told = conditioning(full)
    for module in (packed.components.denoiser, *packed.components.text_encoders.values()):
        pack_weights(module, FORMATS["fp8_e4m3"])
    with torch.no_grad():
        wanted = full.predict(noisy, times, told, whole_picture_sizes(2))
        found = packed.predict(noisy, times, told, whole_picture_sizes(2))
        texts = conditioning(packed)
    error = float((found - wanted).norm() / wanted.norm())
    assert 1e-4 < error < 0.1
    for name, tensor in told.items():
        if name == "mask":
            assert torch.equal(texts[name], tensor)
            continue
        assert 1e-5 < float((texts[name] - tensor).norm() / tensor.norm()) < 0.1, name
    assert fingerprint(packed.components.denoiser) != fingerprint(full.components.denoiser)


def test_files_that_others_stored_in_8_bits_lose_nothing(
    tiny_file: Callable[[str, str], Path], tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    """As of the files of Flux.1 that are a plain cast of every tensor."""
    tensors = load_file(tiny_file("flux1", "bfl"))
    stored = tmp_path / "flux-fp8.safetensors"
    save_file({name: tensor.to(torch.float8_e4m3fn) for name, tensor in tensors.items()}, stored)
    model, packed = (load_model(stored, torch.bfloat16, components=tiny_model("flux1")) for _ in range(2))
    assert pack_weights(packed.components.denoiser, FORMATS["fp8_e4m3"])
    noisy, times = noisy_input(model)
    told, sizes = conditioning(model), whole_picture_sizes(2)
    with torch.no_grad():
        wanted = model.predict(noisy, times, told, sizes)
        assert torch.equal(packed.predict(noisy, times, told, sizes), wanted)
    assert wanted.std() > 0
