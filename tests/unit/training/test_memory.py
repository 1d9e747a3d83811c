"""How a model is brought to its device: formats, layouts, and encoders that wait elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from loratory.config.architectures import get_spec
from loratory.errors import UserError
from loratory.models.common.storage import FORMATS as STORAGE
from loratory.models.common.storage import PackedConv2d, PackedLinear
from loratory.networks.base import inject, weight_shapes
from loratory.networks.formats import export
from loratory.training import memory
from loratory.training.devices import set_tf32
from tests.architectures import spread
from tests.tiny import TINY
from tests.tiny.fixtures import tiny_model
from tests.unit.models.test_behaviour import HEIGHT, WIDTH, conditioning, noisy_input, whole_picture_sizes
from tests.unit.networks.helpers import stir
from tests.unit.training.helpers import job

__all__ = ["tiny_model"]

CPU = torch.device("cpu")
each_architecture = pytest.mark.parametrize("architecture", TINY)
with_convolutions = pytest.mark.parametrize("architecture", [n for n in TINY if get_spec(n).convolution_groups])
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@pytest.fixture
def load(tiny_model: Callable[[str], Path]) -> Callable[..., Any]:
    """`load(architecture, model={…}, memory={…})`: the model as a training would have it."""

    def get(architecture: str, model: Any = None, **memory_options: Any) -> Any:
        options = {"precision": "fp32"} | memory_options
        config = job(model={"path": str(tiny_model(architecture)), **(model or {})}, memory=options)
        return memory.load_model(config, get_spec(architecture), CPU)

    return get


# Number formats


@pytest.mark.parametrize(("architecture", "formats"), spread(product(TINY, product(FORMATS, FORMATS))))
def test_each_component_has_the_format_that_was_asked_for(
    architecture: str, formats: tuple[str, str], load: Callable[..., Any]
) -> None:
    precision, vae = formats
    model = load(architecture, {"vae_precision": vae}, precision=precision)
    parts = model.components
    for module in (parts.denoiser, *parts.text_encoders.values()):
        formats = {parameter.dtype for parameter in module.parameters()}
        # T5 keeps the way out of its blocks in fp32 where the format is fp16: it would leave the range.
        assert formats in ({FORMATS[precision]}, {FORMATS[precision], torch.float32} if precision == "fp16" else set())
    without = model.spec.pixel_space  # no autoencoder, so it has no format
    assert {parameter.dtype for parameter in parts.vae.parameters()} == (set() if without else {FORMATS[vae]})
    network = inject(model, job().network, seed=0)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    places = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [place.allow_tf32 for place in places]
    try:
        for chosen, deterministic, expected in (
            ("auto", False, True), ("auto", True, False), ("on", True, True), ("off", False, False),
        ):  # fmt: skip
            set_tf32(job(memory={"tf32": chosen}, runtime={"deterministic": deterministic}))
            assert [place.allow_tf32 for place in places] == [expected, expected], (chosen, deterministic)
    finally:
        for place, value in zip(places, before, strict=True):
            place.allow_tf32 = value


# Packed weights


def packed_layers(module: nn.Module) -> list[str]:
    return [path for path, each in module.named_modules() if isinstance(each, PackedLinear | PackedConv2d)]


SEVERAL = [*((name, "fp8_e4m3") for name in TINY), *(("sd15", name) for name in ("int8", "nf4", "uint4"))]


@each_architecture
def test_weights_are_packed_where_it_was_asked_for(architecture: str, load: Callable[..., Any]) -> None:
    denoiser = load(architecture, denoiser_weights="fp8_e5m2", keep_full_if_contains=["attn"]).components
    paths = packed_layers(denoiser.denoiser)
    assert paths and not [path for path in paths if "attn" in path]
    assert denoiser.denoiser.get_submodule(paths[0]).packed.dtype == torch.float8_e5m2
    assert not [path for module in (denoiser.vae, *denoiser.text_encoders.values()) for path in packed_layers(module)]
    texts = load(architecture, text_encoder_weights="fp8_e4m3").components
    assert not packed_layers(texts.denoiser)
    for module in texts.text_encoders.values():
        layer = module.get_submodule(packed_layers(module)[0])
        assert layer.packed.dtype == torch.float8_e4m3fn


@pytest.fixture
def lora(tmp_path: Path, load: Callable[..., Any]) -> Callable[[str], tuple[Path, Any]]:
    """A file that changes each layer, and the model with its full weights after merging."""

    def make(architecture: str) -> tuple[Path, Any]:
        from safetensors.torch import save_file

        model = load(architecture)
        network = inject(model, job(network={"rank": 2}).network, seed=3)
        stir(network, size=0.3)
        path = tmp_path / f"{architecture}.safetensors"
        save_file(export(network.state(), model.spec, "kohya", weight_shapes(model)), path)
        return path, load(architecture, {"merge": [{"path": str(path)}]})

    return make


@pytest.mark.parametrize(("architecture", "weights"), SEVERAL)
def test_what_is_merged_is_rounded_once(
    architecture: str, weights: str, load: Callable[..., Any], lora: Callable
) -> None:
    path, merged = lora(architecture)
    plain = load(architecture, denoiser_weights=weights).components.denoiser
    model = load(architecture, {"merge": [{"path": str(path)}]}, denoiser_weights=weights).components.denoiser
    form = STORAGE[weights]
    paths = packed_layers(model)
    assert paths == packed_layers(plain)
    changed = 0
    for each in paths:
        exact = merged.components.denoiser.get_submodule(each).weight
        found = model.get_submodule(each).weight
        assert torch.equal(found, form.unpack(form.pack(exact), exact.shape, exact.dtype)), each
        changed += not torch.equal(found, plain.get_submodule(each).weight)
    assert changed > 3


# Layouts


def is_channels_last(tensor: Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


def formats_seen(module: nn.Module) -> list[bool]:
    """For every call of a convolution: is the result in channels_last? The first is asked what it was given, too."""
    seen: list[bool] = []
    convolutions = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    convolutions[0].register_forward_pre_hook(lambda _, given: seen.append(is_channels_last(given[0])))
    for layer in convolutions:
        layer.register_forward_hook(
            lambda _, __, output: seen.append(is_channels_last(output)) if min(output.shape[1:]) > 1 else None
        )
    return seen


@pytest.mark.parametrize("weights", ["full", "fp8_e4m3", "int8"])
@with_convolutions
def test_channels_last(architecture: str, weights: str, load: Callable[..., Any]) -> None:
    plain = load(architecture, denoiser_weights=weights)
    model = load(architecture, denoiser_weights=weights, channels_last=True)
    for module in (model.components.denoiser, model.components.vae):
        kernels = [
            each.weight for each in module.modules() if isinstance(each, nn.Conv2d) and min(each.weight.shape[1:]) > 1
        ]
        assert len(kernels) > 5 and all(map(is_channels_last, kernels))
    denoiser, vae = formats_seen(model.components.denoiser), formats_seen(model.components.vae)
    noisy, times = noisy_input(model)
    pixels = torch.randn(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        told, sizes = conditioning(model), whole_picture_sizes(2)
        found = model.predict(noisy, times, told, sizes), *model.encode_images(pixels), model.decode(noisy)
        wanted = plain.predict(noisy, times, told, sizes), *plain.encode_images(pixels), plain.decode(noisy)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    for seen in (denoiser, vae):
        assert len(seen) > 10 and all(seen)
    assert not any(map(is_channels_last, plain.components.denoiser.parameters()))


def test_a_model_without_convolutions_stays_as_it_is(load: Callable[..., Any]) -> None:
    components = load("flux1", channels_last=True).components
    tensors = [*components.denoiser.parameters(), *components.vae.parameters()]
    assert not any(map(is_channels_last, tensors))


@pytest.mark.parametrize("architecture", [name for name in TINY if not get_spec(name).pixel_space])
def test_slices_and_tiles_reach_the_autoencoder(architecture: str, load: Callable[..., Any]) -> None:
    for slicing, tiling in ((False, False), (True, False), (False, True)):
        vae = load(architecture, vae_slicing=slicing, vae_tiling=tiling).components.vae
        assert (vae.use_slicing, vae.use_tiling) == (slicing, tiling)


def test_attention_reaches_the_denoiser(load: Callable[..., Any]) -> None:
    processors = [
        module.processor for module in load("sdxl", attention="math").components.denoiser.modules()
        if hasattr(module, "processor")
    ]  # fmt: skip
    assert {processor._attention_backend.value for processor in processors} == {"_native_math"}


# Before anything is loaded


def checked(caplog: pytest.LogCaptureFixture, kind: str, **options: Any) -> list[str]:
    caplog.clear()
    memory.check_memory(job(memory=options), torch.device(kind))
    return [record.message for record in caplog.records if record.name.startswith("loratory")]


def test_what_does_nothing_on_this_device_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert checked(caplog, "cpu", gradient_checkpointing=True, tf32="off") == []
    assert checked(caplog, "cuda", gradient_checkpointing="offload", tf32="on", low_vram=True, blocks_to_swap=2) == []
    assert ["tf32" in line for line in checked(caplog, "mps", tf32="on")] == [True]
    said = checked(caplog, "cpu", gradient_checkpointing="offload", tf32="on", low_vram=True, blocks_to_swap=2)
    assert len(said) == 4
    assert all(line.startswith(("memory.", "The offload of memory.")) and line.endswith(".") for line in said)


def test_what_cannot_be_done_is_refused_first(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UserError, match=r"memory\.attention: xformers does not work \(cpu"):
        checked(caplog, "cpu", attention="xformers")
    for field in ("denoiser_weights", "text_encoder_weights"):
        with pytest.raises(UserError, match=rf"memory\.{field}: Apple's GPUs know no 8-bit floats; int8 takes as much"):
            checked(caplog, "mps", **{field: "fp8_e4m3"})
    for name in STORAGE:
        assert checked(caplog, "cpu", attention="math", denoiser_weights=name) == []


@pytest.mark.parametrize("field", ["denoiser_weights", "text_encoder_weights"])
def test_a_format_without_its_library_is_refused_first(
    field: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.functional", None)
    with pytest.raises(UserError) as caught:
        checked(caplog, "cpu", **{field: "nf4"})
    said = str(caught.value)
    assert said.startswith(f"memory.{field}: nf4 does not work here (cpu): ") and "\n" not in said
    assert said.endswith("run pip install 'loratory[bitsandbytes]', or use uint4, which needs nothing.")
    assert checked(caplog, "cpu", **{field: "uint4"}) == []


# Encoders that wait


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, str]]]:
    """Which modules were sent where, by identity; on this machine there is only one place."""
    found: list[tuple[int, str]] = []
    original = nn.Module.to

    def to(module: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        found.extend((id(module), str(each)) for each in args if isinstance(each, str | torch.device))
        return original(module, *args, **kwargs)

    monkeypatch.setattr(nn.Module, "to", to)
    yield found


THERE = torch.device("cpu", 0)
"""Told apart from the CPU by its name."""


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({}, []),
        ({"caching": {"latents": "memory", "text_embeddings": "off"}}, ["text_encoder", "text_encoder_2"]),
        ({"caching": {"latents": "off"}}, ["vae"]),
        ({"network": {"train_text_encoders": True}}, ["text_encoder", "text_encoder_2"]),
        (
            {"network": {"train_text_encoders": True}, "caching": {"latents": "off"}},
            ["text_encoder", "text_encoder_2", "vae"],
        ),
    ],
)
def test_what_every_step_needs_comes_for_good(
    changes: dict[str, Any], needed: list[str], load: Callable[..., Any], moves: list[tuple[int, str]]
) -> None:
    model = load("sdxl")
    moves.clear()
    assert memory.change_places(model, job(memory={"low_vram": True}, **changes), THERE) == needed
    modules = dict(memory.modules_of(model.components, model.spec))
    assert moves == [(id(modules[name]), "cpu:0") for name in needed]
    assert memory.change_places(model, job(**changes), THERE) == []


@pytest.mark.parametrize(
    ("options", "waiting"),
    [
        ({}, set()),
        ({"blocks_to_swap": 1}, {"unet"}),
        ({"low_vram": True}, {"unet", "text_encoder", "text_encoder_2", "vae"}),
        ({"low_vram": True, "denoiser_weights": "fp8_e4m3"}, {"unet", "text_encoder", "text_encoder_2", "vae"}),
    ],
)
def test_what_waits_is_made_ready_on_the_cpu(
    options: dict[str, Any], waiting: set[str], tiny_model: Callable[[str], Path], moves: list[tuple[int, str]]
) -> None:
    """So that the card never holds more than what works there."""
    config = job(model={"path": str(tiny_model("sdxl"))}, memory={"precision": "fp32"} | options)
    model = memory.load_model(config, get_spec("sdxl"), THERE)
    sent = {(key, where) for key, where in moves if where == "cpu:0"}
    places = {name: (id(module), "cpu:0") in sent for name, module in memory.modules_of(model.components, model.spec)}
    assert places == {name: name not in waiting for name in ("unet", "text_encoder", "text_encoder_2", "vae")}


def test_visitors_come_for_their_work_and_go_again(moves: list[tuple[int, str]]) -> None:
    here, there, nothing = nn.Linear(2, 2), nn.Linear(2, 2, device="meta"), nn.Identity()
    with pytest.raises(ZeroDivisionError), memory.at_work([here, there, nothing], torch.device("meta")):
        assert here.weight.is_meta
        moves.clear()
        here.to_empty(device="cpu")  # nothing comes back from there
        raise ZeroDivisionError
    assert moves == [(id(here), "cpu")]


def small_tiles(vae: Any) -> None:
    """Of 32 pixels; for films they have another name, and steps of their own."""
    if hasattr(vae, "tile_sample_min_height"):
        vae.tile_sample_min_height = vae.tile_sample_min_width = 32
        vae.tile_sample_stride_height = vae.tile_sample_stride_width = 24
    else:
        vae.tile_sample_min_size = 32
        vae.tile_latent_min_size = 32 // 2 ** (len(vae.config.block_out_channels) - 1)


@pytest.mark.parametrize("architecture", [name for name in TINY if not get_spec(name).pixel_space])
def test_slices_and_tiles_are_what_the_encoder_gets(architecture: str, load: Callable[..., Any]) -> None:
    """Two pictures one by one; one that is four times as large as a tile in pieces that are no larger."""
    sizes: dict[str, list[tuple[int, ...]]] = {}
    found: dict[str, Tensor] = {}
    for name, options in (("plain", {}), ("slicing", {"vae_slicing": True}), ("tiling", {"vae_tiling": True})):
        model = load(architecture, **options)
        vae = model.components.vae
        if name == "tiling":
            small_tiles(vae)
        seen = sizes.setdefault(name, [])
        vae.encoder.register_forward_pre_hook(
            lambda _, given, seen=seen: seen.append((len(given[0]), *given[0].shape[-2:]))
        )
        side = 64 if name == "tiling" else WIDTH
        pixels = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
        found[name] = model.encode_images(pixels)[0]
    assert sizes["plain"] == [(2, WIDTH, WIDTH)] and sizes["slicing"] == [(1, WIDTH, WIDTH)] * 2
    torch.testing.assert_close(found["slicing"], found["plain"])
    assert len(sizes["tiling"]) >= 4 and all(max(size[1:]) <= 32 for size in sizes["tiling"])


def test_an_autoencoder_without_tiles_is_said() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

    for name in ("slicing", "tiling"):
        with pytest.raises(UserError, match=rf"^memory\.vae_{name}: this model's autoencoder, Plain, has no {name}\."):
            memory.cut_pictures(Plain(), job(memory={f"vae_{name}": True}).memory)
    memory.cut_pictures(Plain(), job().memory)


# Compiled blocks


def counting(graphs: list[int]) -> Callable[..., Any]:
    """A compiler that compiles nothing and counts what it is given."""

    def backend(graph: Any, inputs: Any) -> Callable[..., Any]:
        graphs.append(len(graph.graph.nodes))
        forward: Callable[..., Any] = graph.forward
        return forward

    return backend


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("weights", ["full", "fp8_e4m3", "nf4", "uint4"])
def test_blocks_are_compiled_with_their_adapters(
    weights: str, load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs: list[int] = []
    monkeypatch.setattr(memory, "COMPILER", counting(graphs))
    results = []
    for compiled in (False, True):
        torch.compiler.reset()
        model = load("flux1", denoiser_weights=weights)
        network = inject(model, job(network={"rank": 2, "dropout": 0.2}).network, seed=0).train()
        stir(network)
        network.set_dropout_seed(3)
        noisy, times = noisy_input(model)
        told = conditioning(model)
        if compiled:
            memory.compile_blocks(model)
        prediction = model.predict(noisy, times, told, whole_picture_sizes(2))
        prediction.square().mean().backward()
        results.append((prediction.detach(), [parameter.grad for parameter in network.parameters()]))
        assert bool(graphs) == compiled
    (wanted, wanted_gradients), (found, gradients) = results
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    for one, other in zip(gradients, wanted_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_a_compiler_that_does_not_work_is_said_before_anything_is_loaded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("No working C++ compiler found")

    graphs: list[int] = []
    monkeypatch.setattr(memory, "COMPILER", counting(graphs))
    torch.compiler.reset()
    assert checked(caplog, "cpu", compile=True) == [] and len(graphs) == 1
    monkeypatch.setattr(memory, "COMPILER", broken)
    torch.compiler.reset()
    with pytest.raises(UserError, match=r"memory\.compile: torch\.compile does not work here: .*\. It needs a C\+\+"):
        checked(caplog, "cpu", compile=True)
