"""Write the tables of what every architecture takes: `python -m scripts.memory_tables [--check] [name …]`.

Counted on the true models on the meta device, without a weight: parameters, the bytes that autograd keeps of each block
and of each layer's input, the most that is there at a time. All of it is linear in the picture's latents and in the
text's tokens, as fused attention is, so three runs of each model give the numbers. What reads the tables
(`loratory/planner`) needs no torch.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from transformers.modeling_layers import GradientCheckpointingLayer

from loratory.config.architectures import SPECS
from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.memory_tables import FOLDER
from loratory.config.targets import blocks_of
from loratory.models.base import Architecture
from loratory.networks.base import layers_of
from loratory.training.checkpointing import Recompute
from loratory.training.swapping import modules_of_blocks
from scripts.module_tables import true_model, write_or_check
from scripts.without_content import HALF, Fused, Live, architecture, conditioning, empty, latent_layout, without_content

Point = tuple[int, int]
"""Latents of a picture, and tokens of its text."""
Run = Callable[[Point], Any]
"""A forward pass with gradients, for a picture and a text of these sizes; returns what comes out."""


@dataclass
class Seen:
    """What one forward pass keeps."""

    kept: Counter[str] = field(default_factory=Counter)
    """Bytes by unit; the empty name is what stands outside."""
    inputs: Counter[str] = field(default_factory=Counter)
    """Bytes that each unit is given and no unit before it was."""
    attention: Counter[str] = field(default_factory=Counter)
    """Bytes of attention's results."""
    read: dict[str, tuple[int, int, bool]] = field(default_factory=dict)
    """By layer: numbers in its input, which of the inputs that is, and whether it is kept without an adapter, too."""
    rows: dict[str, int] = field(default_factory=dict)
    """By layer: rows that it makes, numbers of an output channel."""


@contextmanager
def attention_told(tell: Callable[[int], None]) -> Iterator[None]:
    """Within the block `tell` hears of the bytes of every result of attention."""
    before = Fused.results
    Fused.results = staticmethod(tell)  # type: ignore[assignment]
    try:
        yield
    finally:
        Fused.results = staticmethod(before)  # type: ignore[assignment]


def own_storages(module: nn.Module) -> set[int]:
    return {each.untyped_storage()._cdata for each in [*module.parameters(), *module.buffers()]}


def asks_for_gradients(module: nn.Module, given: Any, output: Tensor) -> None:
    output.requires_grad_()


def look(module: nn.Module, units: dict[str, nn.Module], layers: dict[str, nn.Module], run: Callable[[], Any],
         modulated: Sequence[str] = ()) -> Seen:  # fmt: skip
    """Run once and count. Outputs of the layers in `modulated` ask for gradients, as with adapters on them."""
    seen, inside = Seen(), [""]
    own, known, given = own_storages(module), dict[int, Any](), dict[int, Any]()
    reads: dict[str, tuple[int, int]] = {}
    numbers: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own and storage._cdata not in known:
            known[storage._cdata] = storage  # held, so that no other gets its place
            seen.kept[inside[-1]] += storage.nbytes()
        return tensor

    def enter(name: str, args: Any, kwargs: Any) -> None:
        inside.append(name)
        for each in tree_leaves((args, kwargs)):
            if isinstance(each, Tensor):
                storage = each.untyped_storage()
                if storage._cdata not in given and storage._cdata not in own:
                    given[storage._cdata] = storage
                    seen.inputs[name] += storage.nbytes()

    def read(path: str, args: Any, output: Tensor) -> None:
        storage = args[0].untyped_storage()
        given.setdefault(storage._cdata, storage)
        reads[path] = args[0].numel(), storage._cdata
        channels = layers[path].weight.shape[0]
        seen.rows[path] = output.numel() // int(channels)

    with ExitStack() as stack:
        for name, unit in units.items():
            before = unit.register_forward_pre_hook(
                lambda _, args, kwargs, name=name: enter(name, args, kwargs), with_kwargs=True
            )
            stack.callback(before.remove)
            stack.callback(unit.register_forward_hook(lambda *_: inside.pop() and None).remove)
        for path, layer in layers.items():
            hook = layer.register_forward_hook(lambda _, args, output, path=path: read(path, args, output))
            stack.callback(hook.remove)
            if path in modulated:
                hook = layer.register_forward_hook(asks_for_gradients)
                stack.callback(hook.remove)
        stack.enter_context(attention_told(lambda size: seen.attention.update({inside[-1]: size})))
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            output = run()
    for path, (size, key) in reads.items():
        seen.read[path] = size, numbers.setdefault(key, len(numbers)), key in known
    del output
    return seen


# Sizes become lines


def line(values: Sequence[int], points: Sequence[Point]) -> list[float]:
    """[for each picture, for each latent, for each token] of what was counted at three points: the first, one with
    other latents, one with other tokens."""
    (n0, t0), (n1, _), (_, t2) = points
    by_latent = Fraction(values[1] - values[0], n1 - n0)
    by_token = Fraction(values[2] - values[0], t2 - t0)
    return [plain(each) for each in (values[0] - by_latent * n0 - by_token * t0, by_latent, by_token)]


