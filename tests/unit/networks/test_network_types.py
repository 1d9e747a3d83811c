"""What every network type must do. A type joins by its config class and its file."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loratory.config.network import NetworkBase, NetworkConfig
from loratory.config.network_shapes import trained_shapes
from loratory.config.targets import Layer, Target
from loratory.errors import UserError
from loratory.networks import registry
from loratory.networks.formats import fusing
from loratory.networks.layer import AdapterLayer, weight_shape

CONFIGS: dict[str, type[NetworkBase]] = {
    kind.model_fields["type"].default: kind for kind in get_args(get_args(NetworkConfig)[0])
}
NOT_CHOSEN = {"norm", "dora", "bias"}
"""Types without a config class: the first comes with `targets.norms`, the others wrap another."""

VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "lora": {"": {}, "tucker": {"tucker": True}, "rs": {"rank_stabilized": True}, "pissa": {"initialization": "pissa"},
             "dora": {"decompose": True}},
    "loha": {"": {}, "tucker": {"tucker": True}, "dora": {"decompose": True}},
    "lokr": {"": {"factor": 4, "rank": 2, "conv_rank": 2}, "full": {"full_matrix": True}, "dora": {"decompose": True},
             "both": {"factor": 8, "rank": 1, "conv_rank": 1, "decompose_both": True},
             "tucker": {"tucker": True, "factor": 2, "rank": 2, "conv_rank": 2}, "unbalanced": {"unbalanced": True}},
    "ia3": {"": {}, "on input": {"train_on_input": ("layer",)}},
    "diag_oft": {"": {}, "rescaled": {"rescaled": True}, "limited": {"constraint": 0.01}},
    "boft": {"": {"rank": 4}, "rescaled": {"rank": 2, "rescaled": True}, "limited": {"rank": 8, "constraint": 0.01}},
    "dylora": {"": {"unit": 2}},
}  # fmt: skip
"""What else a type can be told. A type without an entry is run with its defaults."""

BASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(24, 40), (3, 7, 24)),
    "linear without bias": (lambda: nn.Linear(24, 24, bias=False), (3, 24)),
    "conv 1x1": (lambda: nn.Conv2d(16, 24, 1), (2, 16, 6, 5)),
    "conv 3x3": (lambda: nn.Conv2d(16, 24, 3, stride=2, padding=1), (2, 16, 6, 5)),
}
NORMS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "layer norm": (lambda: nn.LayerNorm(24), (3, 7, 24)),
    "group norm": (lambda: nn.GroupNorm(4, 16), (2, 16, 6, 5)),
    "rms norm": (lambda: nn.RMSNorm(24), (3, 7, 24)),
}
CASES = [
    (name, variant, base) for name in CONFIGS for variant in VARIANTS.get(name, {"": {}}) for base in BASES
] + [("norm", "", base) for base in NORMS]  # fmt: skip


COMPILED = ("linear", "conv 3x3", "layer norm")


@dataclass
class Case:
    """A frozen layer, an input, and how to make adapters for it."""

    base: nn.Module
    x: Tensor
    target: Target

    @property
    def kind(self) -> ModuleType:
        return registry.network_type(self.target.type)

    def fresh(self, **changes: Any) -> AdapterLayer:
        config = self.target.config.model_copy(update=changes)
        target = Target(self.target.layer, self.target.type, config)
        return registry.make_layer(target, self.base, torch.Generator().manual_seed(0)).eval()

    def stirred(self, **changes: Any) -> AdapterLayer:
        return stir(self.fresh(**changes))

    def output(self, layer: AdapterLayer, x: Tensor | None = None) -> Tensor:
        x = self.x if x is None else x
        return layer(x, self.base(x))


def make_case(name: str, variant: str, base_name: str) -> Case:
    torch.manual_seed(1)
    build, shape = (BASES | NORMS)[base_name]
    base = build().requires_grad_(False)
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    config_class = CONFIGS.get(name, CONFIGS["lora"])
    wanted = {"rank": 4, "alpha": 3.0, "conv_rank": 4, "conv_alpha": 3.0, **VARIANTS.get(name, {}).get(variant, {})}
    config = config_class(**{key: value for key, value in wanted.items() if key in config_class.model_fields})
    kind = "linear" if isinstance(base, nn.Linear) else "conv" if isinstance(base, nn.Conv2d) else "norm"
    return Case(base, torch.randn(shape), Target(Layer("unet.layer", kind, weight_shape(base)), name, config))


@pytest.fixture(params=CASES, ids=lambda each: " ".join(part for part in each if part))
def case(request: pytest.FixtureRequest) -> Case:
    return make_case(*request.param)


def stir(layer: AdapterLayer) -> AdapterLayer:
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return layer


def applied(base: nn.Module, weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """What the frozen layer would give with another weight and bias."""
    if isinstance(base, nn.Linear):
        return F.linear(x, weight, bias)
    if isinstance(base, nn.Conv2d):
        return F.conv2d(x, weight, bias, base.stride, base.padding, base.dilation)
    if isinstance(base, nn.GroupNorm):
        return F.group_norm(x, base.num_groups, weight, bias, base.eps)
    if isinstance(base, nn.RMSNorm):
        return F.rms_norm(x, base.normalized_shape, weight, base.eps)
    assert isinstance(base, nn.LayerNorm)
    return F.layer_norm(x, base.normalized_shape, weight, bias, base.eps)


def dense(case: Case, layer: AdapterLayer, strength: float = 1.0) -> Tensor:
    bias, change = getattr(case.base, "bias", None), layer.delta_bias()
    if change is not None:
        bias = bias + strength * change
    return applied(case.base, case.base.weight + strength * layer.delta_weight(), bias, case.x)


def close(found: Tensor, wanted: Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


def test_every_type_has_a_config_class_and_a_file() -> None:
    assert set(registry.names()) - NOT_CHOSEN == CONFIGS.keys()
    assert VARIANTS.keys() <= CONFIGS.keys()


def test_a_fresh_adapter_changes_nothing(case: Case) -> None:
    layer = case.fresh()
    plain = case.base(case.x)
    close(case.output(layer), plain, 1e-5)
    assert layer.delta_weight().abs().max() < 1e-5
    assert {parameter.dtype for parameter in layer.parameters()} == {torch.float32}
    assert not any(parameter is weight for parameter in layer.parameters() for weight in case.base.parameters())


def test_its_numbers_are_those_that_a_preview_counts(case: Case) -> None:
    config, shape = case.target.config, weight_shape(case.base)
    planned = trained_shapes(shape, config, case.target.type)
    if case.target.type == "ia3" and config.train_on_input == ("layer",):
        planned = {"weight": (shape[1],)}
    found = {name: tuple(p.shape) for name, p in case.fresh().named_parameters() if name not in ("diff_bias", "b_norm")}
    renamed = {name.removeprefix("inner.").replace("magnitude", "dora_scale"): size for name, size in found.items()}
    assert renamed == {name: size for name, size in planned.items() if name != "b_norm"}


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, -1.0])
def test_forward_is_the_merged_weight_at_every_strength(case: Case, strength: float) -> None:
    layer = case.stirred()
    plain = case.base(case.x)
    layer.strength = strength
    found = case.output(layer)
    close(found, dense(case, layer, strength))
    if strength == 0:
        assert torch.equal(found, plain), "comparison pictures must be bit-equal"
    else:
        assert (found - plain).abs().max() > 1e-3


def test_at_strength_zero_training_draws_nothing(case: Case) -> None:
    """The bare model is asked between steps without a seed; what it says must not depend on dropout."""
    layer = case.stirred(dropout=0.5, rank_dropout=0.5, module_dropout=0.5).train()
    layer.strength = 0.0
    assert torch.equal(case.output(layer), case.base(case.x))


def test_delta_has_the_weights_shape_in_fp32(case: Case) -> None:
    delta = case.stirred().delta_weight()
    assert (delta.dtype, delta.shape) == (torch.float32, case.base.weight.shape)


def test_gradients_are_those_of_the_dense_weight(case: Case) -> None:
    """Of the whole chain, numbers and input, in float64 so that a wrong factor cannot hide."""
    if case.target.type == "dylora":
        return  # in evaluation all its numbers act; in training only the drawn ones have a gradient
    layer = case.stirred()
    found = gradients(case, layer, lambda x: case.output(layer, x))

    def through_delta(x: Tensor) -> Tensor:
        bias = getattr(case.base, "bias", None)
        for name in ("diff_bias", "b_norm"):
            change = getattr(layer, name, None)
            bias = bias if change is None else bias + change
        return applied(case.base, case.base.weight + layer.delta(), bias, x)

    wanted = gradients(case, layer, through_delta)
    assert found.keys() == wanted.keys()
    for name, gradient in found.items():
        assert gradient.abs().sum() > 0, name
        size = wanted[name].abs().max()
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-3, atol=1e-4 * float(size), msg=name)


def gradients(case: Case, layer: AdapterLayer, forward: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    layer.zero_grad()
    x = case.x.clone().requires_grad_()
    (forward(x) - 1).square().sum().backward()  # not around 0: a turn leaves lengths as they are
    result = {
        name: parameter.grad.clone() for name, parameter in layer.named_parameters() if parameter.grad is not None
    }
    assert x.grad is not None
    return {**result, "x": x.grad}


def test_stored_tensors_bring_it_back_bit_equal(case: Case) -> None:
    layer = case.stirred()
    stored = layer.tensors()
    assert all(tensor.is_contiguous() and tensor.device.type == "cpu" for tensor in stored.values())
    again = case.fresh()
    again.load_tensors(stored)
    for name, tensor in again.tensors().items():
        assert torch.equal(tensor, stored[name]), name
    assert torch.equal(case.output(again), case.output(layer))


def test_a_file_brings_it_back(case: Case) -> None:
    """Through the shapes that files have, also where a convolution's ones are missing."""
    layer = case.stirred()
    held = fusing.for_file(layer.tensors())
    again = registry.layer_from_tensors(case.base, fusing.checked(held, weight_shape(case.base)))
    close(case.output(again), case.output(layer), 1e-5)
    assert torch.equal(registry.layer_from_tensors(case.base, fusing.checked(held, weight_shape(case.base)))
                       .delta_weight(), again.delta_weight())  # fmt: skip


