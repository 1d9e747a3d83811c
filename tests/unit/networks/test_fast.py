"""The fast path of plain LoRA against the plain form, and when it has to give way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from loratory.networks import fast
from loratory.networks.base import Network
from loratory.networks.layer import AdapterLayer, Dropouts
from loratory.networks.types.full import FullLayer
from loratory.networks.types.lora import LoraLayer

GROUPS: dict[str, tuple[tuple[int, int, float, bool], ...]] = {
    "one": ((20, 4, 4.0, True),),
    "one, no bias, scaled": ((20, 4, 1.0, False),),
    "q k v": ((24, 4, 2.0, False), (24, 4, 2.0, False), (24, 4, 2.0, False)),
    "unlike": ((24, 4, 1.0, True), (96, 2, 2.0, False), (8, 7, 3.5, True)),
}
"""Outputs, rank, alpha and bias of layers with one input of 24."""
SHAPES = {"tokens": (2, 7, 24), "vectors": (5, 24), "places": (2, 3, 4, 24)}
FORMS = {"function": 0, "operations": 10**9}
"""What SMALL is set to."""


def make(group: str) -> tuple[list[nn.Linear], list[LoraLayer]]:
    torch.manual_seed(0)
    bases, layers = [], []
    for outputs, rank, alpha, bias in GROUPS[group]:
        base = nn.Linear(24, outputs, bias=bias).requires_grad_(False)
        layer = LoraLayer(base, rank, alpha)
        for parameter in layer.parameters():
            nn.init.normal_(parameter, std=0.3)
        bases.append(base)
        layers.append(layer)
    return bases, layers


def attached(bases: list[nn.Linear], layers: list[AdapterLayer]) -> Network:
    names = [f"unet.layer{number}" for number in range(len(bases))]
    together = [names] if len(names) > 1 else []
    network = Network(dict(zip(names, layers, strict=True)), dict(zip(names, bases, strict=True)), together)
    network.attach()
    return network


def gradients(
    outputs: Callable[[Tensor], list[Tensor]], x: Tensor, layers: list[LoraLayer]
) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs, and the gradients of x and of every factor. The last layer counts most, so that none can be another."""
    x = x.clone().requires_grad_()
    for layer in layers:
        layer.zero_grad()
    found = outputs(x)
    sum((number + 1) * output.float().square().sum() for number, output in enumerate(found)).backward()
    assert x.grad is not None
    return found, [x.grad, *(parameter.grad for layer in layers for parameter in layer.parameters())]


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(fast, "SMALL", FORMS[request.param])
    return request.param


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many layers each computation had."""
    counts: list[int] = []
    plain = fast.SharedInput._compute

    def counting(self: fast.SharedInput, number: int, x: Tensor) -> Tensor:
        counts.append(len(self.members))
        return plain(self, number, x)

    monkeypatch.setattr(fast.SharedInput, "_compute", counting)
    return counts


@pytest.mark.parametrize("strength", [1.0, 0.5, -1.0])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("group", GROUPS)
def test_it_is_the_plain_form_within_rounding(
    form: str, group: str, shape: str, strength: float, computed: list[int]
) -> None:
    bases, layers = make(group)
    x = torch.randn(SHAPES[shape])
    for layer in layers:
        layer.strength = strength
    wanted = gradients(lambda y: [lay(y, base(y)) for lay, base in zip(layers, bases, strict=True)], x, layers)
    attached(bases, layers)
    found = gradients(lambda y: [base(y) for base in bases], x, layers)
    assert computed == [len(bases)], "once for all of them"
    for ours, theirs in zip([*found[0], *found[1]], [*wanted[0], *wanted[1]], strict=True):
        size = float(theirs.detach().abs().max())
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6 * size)


def test_bf16_base_and_fp32_adapters(form: str) -> None:
    bases, layers = make("unlike")
    for base in bases:
        base.to(torch.bfloat16)
    x = torch.randn(2, 7, 24, dtype=torch.bfloat16)
    wanted = gradients(lambda y: [lay(y, base(y)) for lay, base in zip(layers, bases, strict=True)], x, layers)
    attached(bases, layers)
    found = gradients(lambda y: [base(y) for base in bases], x, layers)
    for ours, theirs in zip([*found[0], *found[1]], [*wanted[0], *wanted[1]], strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(
            ours.float(), theirs.float(), rtol=0.02, atol=0.02 * float(theirs.detach().abs().max())
        )
    assert {parameter.grad.dtype for layer in layers for parameter in layer.parameters()} == {torch.float32}


def test_its_gradients_are_those_of_finite_differences() -> None:
    """In float64, and also where one of the outputs is not used."""
    bases, layers = make("unlike")
    bases = [base.double() for base in bases]
    factors = [layer.down.detach().double() for layer in layers] + [layer.up.detach().double() for layer in layers]
    x = torch.randn(3, 24, dtype=torch.float64, requires_grad=True)
    factors = [factor.requires_grad_() for factor in factors]

    def run(x: Tensor, *factors: Tensor) -> tuple[Tensor, ...]:
        return tuple(fast._Together.apply(x, bases, [0.25, 1.0, 0.5], *factors))

    torch.autograd.gradcheck(run, (x, *factors))
    torch.autograd.gradcheck(lambda x, *factors: run(x, *factors)[1], (x, *factors))


def test_a_second_derivative_is_refused() -> None:
    bases, layers = make("one")
    x = torch.randn(3, 24, requires_grad=True)
    (output,) = fast._Together.apply(x, bases, [1.0], layers[0].down, layers[0].up)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(output.sum(), x, create_graph=True)


def test_only_the_input_and_the_ranks_are_kept(form: str) -> None:
    """Beside the weights, which are there anyway."""
    bases, layers = make("q k v")
    attached(bases, layers)
    weights = {tensor.data_ptr() for base in bases for tensor in base.parameters()}
    weights |= {parameter.data_ptr() for layer in layers for parameter in layer.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if tensor.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes() // 4
        return tensor

    x = torch.randn(50, 24, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = [base(x) for base in bases]
    # x, x·Aᵀ and the three A in one matrix.
    assert sorted(kept.values()) == sorted([50 * 24, 50 * 12, 12 * 24])
    assert all(output.requires_grad for output in outputs)


def test_gradient_checkpointing(form: str) -> None:
    bases, layers = make("q k v")
    x = torch.randn(2, 7, 24)
    attached(bases, layers)

    def block(y: Tensor) -> Tensor:
        q, k, v = (base(y) for base in bases)
        return torch.softmax(q @ k.transpose(1, 2), -1) @ v

    plain = gradients(lambda y: [block(y)], x, layers)
    again = gradients(lambda y: [checkpoint(block, y, use_reentrant=False)], x, layers)
    for ours, theirs in zip([*again[0], *again[1]], [*plain[0], *plain[1]], strict=True):
        assert torch.equal(ours, theirs)


# When it gives way


class Packed(nn.Linear):
    """As libraries that keep weights in another format have them."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight.round())


