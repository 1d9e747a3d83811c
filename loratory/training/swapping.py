"""Blocks of the denoiser whose frozen weights wait in the computer's memory (`memory.blocks_to_swap`).

The weights of a block lie one behind the other in one piece of memory, which is copied as a whole just before the block
is used, while the block before it still computes. They never change, so nothing is copied back: the card's copy is
dropped. A block is used in its forward pass, in its backward pass, and where it is computed a second time in between.

Libraries that stream blocks do it around the forward pass. Autograd keeps weights for the backward pass, though, so
that the memory would not be given back, or the weights would be gone when they are wanted. Here it is handed
references (`saved_tensors_hooks` around the denoiser), and the gradient of a block's output calls its weights.
"""

from __future__ import annotations

import functools
import logging
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from loratory.config.rules_memory import spread
from loratory.config.targets import blocks_of
from loratory.config.train import TrainConfig
from loratory.errors import UserError
from loratory.models.base import Architecture
from loratory.networks.base import layers_of

log = logging.getLogger(__name__)

ALIGNED = 512
"""Bytes: a weight begins where PyTorch's allocator would have begun it, so that no kernel has to be another one."""


class Place(Protocol):
    """Where weights wait, and how they come to the device."""

    device: torch.device

    def keep(self, piece: Tensor) -> Tensor:
        """The bytes, on the CPU, in memory from which they come fast."""

    def fetch(self, kept: Tensor) -> tuple[Tensor, Callable[[], None]]:
        """Begin to copy to the device: the copy, and a function that lets what is computed next wait for it."""


class PlainPlace:
    """For devices without streams of their own: a copy is finished when it is there."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def keep(self, piece: Tensor) -> Tensor:
        """As the protocol says."""
        return piece

    def fetch(self, kept: Tensor) -> tuple[Tensor, Callable[[], None]]:
        """As the protocol says."""
        return kept.to(self.device), lambda: None


class CudaPlace:
    """Pinned memory, and a stream for copies that runs beside the one that computes."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device)

    def keep(self, piece: Tensor) -> Tensor:
        """As the protocol says. Raises UserError where the system does not let so much memory be pinned."""
        # In place, because PyTorch's own allocator of pinned memory rounds up to a power of two: up to twice as much.
        driver: Any = torch.cuda.cudart()
        failure = int(driver.cudaHostRegister(piece.data_ptr(), piece.nbytes, 0))
        if failure:
            raise UserError(
                f"memory.blocks_to_swap: the system does not pin {piece.nbytes / 2**20:.0f} MiB of the computer's "
                f"memory (CUDA's error {failure}); swap fewer blocks, or raise its limit of locked memory."
            )
        weakref.finalize(piece, driver.cudaHostUnregister, piece.data_ptr()).atexit = False
        return piece

    def fetch(self, kept: Tensor) -> tuple[Tensor, Callable[[], None]]:
        """As the protocol says."""
        computing = torch.cuda.current_stream(self.device)
        # Memory of the computing stream: who drops it there need not tell the other one. It may have been another
        # tensor's until now, so the copy begins after what was asked for before, which is still being computed.
        copy = torch.empty_like(kept, device=self.device)
        self._stream.wait_stream(computing)
        with torch.cuda.stream(self._stream):
            copy.copy_(kept, non_blocking=True)
            there = self._stream.record_event()
        return copy, lambda: torch.cuda.current_stream(self.device).wait_event(there)


def place_for(device: torch.device) -> Place | None:
    """None where the computer's memory is the device's."""
    if device.type == "cpu":
        return None
    return CudaPlace(device) if device.type == "cuda" else PlainPlace(device)


@dataclass(frozen=True)
class Lying:
    """How a tensor lies in a piece of memory."""

    dtype: torch.dtype
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    """In elements."""

    def of(self, piece: Tensor) -> Tensor:
        found = torch.empty(0, dtype=self.dtype, device=piece.device)
        return found.set_(piece.untyped_storage(), self.offset, self.size, self.stride)


@dataclass(frozen=True)
class Saved:
    """What autograd keeps in place of a weight: whose it is, and which part."""

    block: int
    lying: Lying


