"""Blocks that are computed twice: which, how often, what is kept, and that no gradient changes by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from loratory.config.architectures import get_spec
from loratory.config.network import LoraConfig
from loratory.networks.base import inject
from loratory.training import checkpointing
from loratory.training.checkpointing import Recompute, checkpoint_gradients
from tests.architectures import each, spread
from tests.tiny import TINY
from tests.tiny.fixtures import tiny_model
from tests.unit.models.conftest import load_model
from tests.unit.models.test_behaviour import TEXTS, noisy_input, whole_picture_sizes
from tests.unit.networks.helpers import stir
from tests.unit.training.helpers import job

__all__ = ["tiny_model"]

CPU = torch.device("cpu")
each_architecture = pytest.mark.parametrize("architecture", TINY)


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """What diffusers and transformers call a block."""
    names = ("ResnetBlock2D", "BasicTransformerBlock", "FluxTransformerBlock", "FluxSingleTransformerBlock",
             "CLIPEncoderLayer")  # fmt: skip
    return [each for each in module.modules() if type(each).__name__ in names]


def first_layer(block: nn.Module) -> nn.Module:
    """A part that every forward pass of the block calls; transformers repeats the pass without calling the block."""
    return next(each for each in block.modules() if not list(each.children()))


class Attended(TorchDispatchMode):
    """Counts fused attention."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += operator.name().removeprefix("aten::") == "_scaled_dot_product_flash_attention_for_cpu"
        return operator(*args, **kwargs or {})


class Step:
    """One forward and backward pass of a model with adapters on denoiser and text encoders."""

    def __init__(self, model: Any, **memory: Any) -> None:
        self.model = model
        # With adapters in every kind of block: what needs no gradients is not computed again.
        options = {"rank": 2, "dropout": 0.2, "train_text_encoders": True}
        config = job(memory=memory, network=options | ({"conv_rank": 2} if model.spec.convolution_groups else {}))
        assert isinstance(config.network, LoraConfig)
        network = inject(model, config.network, seed=0).train()
        stir(network)
        checkpoint_gradients(model, config, CPU)
        self.forwards: Counter[int] = Counter()
        handles = [
            first_layer(block).register_forward_pre_hook(lambda _, __, block=block: self.forwards.update([id(block)]))
            for root in (model.components.denoiser, *model.components.text_encoders.values())
            for block in blocks_of(root)
        ]
        self.kept = 0
        network.set_dropout_seed(7)
        with torch.autograd.graph.saved_tensors_hooks(self._note, lambda tensor: tensor), Attended() as forward:
            noisy, times = noisy_input(model)
            told = model.collate(model.encode_prompts(TEXTS))
            prediction = model.predict(noisy, times, told, whole_picture_sizes(2))
        self.first = dict(self.forwards)
        with Attended() as backward:
            prediction.square().mean().backward()
        self.attended = forward.count, backward.count
        self.gradients = [parameter.grad for parameter in network.parameters()]
        for handle in handles:
            handle.remove()

    def _note(self, tensor: Tensor) -> Tensor:
        self.kept += tensor.nbytes
        return tensor

    def again(self, root: nn.Module) -> list[bool]:
        """Which of the blocks ran again in the backward pass."""
        counts = [
            (self.forwards[id(block)], self.first[id(block)]) for block in blocks_of(root) if id(block) in self.first
        ]
        assert all(total in (once, 2 * once) for total, once in counts)
        return [total > once for total, once in counts]


@pytest.fixture(scope="module")
def usual(tiny_model: Callable[[str], Path]) -> Callable[[str], Step]:
    known: dict[str, Step] = {}

    def get(architecture: str) -> Step:
        if architecture not in known:
            known[architecture] = Step(load_model(tiny_model(architecture)))
        return known[architecture]

    return get


POLICIES: dict[str, dict[str, Any]] = {
    "on": {"gradient_checkpointing": True},
    "every second": {"gradient_checkpointing": "on", "checkpoint_every": 2},
    "selective": {"gradient_checkpointing": "selective"},
    "offload": {"gradient_checkpointing": "offload"},
    "offload every third": {"gradient_checkpointing": "offload", "checkpoint_every": 3},
}