def plain(number: Fraction) -> float:
    """Six digits are more than a byte in a GiB."""
    rounded = float(f"{float(number):.6g}")
    return int(rounded) if rounded == int(rounded) else rounded


def lines(seen: Sequence[Seen], attribute: str, name: str, points: Sequence[Point]) -> list[float]:
    return line([getattr(each, attribute)[name] for each in seen], points)


def peak(run: Callable[[], Any], backward: bool) -> int:
    """Most bytes that are there at a time in one pass; with `backward` and what follows."""
    live = Live()
    with live:
        if not backward:
            with torch.no_grad():
                run()
        else:
            sum(each.float().sum() for each in tree_leaves(run()) if isinstance(each, Tensor)).backward()
    return live.most


def net_table(module: Any, units: dict[str, nn.Module], points: Sequence[Point], run: Run,
              recompute: Callable[[], None]) -> dict[str, Any]:  # fmt: skip
    """What one net takes. `recompute` switches on that every unit computes twice."""
    layers = {path: each for path, each in module.named_modules() if isinstance(each, nn.Linear | nn.Conv2d)}
    plainly = [look(module, units, layers, lambda point=point: run(point)) for point in points]
    sizes = {path: line([seen.read[path][0] for seen in plainly], points) for path in plainly[0].read}
    vectors = [path for path, (_, by_latent, by_token) in sizes.items() if not by_latent and not by_token]
    modulated = [look(module, units, layers, lambda point=point: run(point), vectors) for point in points]
    rows = []
    for name, unit in units.items():
        rows.append([name, type(unit).__name__, *(lines(seen, what, name, points) for seen, what in (
            (plainly, "kept"), (modulated, "kept"), (plainly, "inputs"), (plainly, "attention")))])  # fmt: skip
    most = [peak(lambda point=point: run(point), backward=True) for point in points]
    found = {
        "outside": [lines(seen, "kept", "", points) for seen in (plainly, modulated)],
        "units": rows,
        "layers": {path: [line([seen.rows[path] for seen in plainly], points), *plainly[0].read[path][1:]]
                   for path in plainly[0].read},
        "forward": line([peak(lambda point=point: run(point), backward=False) for point in points], points),
        "step": line(most, points),
    }  # fmt: skip
    recompute()
    twice = [peak(lambda point=point: run(point), backward=True) for point in points]
    return found | {"step_recomputed": line(twice, points)}


def told(tensors: Any) -> Any:
    """The same, of which tokens and latents ask for gradients, as behind an adapter. What is told of time and of the
    text as a whole does not."""
    for each in tree_leaves(tensors):
        if isinstance(each, Tensor) and each.is_floating_point() and each.ndim > 2:
            each.requires_grad_()
    return tensors


def denoiser_table(found: Architecture) -> dict[str, Any]:
    """What the denoiser takes."""
    module: Any = found.components.denoiser
    channels, side = latent_layout(found)
    base = 512 // side

    def run(point: Point) -> Tensor:
        latents, tokens = point
        edge = round(latents**0.5)
        noisy = told(empty(1, channels, edge, edge, dtype=torch.float32))
        times, sizes = empty(1, dtype=torch.float32), empty(1, 6, dtype=torch.float32)
        return found.predict(noisy, times, told(conditioning(found, tokens)), sizes)

    points = [(base**2, 128), ((2 * base) ** 2, 128), (base**2, 256)]
    names = {id(each): path for path, each in module.named_modules()}
    units: dict[str, nn.Module] = {}

    def spy(unit: Any, *args: Any) -> Any:
        units[names[id(unit)]] = unit
        return unit(*args)

    module.enable_gradient_checkpointing(spy)
    run(points[0])
    module.disable_gradient_checkpointing()

    def recompute() -> None:
        module.enable_gradient_checkpointing(Recompute(1, keeps_attention=False, on_cpu=False, pin=False))

    return net_table(module, units, points, run, recompute)


def text_bytes(found: Architecture) -> list[float]:
    """What a cached text takes: everything that the denoiser is told, without marks of what is no text."""
    points = [(0, 128), (1, 128), (0, 256)]
    return line([sum(each.nbytes for each in conditioning(found, tokens).values() if each.is_floating_point())
                 for _, tokens in points], points)  # fmt: skip


def text_run(module: Any) -> Run:
    """A text encoder's forward pass, which gives every layer's states, as the longest-lived of its uses does."""

    def run(point: Point) -> Any:
        ids = torch.zeros(1, point[1], dtype=torch.long, device="meta")
        return module(input_ids=ids, output_hidden_states=True)

    return run


