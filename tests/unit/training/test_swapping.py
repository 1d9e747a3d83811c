"""Blocks that wait elsewhere: they are there when they are used, gone when they are not, and change no number."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from loratory.config.architectures import get_spec
from loratory.config.rules_memory import check_swap
from loratory.config.targets import blocks_of
from loratory.errors import UserError
from loratory.networks.base import inject, layers_of
from loratory.training import memory
from loratory.training.checkpointing import checkpoint_gradients
from loratory.training.swapping import Swap, bring_denoiser, modules_of_blocks, spread
from tests.architectures import spread as diagonal
from tests.tiny import TINY
from tests.tiny.fixtures import tiny_model
from tests.unit.models.test_behaviour import TEXTS, noisy_input, whole_picture_sizes
from tests.unit.networks.helpers import stir
from tests.unit.training.cards import Card, cards
from tests.unit.training.helpers import job

__all__ = ["cards", "tiny_model"]

CPU = torch.device("cpu")


def loaded(folder: Path, **options: Any) -> tuple[Any, Any]:
    config = job(model={"path": str(folder)}, memory={"precision": "fp32"} | options)
    return memory.load_model(config, get_spec(folder_kind(folder)), CPU), config


def folder_kind(folder: Path) -> str:
    from loratory.config.identify import identify
    from loratory.hub.download import resolve_model

    return identify(job(model={"path": str(folder)}).model, resolve_model)


class Step:
    """A forward pass without gradients, and two with them and one backward pass of both."""

    def __init__(self, folder: Path, network: dict[str, Any] | None = None, **options: Any) -> None:
        self.model, config = loaded(folder, **options)
        told = self.model.collate(self.model.encode_prompts(TEXTS))
        self.swap = bring_denoiser(self.model, config, CPU)
        chosen = {
            name: each for name, each in ({"rank": 2, "dropout": 0.2} | (network or {})).items() if each is not None
        }
        if self.model.spec.convolution_groups and "type" not in chosen:
            chosen["conv_rank"] = 2
        layers = inject(self.model, job(network=chosen).network, seed=0, device=CPU).train()
        stir(layers)
        checkpoint_gradients(self.model, config, CPU)
        layers.set_dropout_seed(7)
        noisy, times = noisy_input(self.model)
        sizes = whole_picture_sizes(2)
        with torch.no_grad():
            self.plain = self.model.predict(noisy, times, told, sizes)
        found = [self.model.predict(each, times, told, sizes) for each in (noisy, 0.5 * noisy)]
        sum(each.square().mean() for each in found).backward()  # type: ignore[union-attr]
        self.outputs = [each.detach() for each in found]
        self.gradients = {name: parameter.grad for name, parameter in layers.named_parameters()}

    def numbers(self) -> list[Tensor]:
        return [self.plain, *self.outputs, *(each for each in self.gradients.values() if each is not None)]


def same(one: Step, other: Step) -> bool:
    pairs = list(zip(one.numbers(), other.numbers(), strict=True))
    assert len(pairs) > 10 and all(bool(torch.isfinite(each).all()) for each in other.numbers())
    return all(torch.equal(a, b) for a, b in pairs)


def count_of(folder: Path) -> int:
    return len(modules_of_blocks(loaded(folder)[0]))


POLICIES: dict[str, dict[str, Any]] = {
    "off": {},
    "on": {"gradient_checkpointing": "on"},
    "every second": {"gradient_checkpointing": "on", "checkpoint_every": 2},
    "selective": {"gradient_checkpointing": "selective"},
    "offload": {"gradient_checkpointing": "offload"},
    "packed": {"denoiser_weights": "fp8_e4m3"},
    "packed, on": {"denoiser_weights": "fp8_e4m3", "gradient_checkpointing": "on", "precision": "bf16"},
}


@pytest.mark.parametrize(("architecture", "policy"), diagonal(product(TINY, POLICIES)))
def test_no_number_changes(
    architecture: str, policy: str, tiny_model: Callable[[str], Path], cards: list[Card]
) -> None:
    """With the most blocks that can be swapped, on a card where absent weights are not numbers."""
    folder, options = tiny_model(architecture), POLICIES[policy]
    most = count_of(folder) - 1
    plain = Step(folder, **options)
    assert plain.swap is None and not cards[1:]
    step = Step(folder, blocks_to_swap=most, **options)
    assert same(plain, step)
    assert step.swap is not None and len(step.swap.blocks) == most
    card = cards[-1]
    # Two may stay, so of more than that each comes for both passes.
    assert card.most <= 2 and (card.waited > 2 * most if most > 2 else card.waited >= most)


def test_a_card_sees_what_is_used_too_late_or_too_early(tiny_model: Callable[[str], Path], cards: list[Card]) -> None:
    """The test above could fail: without references autograd keeps what is gone, without hooks nothing ever comes."""
    folder = tiny_model("sd15")
    for broken in ("_save", "need"):
        original = getattr(Swap, broken)
        change = (lambda _, tensor: tensor) if broken == "_save" else (lambda swap, block, then: None)
        try:
            setattr(Swap, broken, change)
            step = Step(folder, blocks_to_swap=5)
        finally:
            setattr(Swap, broken, original)
        assert not all(bool(torch.isfinite(each).all()) for each in step.numbers()), broken


NETWORKS: dict[str, dict[str, Any]] = {
    "dora": {"decompose": True},
    "pissa": {"initialization": "pissa"},
    "glora": {"type": "glora"}, "ia3": {"type": "ia3", "rank": None}, "boft": {"type": "boft", "rank": None},
    "diag_oft": {"type": "diag_oft"}, "lokr": {"type": "lokr"}, "loha": {"type": "loha"},
    "dylora": {"type": "dylora", "rank": 4}, "full": {"type": "full", "rank": None},
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "dora" else pytest.mark.full) for name in NETWORKS]
)
def test_no_number_changes_whatever_is_trained(name: str, tiny_model: Callable[[str], Path], cards: list[Card]) -> None:
    """Types that read the frozen weight read it when they are made, too, while it waits."""
    folder = tiny_model("sd15")
    plain = Step(folder, NETWORKS[name])
    step = Step(folder, NETWORKS[name], blocks_to_swap=8)
    assert same(plain, step)


def test_blocks_are_those_that_have_names(tiny_model: Callable[[str], Path]) -> None:
    """Every weight of a block is in its modules, and no other is; and they are called, as a step above shows."""
    for architecture in TINY:
        model, _ = loaded(tiny_model(architecture))
        root, spec = model.components.denoiser, model.spec
        names = blocks_of(spec, layers_of(model))
        blocks = modules_of_blocks(model)
        assert len(blocks) == len(set(names.values())) > 1
        by_identity = {
            id(part): number for number, block in enumerate(blocks) for each in block for part in each.modules()
        }
        order = list(dict.fromkeys(names.values()))
        for path, module in root.named_modules():
            if f"{spec.denoiser}.{path}" in names:
                assert by_identity[id(module)] == order.index(names[f"{spec.denoiser}.{path}"]), path
            elif isinstance(module, nn.Linear | nn.Conv2d):
                assert id(module) not in by_identity, path


@pytest.mark.parametrize(
    ("count", "blocks", "expected"),
    [(0, 4, []), (1, 4, [3]), (2, 4, [1, 3]), (3, 4, [1, 2, 3]), (2, 7, [3, 6]), (6, 7, [1, 2, 3, 4, 5, 6])],
)
def test_swapped_blocks_are_far_from_each_other(count: int, blocks: int, expected: list[int]) -> None:
    assert spread(count, blocks) == expected


def test_the_next_block_is_asked_for_before_this_one_computes() -> None:
    """Worked out by hand for five blocks, of which the first stays: two are on the card, and nothing comes twice."""
    torch.manual_seed(0)
    net: Any = nn.Sequential(*(nn.Linear(8, 8) for _ in range(5))).requires_grad_(False)
    card = Card()
    Swap(net, [[net[number]] for number in range(1, 5)], card)
    x = torch.ones(2, 8, requires_grad=True)
    net(x).sum().backward()
    # The order is not known yet: each comes when it is used. Backwards 3 is still there; 1 comes while 2 computes.
    assert card.fetched == [0, 1, 2, 3, 1, 0]
    card.fetched.clear()
    seen: list[list[int]] = []
    for layer in net[1:]:
        layer.register_forward_pre_hook(lambda *_: seen.append(list(card.fetched)))
    net(x).sum().backward()
    # 0 and 1 are there. While 1 computes 2 comes, while 2 computes 3, and back again.
    assert seen == [[], [2], [2, 3], [2, 3]]
    assert card.fetched == [2, 3, 1, 0]
    card.fetched.clear()
    with torch.no_grad():
        net(x), net(x)
    assert card.fetched == [2, 3, 0, 1, 2, 3, 0], "while the last one computes the first one comes again"


def test_nothing_is_left_behind(tiny_model: Callable[[str], Path], cards: list[Card]) -> None:
    model, config = loaded(tiny_model("flux1"), blocks_to_swap=2)
    denoiser = model.components.denoiser
    before = {name: tensor.clone() for name, tensor in denoiser.state_dict().items()}
    swap = bring_denoiser(model, config, CPU)
    assert swap is not None and "forward" in denoiser.__dict__
    swap.remove()
    assert "forward" not in denoiser.__dict__ and not swap.present
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in denoiser.modules())
    for block in swap.blocks:
        copy, wait = cards[-1].fetch(block.kept)
        wait()
        block.point_to(copy)
    assert all(torch.equal(tensor, before[name]) for name, tensor in denoiser.state_dict().items())


def test_on_the_cpu_nothing_is_swapped(tiny_model: Callable[[str], Path]) -> None:
    model, config = loaded(tiny_model("flux1"), blocks_to_swap=2)
    assert bring_denoiser(model, config, CPU) is None
    assert not any(module._forward_hooks for module in model.components.denoiser.modules())


def test_more_blocks_than_there_are(tiny_model: Callable[[str], Path]) -> None:
    model, _ = loaded(tiny_model("flux1"))
    layers = layers_of(model)
    count = len(set(blocks_of(model.spec, layers).values()))
    check_swap(job(memory={"blocks_to_swap": count - 1}), model.spec, layers)
    with pytest.raises(
        UserError, match=rf"^memory\.blocks_to_swap: {count} is too many: this model has {count} blocks"
    ):
        check_swap(job(memory={"blocks_to_swap": count}), model.spec, layers)
