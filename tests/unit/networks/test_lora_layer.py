"""One LoRA layer against arithmetic done by hand, and against peft."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from loratory.config.network import LoraConfig
from loratory.errors import UserError
from loratory.networks.layer import AdapterLayer, seeded_dropout, stream_seed
from loratory.networks.types.lora import LoraLayer, layer_from_tensors, make_layer

BASES = {
    "linear": (lambda: nn.Linear(24, 40), (3, 7, 24)),
    "linear without bias": (lambda: nn.Linear(24, 40, bias=False), (5, 24)),
    "linear, rank above input": (lambda: nn.Linear(6, 10), (3, 6)),
    "conv 1x1": (lambda: nn.Conv2d(12, 20, 1), (2, 12, 9, 8)),
    "conv 3x3": (lambda: nn.Conv2d(12, 20, 3, padding=1), (2, 12, 9, 8)),
    "conv 3x3 stride 2": (lambda: nn.Conv2d(12, 20, 3, stride=2, padding=1), (2, 12, 9, 8)),
    "conv dilated, same": (lambda: nn.Conv2d(12, 20, 3, dilation=2, padding="same"), (2, 12, 9, 8)),
    "conv 3x1, rank above input": (lambda: nn.Conv2d(2, 4, (3, 1), padding=(1, 0)), (2, 2, 9, 8)),
}
RANK, ALPHA = 8, 3.0


def make(base: nn.Module, seed: int = 0, **changes: object) -> LoraLayer:
    settings = {"rank": RANK, "alpha": ALPHA, "conv_rank": RANK, "conv_alpha": ALPHA, **changes}
    return make_layer(base, LoraConfig(**settings), torch.Generator().manual_seed(seed), "layer")


def stirred(base: nn.Module, **changes: object) -> LoraLayer:
    layer = make(base, **changes)
    torch.manual_seed(5)
    nn.init.normal_(layer.up, std=0.2)
    return layer


def dense_delta(layer: LoraLayer) -> torch.Tensor:
    """alpha / rank times the product, one output at a time."""
    up, down = layer.up.detach().double(), layer.down.detach().double()
    rows = [sum(up[row, r].reshape(()) * down[r] for r in range(RANK)) for row in range(up.shape[0])]
    return (torch.stack(rows) * ALPHA / RANK).float()


def with_weight(base: nn.Module, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    if isinstance(base, nn.Linear):
        return F.linear(x, weight, base.bias)
    return F.conv2d(x, weight, base.bias, base.stride, base.padding, base.dilation)


def build_case(name: str) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(3)
    build, shape = BASES[name]
    return build().requires_grad_(False), torch.randn(shape)


@pytest.fixture(params=BASES, ids=list(BASES))
def case(request):
    return build_case(request.param)


def test_forward_delta_and_dense_weight_agree(case):
    base, x = case
    layer = stirred(base)
    delta = dense_delta(layer)
    torch.testing.assert_close(layer.delta_weight(), delta, rtol=1e-5, atol=1e-6)
    output = layer(x, base(x))
    torch.testing.assert_close(output, with_weight(base, base.weight + delta, x), rtol=1e-4, atol=1e-5)
    layer.strength = -0.5
    torch.testing.assert_close(layer(x, base(x)), with_weight(base, base.weight - 0.5 * delta, x), rtol=1e-4, atol=1e-5)
    layer.strength = 0.0
    assert torch.equal(layer(x, base(x)), base(x))


def test_gradients_are_those_of_the_dense_weight(case):
    base, x = case
    layer = stirred(base)
    x = x.requires_grad_()
    torch.manual_seed(9)
    pull = torch.randn_like(base(x))
    (layer(x, base(x)) * pull).sum().backward()
    got = (x.grad.clone(), layer.down.grad, layer.up.grad)
    x.grad = None
    up, down = (part.detach().clone().requires_grad_() for part in (layer.up, layer.down))
    delta = (up.flatten(1) @ down.flatten(1)).view(base.weight.shape) * (ALPHA / RANK)
    (with_weight(base, base.weight + delta, x) * pull).sum().backward()
    for ours, theirs in zip(got, (x.grad, down.grad, up.grad), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert base.weight.grad is None


def test_a_fresh_layer_changes_nothing_and_its_down_fills_the_range(case):
    base, x = case
    layer = make(base)
    assert torch.equal(layer(x, base(x)), base(x))
    assert torch.count_nonzero(layer.up) == 0
    # Kaiming-uniform with a = sqrt(5) is uniform in ±1/sqrt(inputs), whose standard deviation is that over sqrt(3).
    bound = 1 / math.sqrt(math.prod(base.weight.shape[1:]))
    assert layer.down.abs().max() <= bound
    large = LoraLayer(base, 4000, 1.0)
    large.begin(torch.Generator().manual_seed(1))
    wide = large.down
    assert wide.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert wide.abs().max().item() == pytest.approx(bound, rel=0.05)


def test_initial_weights_are_a_function_of_the_generator_alone():
    base = nn.Linear(24, 40)
    torch.manual_seed(1)
    first = make(base, seed=4).down
    torch.manual_seed(2)
    assert torch.equal(first, make(base, seed=4).down)
    assert not torch.equal(first, make(base, seed=5).down)


def test_seeds_of_layers_and_of_runs_are_unrelated():
    names = [f"unet.block.{number}" for number in range(200)]
    seeds = {stream_seed(seed, name) for seed in range(50) for name in names}
    assert len(seeds) == 50 * len(names)
    assert max(seeds) < 2**63 and min(seeds) >= 0
    bits = sum(seed.bit_count() for seed in seeds) / len(seeds)
    assert bits == pytest.approx(31.5, abs=0.3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_base_keeps_fp32_parameters_and_gradients(dtype):
    torch.manual_seed(0)
    base = nn.Linear(24, 40).to(dtype).requires_grad_(False)
    layer = stirred(base)
    x = torch.randn(6, 24, dtype=dtype)
    output = layer(x, base(x))
    output.sum().backward()
    assert output.dtype == dtype
    assert {layer.down.dtype, layer.up.dtype, layer.down.grad.dtype, layer.up.grad.dtype} == {torch.float32}
    exact = F.linear(x.float(), base.weight.float() + dense_delta(layer), base.bias.float())
    torch.testing.assert_close(output.float(), exact, rtol=0.02, atol=0.03)


def test_autocast_gives_what_a_bf16_base_gives():
    torch.manual_seed(0)
    base = nn.Linear(24, 40).requires_grad_(False)
    layer = stirred(base)
    x = torch.randn(6, 24)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(x, base(x))
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), layer(x, base(x)), rtol=0.02, atol=0.03)
    output.sum().backward()
    assert layer.down.grad.dtype == torch.float32 and bool(layer.down.grad.abs().sum() > 0)


def test_dropout_zeroes_ranks_keeps_the_mean_and_is_off_in_evaluation():
    base = nn.Linear(24, 40).requires_grad_(False)
    layer = stirred(base, dropout=0.25)
    x = torch.randn(50, 24)
    with pytest.raises(RuntimeError, match="set_dropout_seed"):
        layer(x, base(x))
    layer.dropout_seed.fill_(17)
    first, again = layer(x, base(x)), layer(x, base(x))
    assert torch.equal(first, again), "a layer that runs twice in a micro-batch must draw the same mask"
    layer.dropout_seed.fill_(18)
    assert not torch.equal(first, layer(x, base(x)))
    layer.eval()
    torch.testing.assert_close(
        layer(x, base(x)), with_weight(base, base.weight + dense_delta(layer), x), rtol=1e-4, atol=1e-5
    )

    ones = torch.ones(400, 100)
    dropped = seeded_dropout(ones, 0.25, torch.tensor(3))
    kept = dropped[dropped != 0]
    assert torch.equal(kept, torch.full_like(kept, 1 / 0.75))
    assert kept.numel() / ones.numel() == pytest.approx(0.75, abs=0.01)


# peft 0.21 leaves a convolution's dilation out of its own path.
@pytest.mark.parametrize("name", [name for name in BASES if "dilated" not in name])
def test_peft_gives_the_same_outputs_and_gradients(name):
    from peft import LoraConfig as PeftConfig
    from peft import inject_adapter_in_model

    base, x = build_case(name)
    layer = stirred(base)
    holder = nn.ModuleDict({"layer": base})
    ours = layer(x, base(x))
    ours.square().sum().backward()
    inject_adapter_in_model(PeftConfig(r=RANK, lora_alpha=ALPHA, target_modules=["layer"]), holder)
    theirs = holder["layer"]
    with torch.no_grad():
        theirs.lora_A["default"].weight.copy_(layer.down)
        theirs.lora_B["default"].weight.copy_(layer.up)
    output = theirs(x)
    output.square().sum().backward()
    torch.testing.assert_close(ours, output, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.delta_weight(), theirs.get_delta_weight("default"), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(layer.down.grad, theirs.lora_A["default"].weight.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer.up.grad, theirs.lora_B["default"].weight.grad, rtol=1e-4, atol=1e-4)


def test_stored_tensors_bring_the_layer_back(case):
    base, x = case
    layer = stirred(base)
    tensors = layer.tensors()
    assert {name: tensor.dtype for name, tensor in tensors.items()} == dict.fromkeys(
        ("down", "up", "alpha"), torch.float32
    )
    assert all(tensor.is_contiguous() for tensor in tensors.values())
    again = layer_from_tensors(base, tensors)
    assert torch.equal(again(x, base(x)), layer(x, base(x)))
    with torch.no_grad():
        layer.up.zero_()
    assert bool(tensors["up"].abs().sum() > 0), "what is stored must be a copy"


def test_another_alpha_is_folded_so_that_the_effect_stays():
    base = nn.Linear(24, 40).requires_grad_(False)
    source = stirred(base)
    other = make(base, alpha=8.0)
    other.load_tensors(source.tensors())
    assert other.alpha == 8.0
    torch.testing.assert_close(other.delta_weight(), source.delta_weight(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("alpha", [3.0, 0.3, 1e-3])
def test_the_same_alpha_does_not_touch_a_bit(alpha):
    base = nn.Linear(24, 40)
    source, again = stirred(base, alpha=alpha), make(base, alpha=alpha)
    again.load_tensors(source.tensors())
    assert torch.equal(again.up, source.up) and torch.equal(again.down, source.down)


@pytest.mark.parametrize(
    ("base", "changes", "words"),
    [
        (nn.Conv2d(8, 8, 3, groups=2), {}, "groups"),
        (nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular"), {}, "padding"),
        (nn.Embedding(4, 8), {}, "Embedding"),
        (nn.Linear(8, 8), {"alpha": 0.0}, "alpha is 0"),
    ],
)
def test_what_cannot_have_an_adapter_is_refused_in_a_sentence(base, changes, words):
    with pytest.raises(UserError, match=words):
        make(base, **changes)


def test_a_layer_holds_nothing_of_its_base():
    layer = make(nn.Linear(24, 40))
    assert isinstance(layer, AdapterLayer)
    assert list(layer.state_dict()) == ["down", "up"]
    assert not list(layer.children())