def text_table(module: Any, is_trained: bool) -> dict[str, Any]:
    """What a text encoder takes, by tokens alone; without gradients only, where it is never trained."""
    run, points = text_run(module), [(0, 64), (1, 64), (0, 32)]
    if not is_trained:
        return {"forward": line([peak(lambda point=point: run(point), backward=False) for point in points], points)}
    units = {path: each for path, each in module.named_modules() if isinstance(each, GradientCheckpointingLayer)}
    tables = [each for each in module.modules()
              if isinstance(each, nn.Embedding) and each.num_embeddings == module.config.vocab_size]  # fmt: skip

    def recompute() -> None:
        module.gradient_checkpointing_enable()
        function = Recompute(1, keeps_attention=False, on_cpu=False, pin=False)
        for each in units.values():
            each.training = True
            each._gradient_checkpointing_func = function

    with ExitStack() as stack:
        for table in tables:
            stack.callback(table.register_forward_hook(asks_for_gradients).remove)
        return net_table(module, units, points, run, recompute)


def numbers(module: nn.Module) -> dict[str, int]:
    """Parameters, each once, and the bytes of buffers."""
    return {"numbers": sum(each.numel() for each in module.parameters()),
            "buffer_bytes": sum(each.nbytes for each in module.buffers())}  # fmt: skip


def autoencoder_table(found: Architecture) -> dict[str, Any]:
    """What the autoencoder takes in fp32, by pixels."""
    module: Any = found.components.vae
    channels, side = latent_layout(found)
    points = [(256**2, 0), (512**2, 0), (256**2, 1)]

    def encode(point: Point) -> Any:
        edge = round(point[0] ** 0.5)
        return module.encode(empty(1, 3, edge, edge, dtype=torch.float32)).latent_dist.mean

    def decode(point: Point) -> Any:
        edge = round(point[0] ** 0.5) // side
        return module.decode(empty(1, channels, edge, edge, dtype=torch.float32)).sample

    tile = getattr(module, "tile_sample_min_size", None) or module.tile_sample_min_height
    most = {
        name: line([peak(lambda point=point, run=run: run(point), backward=False) for point in points], points)
        for name, run in (("encode", encode), ("decode", decode))
    }
    return numbers(module) | {"tile": tile} | most


_encoders: dict[str, dict[str, Any]] = {}


def encoder_table(spec: ArchitectureSpec, name: str, module: Any) -> dict[str, Any]:
    """The same encoder of several architectures is looked at once."""
    is_trained = name in spec.trainable_text_encoders + spec.large_text_encoders
    key = f"{is_trained} {type(module).__name__} {json.dumps(module.config.to_dict(), sort_keys=True, default=str)}"
    if key not in _encoders:
        module.to(HALF).eval().requires_grad_(False)
        _encoders[key] = numbers(module) | text_table(module, is_trained)
    return _encoders[key]


def table(spec: ArchitectureSpec, config: str | None = None) -> dict[str, Any]:
    """Everything about one size of an architecture. Of further sizes the denoiser, and text encoders that the usual one
    has not."""
    with without_content():
        found = architecture(spec, config)
        blocks = list(dict.fromkeys(blocks_of(spec, layers_of(found)).values()))
        of_blocks = [sum(each.numel() for module in modules for each in module.parameters())
                     for modules in modules_of_blocks(found)]  # fmt: skip
        channels, side = latent_layout(found)
        denoiser: Any = found.components.denoiser
        result: dict[str, Any] = {
            "channels": channels,
            "pixels_per_latent": side,
            "text": text_bytes(found),
            "blocks": dict(zip(blocks, of_blocks, strict=True)),
            "denoiser": numbers(denoiser) | denoiser_table(found),
        }
        if config is None and not spec.pixel_space:
            result["vae"] = autoencoder_table(found)
        if encoders := encoder_tables(spec, config):
            result["text_encoders"] = encoders
        return result


def encoder_tables(spec: ArchitectureSpec, config: str | None) -> dict[str, Any]:
    """The text encoders of the usual size, or those of a further one that have other numbers of parameters."""
    usual: dict[str, Any] = true_model(spec).components.text_encoders
    found = usual if config is None else true_model(spec, config).components.text_encoders
    return {
        name: encoder_table(spec, name, each)
        for name, each in found.items()
        if config is None or numbers(each) != numbers(usual[name])
    }


def text_of(value: Any, depth: int = 0) -> str:
    """JSON with an entry a line where entries are many."""
    if isinstance(value, dict) and depth < 4:
        inner = ",\n".join(f"{json.dumps(name)}: {text_of(each, depth + 1)}" for name, each in value.items())
        return f"{{\n{inner}\n}}"
    if isinstance(value, list) and value and isinstance(value[0], list) and len(value) > 2:
        return "[\n" + ",\n".join(json.dumps(each) for each in value) + "\n]"
    return json.dumps(value)


def tables(only: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name and content of every table."""
    for spec in SPECS.values():
        for name in (spec.name, *spec.other_true_configs):
            if not only or name in only:
                yield name, text_of(table(spec, None if name == spec.name else name)) + "\n"


def main() -> int:
    options = [each for each in sys.argv[1:] if not each.startswith("-")]
    return write_or_check(tables(options), FOLDER, "Not as the architectures' true models have it")


if __name__ == "__main__":
    sys.exit(main())