class Block:
    """The frozen tensors of one block, in one piece on the CPU."""

    @torch.no_grad()
    def __init__(self, modules: Sequence[nn.Module], place: Place) -> None:
        self.modules = tuple(modules)
        # Each once, also where it is known under two names.
        found = {id(each): each for each in chain.from_iterable(_tensors_of(module) for module in modules)}
        self._tensors = list(found.values())
        self._lying: list[Lying] = []
        end = 0
        for tensor in self._tensors:
            assert not tensor.requires_grad, "what is swapped is frozen"
            offset = -(-end // ALIGNED) * ALIGNED
            dense = torch.empty_like(tensor, device="meta")  # keeps the order of the axes, without gaps
            self._lying.append(
                Lying(tensor.dtype, tuple(tensor.shape), dense.stride(), offset // tensor.element_size())
            )
            end = offset + tensor.nbytes
        piece = torch.empty(max(end, 1), dtype=torch.uint8)
        for tensor, lying in zip(self._tensors, self._lying, strict=True):
            lying.of(piece).copy_(tensor)
        self.kept = place.keep(piece)
        self.point_to(self.kept)

    @property
    def nbytes(self) -> int:
        return self.kept.nbytes

    def point_to(self, piece: Tensor) -> None:
        """Let the tensors, which stay the same objects, have their numbers there."""
        for tensor, lying in zip(self._tensors, self._lying, strict=True):
            tensor.data = lying.of(piece)


def _tensors_of(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


class Swap:
    """Brings swapped blocks to the device in time: the one that is needed and the next, never more.

    Which one is next it learns from the order in which they are called.
    """

    def __init__(self, denoiser: nn.Module, blocks: Sequence[Sequence[nn.Module]], place: Place) -> None:
        """`blocks` are the modules of each one that is swapped, all on the CPU."""
        self._denoiser, self._place = denoiser, place
        self.blocks = [Block(modules, place) for modules in blocks]
        self.present: dict[int, Tensor] = {}
        """Blocks on the device, or on their way."""
        self._waits: dict[int, Callable[[], None]] = {}
        """Of those that are on their way."""
        self._by_storage: dict[int, int] = {}
        self._next: dict[int, int] = {}
        self._before: dict[int, int] = {}
        self._first: int | None = None
        self._last: int | None = None
        self._in_forward = False
        self._handles = [
            handle
            for number, block in enumerate(self.blocks)
            for module in block.modules
            for handle in (
                module.register_forward_pre_hook(functools.partial(self._begins, number)),
                module.register_forward_hook(functools.partial(self._ends, number), with_kwargs=True),
            )
        ]
        self._own_forward = denoiser.__dict__.get("forward")
        denoiser.forward = self._around(denoiser.forward)

    def remove(self) -> None:
        """Let the blocks be where they wait, and nothing bring them any more."""
        for handle in self._handles:
            handle.remove()
        del self._denoiser.forward
        if self._own_forward is not None:
            self._denoiser.forward = self._own_forward
        self._keep_only(())

    def need(self, block: int, then: int | None) -> None:
        """Let `block` be on the device for what is asked for next, `then` come meanwhile, and the others go."""
        with torch.no_grad():
            self._keep_only((block, then))
            self._fetch(block)
            if block in self._waits:
                self._waits.pop(block)()
                self.blocks[block].point_to(self.present[block])
                self._by_storage[self.present[block].untyped_storage().data_ptr()] = block
            if then is not None:
                self._fetch(then)

    def _fetch(self, block: int) -> None:
        if block not in self.present:
            self.present[block], self._waits[block] = self._place.fetch(self.blocks[block].kept)

    def _keep_only(self, wanted: Sequence[int | None]) -> None:
        for block in [each for each in self.present if each not in wanted]:
            if block in self._waits:  # its memory must not become another's while the copy is being written
                self._waits.pop(block)()
            self.blocks[block].point_to(self.blocks[block].kept)
            piece = self.present.pop(block)
            self._by_storage.pop(piece.untyped_storage().data_ptr(), None)

    # The order of things

    def _around(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(forward)
        def around(*args: Any, **kwargs: Any) -> Any:
            self._in_forward, self._last = True, None
            try:
                if not torch.is_grad_enabled():
                    return forward(*args, **kwargs)
                # Within a block that is computed twice other hooks hold, and nothing is kept anyway.
                with torch.autograd.graph.saved_tensors_hooks(self._save, self._saved):
                    return forward(*args, **kwargs)
            finally:
                self._in_forward = False

        return around

    def _begins(self, block: int, module: nn.Module, args: Any) -> None:
        """A block is called: in the denoiser's forward pass, or once more in the backward pass."""
        if not self._in_forward:
            self._backward_begins(block)
            return
        if self._last is None:
            self._first = block
        elif self._last != block:
            self._next[self._last], self._before[block] = block, self._last
        self._last = block
        # After the last one comes the backward pass, which turns round, or where there is none the next forward pass.
        turning = self._before.get(block) if torch.is_grad_enabled() else self._first
        self.need(block, self._next.get(block, turning))

    def _ends(self, block: int, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        given = {id(tensor) for tensor in _tensors_in((args, kwargs))}
        for tensor in _tensors_in(output):
            if tensor.requires_grad and id(tensor) not in given:
                tensor.register_hook(functools.partial(self._backward_begins, block))

    def _backward_begins(self, block: int, gradient: Tensor | None = None) -> None:
        # After the first one the next forward pass begins with it, and goes on.
        self.need(block, self._before.get(block, self._next.get(block)))

    # What autograd keeps

    def _save(self, tensor: Tensor) -> Tensor | Saved:
        block = self._by_storage.get(tensor.untyped_storage().data_ptr())
        if block is None:
            return tensor
        return Saved(
            block, Lying(tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()), int(tensor.storage_offset()))
        )

    def _saved(self, kept: Tensor | Saved) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        if kept.block not in self.present or kept.block in self._waits:
            self._backward_begins(kept.block)
        with torch.no_grad():
            return kept.lying.of(self.present[kept.block])


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _tensors_in(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _tensors_in(each)


def modules_of_blocks(architecture: Architecture) -> list[list[nn.Module]]:
    """The outermost modules that belong to one block, for each block, in the model's order."""
    spec, denoiser = architecture.spec, architecture.components.denoiser
    named = {path.removeprefix(f"{spec.denoiser}."): block
             for path, block in blocks_of(spec, layers_of(architecture)).items()}  # fmt: skip
    owned = [layer.path for layer in layers_of(architecture) if layer.path.startswith(f"{spec.denoiser}.")]
    within: dict[str, Counter[str | None]] = {}
    for path in (each.removeprefix(f"{spec.denoiser}.") for each in owned):
        parts = path.split(".")
        for end in range(1, len(parts) + 1):
            within.setdefault(".".join(parts[:end]), Counter()).update([named.get(path)])
    found: dict[str, list[nn.Module]] = {block: [] for block in named.values()}
    taken = ""
    for path, module in denoiser.named_modules():
        if path not in within or isinstance(module, nn.ModuleList) or (taken and path.startswith(taken + ".")):
            continue
        (block, *others) = within[path]
        if block is not None and not others:
            found[block].append(module)
            taken = path
    return list(found.values())


def bring_denoiser(architecture: Architecture, config: TrainConfig, device: torch.device) -> Swap | None:
    """The denoiser to the device, but for the blocks that are swapped; `check_swap` has passed."""
    count, denoiser = config.memory.blocks_to_swap, architecture.components.denoiser
    place = place_for(device) if count else None
    if place is None:
        denoiser.to(device)
        return None
    blocks = modules_of_blocks(architecture)
    swap = Swap(denoiser, [blocks[number] for number in spread(count, len(blocks))], place)
    swapped = {id(part) for block in swap.blocks for module in block.modules for part in module.modules()}
    for module in denoiser.modules():
        if id(module) not in swapped:
            _move_own(module, device)
    log.info(
        "%d of %d blocks wait in the computer's memory, %.2f GiB.",
        count, len(blocks), sum(block.nbytes for block in swap.blocks) / 2**30,
    )  # fmt: skip
    return swap


def _move_own(module: nn.Module, device: torch.device) -> None:
    """The tensors of a module itself, without those of the modules in it."""
    for parameter in module.parameters(recurse=False):
        parameter.data = parameter.data.to(device)
    for name, buffer in module.named_buffers(recurse=False):
        module._buffers[name] = buffer.to(device)