@pytest.mark.parametrize(("architecture", "name"), spread(product(TINY, POLICIES)))
def test_no_policy_changes_a_gradient(
    architecture: str, name: str, tiny_model: Callable[[str], Path], usual: Callable[[str], Step]
) -> None:
    policy = POLICIES[name]
    plain, step = usual(architecture), Step(load_model(tiny_model(architecture)), **policy)
    assert sum(gradient is not None and bool(gradient.any()) for gradient in plain.gradients) > 10
    for one, other in zip(step.gradients, plain.gradients, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)
    encoders = get_spec(architecture).trainable_text_encoders
    for root in (step.model.components.denoiser, *(step.model.components.text_encoders[name] for name in encoders)):
        ran_again = step.again(root)
        every = policy.get("checkpoint_every", 1)
        by_kind: dict[str, list[bool]] = {}
        for block, again in zip([b for b in blocks_of(root) if id(b) in step.first], ran_again, strict=True):
            by_kind.setdefault(type(block).__name__, []).append(again)
        for kind, found in by_kind.items():
            wanted = -(-len(found) // every)
            # diffusers' UNets leave the first block of the middle out
            assert wanted - 1 <= sum(found) <= wanted, kind
            assert sum(found) > 0
    assert not any(plain.again(plain.model.components.denoiser))
    assert step.kept < plain.kept


@pytest.mark.parametrize("architecture", each())
def test_selective_computes_attention_once(
    architecture: str, tiny_model: Callable[[str], Path], usual: Callable[[str], Step]
) -> None:
    forward, backward = usual(architecture).attended
    assert forward > 0 and backward == 0
    every, twice = Step(load_model(tiny_model(architecture)), gradient_checkpointing=True).attended
    assert every == forward and twice > 0
    assert Step(load_model(tiny_model(architecture)), gradient_checkpointing="selective").attended == (forward, 0)


def test_operators_of_packages_are_known_as_attention_too() -> None:
    class Operator:
        def __init__(self, name: str) -> None:
            self.name = lambda: name

    cases = {
        "aten::_scaled_dot_product_flash_attention": True, "aten::_scaled_dot_product_efficient_attention": True,
        "aten::_scaled_dot_product_cudnn_attention": True, "flash_attn::_flash_attn_forward": True,
        "xformers::efficient_attention_forward_cutlass": True, "aten::mm": False, "aten::_softmax": False,
        "loratory::keep_mask": False,
    }  # fmt: skip
    for name, expected in cases.items():
        assert checkpointing._is_attention(Operator(name)) == expected, name


class Affine(nn.Module):
    """y = tanh(x)·w, which keeps more than its input."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((8, 8), size))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weight).exp()


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Tensor, bool]]]:
    """What was moved to the computer's memory, and whether it was pinned there."""
    found: list[tuple[Tensor, bool]] = []

    class Spy(torch.autograd.graph.saved_tensors_hooks):
        def __init__(self, pin_memory: bool) -> None:
            super().__init__(lambda tensor: found.append((tensor, pin_memory)) or tensor, lambda tensor: tensor)

    monkeypatch.setattr(checkpointing, "save_on_cpu", Spy)
    yield found


@pytest.mark.parametrize(("on_cpu", "pin"), [(False, False), (True, False), (True, True)])
def test_offload_moves_what_blocks_are_given_and_nothing_else(
    packed: list[tuple[Tensor, bool]], on_cpu: bool, pin: bool
) -> None:
    blocks = [Affine(0.1), Affine(0.2), Affine(0.3)]
    run = Recompute(1, keeps_attention=False, on_cpu=on_cpu, pin=pin)
    x = torch.randn(4, 8, requires_grad=True)
    given = [x]
    for block in blocks:
        given.append(run(block, given[-1]))
    given[-1].sum().backward()
    moved = [tensor for tensor, _ in packed if tensor.numel()]
    assert [tensor.data_ptr() for tensor in moved] == ([each.data_ptr() for each in given[:3]] if on_cpu else [])
    assert {was_pinned for _, was_pinned in packed} == ({pin} if on_cpu else set())


def test_each_kind_of_block_is_counted_on_its_own() -> None:
    """A UNet's two kinds alternate: every second block of all would be one kind only."""

    class Other(Affine):
        pass

    blocks = [Affine(0.1), Other(0.1), Affine(0.1), Other(0.1), Affine(0.1), Other(0.1)]
    forwards: Counter[int] = Counter()
    for number, block in enumerate(blocks):
        block.register_forward_pre_hook(lambda _, __, number=number: forwards.update([number]))
    run = Recompute(2, keeps_attention=False, on_cpu=False, pin=False)
    for _ in range(2):
        x = torch.randn(4, 8, requires_grad=True)
        y = x
        for block in blocks:
            y = run(block, y)
        y.sum().backward()
    assert [forwards[number] for number in range(6)] == [4, 4, 2, 2, 4, 4]