def test_tensors_of_another_size_are_refused_and_change_nothing(case: Case) -> None:
    layer = case.stirred()
    before = layer.tensors()
    large = {name: torch.cat((tensor, tensor)) if tensor.ndim else tensor for name, tensor in before.items()}
    with pytest.raises(UserError):
        layer.load_tensors(large)
    assert all(torch.equal(before[name], tensor) for name, tensor in layer.tensors().items())
    with pytest.raises(UserError):
        fusing.checked(large, weight_shape(case.base))
    broken = {name: tensor.clone().fill_(math.nan) if tensor.ndim else tensor for name, tensor in before.items()}
    with pytest.raises(UserError, match="NaN"):
        fusing.checked(broken, weight_shape(case.base))


def test_dropout_is_a_function_of_the_seed(case: Case) -> None:
    if case.target.type == "norm":
        return  # a normalisation's numbers have no dropout
    for name in ("dropout", "rank_dropout", "module_dropout"):
        layer = case.stirred(**{name: 0.5}).train()
        assert layer.draws
        with pytest.raises(RuntimeError, match="set_dropout_seed"):
            case.output(layer)
        outputs = []
        for seed in (3, 3, 4, 5, 6, 7, 8):
            layer.set_dropout_seed(seed)
            outputs.append(case.output(layer))
        assert torch.equal(outputs[0], outputs[1])
        assert any(not torch.equal(outputs[0], other) for other in outputs[2:]), name
        close(case.output(layer.eval()), dense(case, layer))