def spoiled(change: str, bases: list[nn.Linear], layers: list[LoraLayer]) -> list[AdapterLayer]:
    """Change something that the fast path cannot have; the layers to attach then."""
    if change == "another type":
        return [FullLayer(base) for base in bases]
    if change == "changed by others":
        for base in bases:
            base.forward = lambda y, base=base: 2 * nn.functional.linear(y, base.weight)
    if change == "another class":
        for base in bases:
            base.__class__ = Packed
    if change == "a trained base":
        bases[0].requires_grad_(True)
    if change == "dropout":
        for layer in layers:
            layer.dropouts = Dropouts(inner=0.5)
            layer.set_dropout_seed(3)
    if change == "a start":
        for layer in layers:
            with torch.no_grad():
                layer.begin_at_principal_directions(torch.randn(24, 24), torch.Generator())
    if change == "strength 0":
        layers[0].strength = 0.0
    return list(layers)


@pytest.mark.parametrize(
    "change",
    ["another type", "changed by others", "a trained base", "dropout", "a start", "strength 0", "autocast",
     "another class"],
)  # fmt: skip
def test_the_plain_form_does_what_the_fast_one_cannot(change: str, computed: list[int]) -> None:
    bases, layers = make("one" if change == "a trained base" else "q k v")
    x = torch.randn(2, 7, 24)
    chosen = spoiled(change, bases, layers)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=change == "autocast"):
        wanted = [layer(x, base(x)) for layer, base in zip(chosen, bases, strict=True)]
        plain = [base(x) for base in bases]
        attached(bases, chosen)
        found = [base(x) for base in bases]
    assert not computed
    for ours, theirs in zip(found, wanted, strict=True):
        assert torch.equal(ours, theirs)
    if change == "strength 0":
        assert torch.equal(found[0], plain[0]) and not torch.equal(found[1], plain[1])


def test_dropout_matters_only_while_training(computed: list[int]) -> None:
    bases, layers = make("q k v")
    for layer in layers:
        layer.dropouts = Dropouts(rank=0.5)
    network = attached(bases, layers).eval()
    x = torch.randn(2, 7, 24)
    for base in bases:
        base(x)
    assert computed == [3]
    network.train().set_dropout_seed(1)
    for base in bases:
        base(x)
    assert computed == [3]


def test_compiling_sees_the_plain_form(computed: list[int]) -> None:
    bases, layers = make("q k v")
    x = torch.randn(2, 7, 24)
    attached(bases, layers)
    compiled = torch.compile(lambda y: sum(base(y) for base in bases), backend="aot_eager", fullgraph=True)
    found = compiled(x)
    assert not computed
    torch.testing.assert_close(found, sum(base(x) for base in bases), rtol=1e-5, atol=1e-5)


# Taking what was computed before


def test_each_layer_may_have_an_input_of_its_own(computed: list[int]) -> None:
    """As in cross-attention, should it ever be declared wrongly: slower, and still right."""
    bases, layers = make("q k v")
    first, second = torch.randn(2, 7, 24), torch.randn(2, 5, 24)
    wanted = [layer(x, base(x)) for layer, base, x in zip(layers, bases, (first, second, second), strict=True)]
    attached(bases, layers)
    for _ in range(2):
        found = [bases[0](first), bases[1](second), bases[2](second)]
        for ours, theirs in zip(found, wanted, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert computed == [3, 3, 3, 3]


def test_the_same_tensor_again_is_computed_again() -> None:
    """A tensor that lives on from step to step must not bring back what other weights made of it."""
    bases, layers = make("q k v")
    network = attached(bases, layers)
    x = torch.randn(2, 7, 24)
    first = [base(x) for base in bases]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    assert all(not torch.equal(base(x), before) for base, before in zip(bases, first, strict=True))
    x.mul_(2)
    bases[0](x)
    x.mul_(2)  # changed in place between the calls of two layers
    wanted = layers[1](x, nn.functional.linear(x, bases[1].weight))
    torch.testing.assert_close(bases[1](x), wanted, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        bases[0](x)
    assert bases[1](x).requires_grad, "what was computed without a graph is not taken where one is wanted"


def test_nothing_is_held_when_all_have_taken_theirs() -> None:
    import gc
    import weakref

    bases, layers = make("q k v")
    attached(bases, layers)
    x = torch.randn(2, 7, 24)
    held = weakref.ref(x)
    outputs = [base(x).detach() for base in bases]
    del x
    gc.collect()
    assert held() is None and len(outputs) == 3
