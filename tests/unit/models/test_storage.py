"""Packed layers: what they take, and that everybody computes with what they stand for.

The numbers themselves are in test_weight_formats.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from loratory.models.common.storage import FORMATS, Format, PackedConv2d, PackedLinear, pack_weights
from loratory.training.tensor_cache import fingerprint
from tests.tiny import TINY
from tests.unit.models.conftest import load_model
from tests.unit.models.test_behaviour import conditioning, noisy_input, whole_picture_sizes

each_architecture = pytest.mark.parametrize("architecture", TINY)
each_format = pytest.mark.parametrize("name", FORMATS)


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


def rounded(weight: Tensor, name: str) -> Tensor:
    """What a weight becomes."""
    return FORMATS[name].unpack(FORMATS[name].pack(weight), weight.shape, weight.dtype)


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


@each_format
@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_layer_computes_like_a_plain_one_with_the_rounded_weight(kind: str, name: str) -> None:
    layer, shape = layer_of(kind)
    packed, plain = packed_copy(layer, name)
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


@each_format
@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_neither_the_input_nor_the_unpacked_weight_is_kept_for_the_backward_pass(kind: str, name: str) -> None:
    layer, shape = layer_of(kind)
    packed, plain = packed_copy(layer, name)
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


@each_format
def test_another_weight_can_be_kept_but_not_by_mistake(name: str) -> None:
    layer, _ = layer_of("linear")
    packed, _ = packed_copy(layer, name)
    with pytest.raises((AttributeError, KeyError)):
        packed.weight = nn.Parameter(torch.zeros(40, 24))
    packed.set_weight(layer.weight * 3)
    assert torch.equal(packed.weight, rounded(layer.weight * 3, name))


def test_layers_with_a_format_of_their_own_are_packed_wherever_they_stand() -> None:
    net = nn.ModuleDict({"first": nn.Linear(64, 8), "last": nn.Linear(64, 8)})
    net["blocks"] = nn.ModuleList([nn.ModuleDict({name: nn.Linear(64, 8) for name in ("one", "other")})])
    own = {"first": FORMATS["uint3"], "blocks.0.other": FORMATS["uint3"]}
    paths = pack_weights(net, FORMATS["uint8"], own=own)
    assert paths == ["first", "blocks.0.one", "blocks.0.other"]
    bits = {path: net.get_submodule(path).packed.nbytes * 8 / (64 * 8) for path in paths}
    assert bits == {"first": 3, "blocks.0.one": 8, "blocks.0.other": 3}
    only = nn.ModuleDict({"first": nn.Linear(64, 8), "blocks": nn.ModuleList([nn.ModuleDict({"a": nn.Linear(8, 8)})])})
    assert pack_weights(only, None, own={"first": FORMATS["int8"]}) == ["first"]


@each_format
def test_one_layer_after_the_other_lets_go_of_its_full_weight(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At no time is more there than the model, its packed part, and one layer's calculation."""
    net = nn.ModuleList([nn.Sequential(nn.Linear(256, 256, bias=False)) for _ in range(6)])
    net = nn.ModuleDict({"blocks": net}).to(torch.bfloat16).requires_grad_(False)
    weights = [weakref.ref(parameter) for parameter in net.parameters()]
    alive: list[int] = []

    def counted(weight: Tensor) -> Any:
        alive.append(sum(each() is not None for each in weights))
        return FORMATS[name].pack(weight)

    assert len(pack_weights(net, Format(counted, FORMATS[name].unpack))) == 6
    assert alive == [6, 5, 4, 3, 2, 1] and not any(each() is not None for each in weights)


@each_format
def test_what_is_kept_moves_and_is_saved_with_the_module(name: str) -> None:
    layer, _ = layer_of("linear")
    packed, _ = packed_copy(layer, name)
    before = packed.weight
    other, _ = packed_copy(layer_of("linear")[0], name)
    other.set_weight(torch.zeros(40, 24))
    other.load_state_dict(packed.state_dict())
    assert torch.equal(other.weight, before)
    assert torch.equal(copy.deepcopy(packed).weight, before)
    empty = copy.deepcopy(packed).to("meta")
    assert {tensor.device.type for tensor in [*empty.parameters(), *empty.buffers()]} == {"meta"}


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


SHARES = {"fp8_e4m3": 0.1, "fp8_e5m2": 0.15, "int8": 0.02, "nf4": 0.25} | {
    f"uint{bits}": 8 / 2**bits for bits in range(2, 9)
}
"""How far predictions may be from those of the full weights."""


@pytest.mark.parametrize(
    ("architecture", "name"),
    [*((each, "fp8_e4m3") for each in TINY), *((each, name) for each in ("sd15", "flux1") for name in FORMATS)],
)
def test_predictions_are_near_those_of_the_full_weights(
    architecture: str, name: str, tiny_model: Callable, ours: Any
) -> None:
    full, packed = ours(architecture), load_model(tiny_model(architecture))
    noisy, times = noisy_input(full)
    told = conditioning(full)
    for module in (packed.components.denoiser, *packed.components.text_encoders.values()):
        pack_weights(module, FORMATS[name])
    with torch.no_grad():
        wanted = full.predict(noisy, times, told, whole_picture_sizes(2))
        found = packed.predict(noisy, times, told, whole_picture_sizes(2))
        texts = conditioning(packed)
    error = float((found - wanted).norm() / wanted.norm())
    assert 1e-4 < error < SHARES[name]
    for part, tensor in told.items():
        if part == "mask":
            assert torch.equal(texts[part], tensor)
            continue
        assert 1e-5 < float((texts[part] - tensor).norm() / tensor.norm()) < SHARES[name], part
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