def test_module_dropout_leaves_the_whole_adapter_out(case: Case) -> None:
    if case.target.type in ("norm", "dylora"):
        return  # has none, or draws something else, too
    layer = case.stirred(module_dropout=0.5).train()
    plain, full = case.base(case.x), dense(case, layer)
    kept = 0
    for seed in range(40):
        layer.set_dropout_seed(seed)
        found = case.output(layer)
        is_plain = torch.allclose(found, plain, atol=1e-6)
        if not is_plain:
            close(found, full)
            kept += 1
    assert 10 <= kept <= 30


def test_low_precision_base(case: Case) -> None:
    layer = case.stirred()
    wanted = case.output(layer)
    base, x = case.base.to(torch.bfloat16), case.x.to(torch.bfloat16)
    found = layer(x, base(x))
    assert found.dtype == torch.bfloat16
    size = float(wanted.detach().abs().max())
    torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.03 * size)
    found.float().square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.dtype == torch.float32 for parameter in layer.parameters())


@pytest.mark.parametrize(
    ("name", "variant", "base"),
    [pytest.param(*each, marks=[pytest.mark.full] * each[2].startswith("conv")) for each in CASES
     if each[2] in COMPILED],
)  # fmt: skip
def test_compiles_without_a_graph_break(name: str, variant: str, base: str) -> None:
    import torch._dynamo

    torch._dynamo.reset()
    case = make_case(name, variant, base)
    layer = case.stirred(dropout=0.2, rank_dropout=0.2, module_dropout=0.2).train()
    layer.set_dropout_seed(5)
    wanted = case.output(layer)
    compiled = torch.compile(lambda x: layer(x, case.base(x)), backend="aot_eager", fullgraph=True)
    close(compiled(case.x), wanted, 1e-5)


@pytest.mark.parametrize("name", [*CONFIGS, "norm"])
def test_gradient_checkpointing_gives_the_same_gradients(name: str) -> None:
    from torch.utils.checkpoint import checkpoint

    case = make_case(name, "", "layer norm" if name == "norm" else "linear")
    layer = case.stirred(dropout=0.2, rank_dropout=0.2).train()
    layer.set_dropout_seed(5)
    plain = gradients(case, layer, lambda x: case.output(layer, x))
    again = gradients(case, layer, lambda x: checkpoint(lambda y: case.output(layer, y), x, use_reentrant=False))
    for name_, gradient in plain.items():
        assert torch.equal(gradient, again[name_]), name_
