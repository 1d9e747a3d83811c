"""PEFT's layers as an oracle of our network types: same numbers, same output and, where both mean the same, gradients.

PEFT's OFT and BOFT turn a layer's inputs, ours its outputs, so there the two are compared on a transposed layer.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from peft import (
    BOFTConfig,
    IA3Config,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    OFTConfig,
    PeftConfig,
    get_peft_model_state_dict,
    inject_adapter_in_model,
    set_peft_model_state_dict,
)
from torch import Tensor, nn

from loratory.config.architectures import SPECS
from loratory.networks import formats, registry
from loratory.networks.layer import AdapterLayer, weight_shape
from tests.compat.oracles import (
    ALPHA,
    BASES,
    RANK,
    file_of,
    from_file,
    gradients_by_suffix,
    make_case,
    same_change,
    same_gradients,
)
from tests.unit.networks.test_network_types import CONFIGS, Case, applied

Key = tuple[str, str]
LORA = {"r": RANK, "lora_alpha": ALPHA, "init_lora_weights": False}
LYCORIS_LIKE = {"r": 2, "alpha": ALPHA, "init_weights": False}
NAMES = {
    "lora_A": "lora_down.weight", "lora_B": "lora_up.weight", "lora_magnitude_vector": "dora_scale", "ia3_l": "weight",
}  # fmt: skip
"""Our files' names of what PEFT calls otherwise."""


@dataclass(frozen=True)
class Pair:
    """The same adapter in both programs: PEFT's config, our settings, and alpha as our files have it."""

    config: type[PeftConfig]
    theirs: dict[str, Any]
    ours: dict[str, Any] = field(default_factory=dict)
    alpha: float | None = ALPHA
    values_only: str = ""
    """Why the gradients are not compared."""


PAIRS: dict[Key, Pair] = {
    ("lora", ""): Pair(LoraConfig, LORA),
    ("lora", "rs"): Pair(
        LoraConfig, {**LORA, "use_rslora": True}, {"rank_stabilized": True}, alpha=ALPHA * math.sqrt(RANK)
    ),
    ("lora", "dora"): Pair(
        LoraConfig,
        {**LORA, "use_dora": True},
        {"decompose": True},
        values_only="PEFT takes the length for a constant, as the paper's section 4.3 says; LyCORIS and ours do not",
    ),
    ("loha", ""): Pair(LoHaConfig, LYCORIS_LIKE, {"rank": 2, "conv_rank": 2}),
    ("loha", "tucker"): Pair(
        LoHaConfig,
        {**LYCORIS_LIKE, "use_effective_conv2d": True},
        {"rank": 2, "conv_rank": 2, "tucker": True},
        values_only="PEFT's gradient of w1_a and w2_a multiplies with the other factor; LyCORIS' is ours",
    ),
    ("lokr", ""): Pair(LoKrConfig, {**LYCORIS_LIKE, "decompose_factor": 4}, {"factor": 4, "rank": 2, "conv_rank": 2}),
    ("lokr", "tucker"): Pair(
        LoKrConfig,
        {**LYCORIS_LIKE, "decompose_factor": 2, "use_effective_conv2d": True},
        {"factor": 2, "rank": 2, "conv_rank": 2, "tucker": True},
    ),
    ("lokr", "both"): Pair(
        LoKrConfig,
        {**LYCORIS_LIKE, "r": 1, "decompose_both": True},
        {"rank": 1, "conv_rank": 1, "decompose_both": True},
    ),
    # With both factors in full PEFT still divides alpha by a rank that is not there, LyCORIS and we do not.
    ("lokr", "full"): Pair(
        LoKrConfig, {**LYCORIS_LIKE, "r": 64, "alpha": 64.0}, {"rank": 64, "conv_rank": 64}, alpha=None
    ),
    ("ia3", ""): Pair(IA3Config, {"feedforward_modules": [], "init_ia3_weights": False}, alpha=None),
    ("ia3", "on input"): Pair(
        IA3Config,
        {"feedforward_modules": ["layer"], "init_ia3_weights": False},
        {"train_on_input": ("layer",)},
        alpha=None,
    ),
}
COMPARED_BELOW = {"diag_oft", "boft"}
WITHOUT_ORACLE = {
    "glora": "PEFT's GLoRA multiplies the weight by a low-rank matrix number by number, ours as a matrix",
    "dylora": "PEFT has none; the file is plain LoRA",
    "full": "PEFT trains and stores whole layers, not differences",
}
CASES = [(key, base) for key in PAIRS for base in BASES]


def name_of(value: object) -> str:
    return " ".join(part for part in value if part) if isinstance(value, tuple) else str(value)


class Holder(nn.Module):
    """PEFT wants a model around the layer that it takes over."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer


def injected(config: PeftConfig, base: nn.Module) -> Holder:
    """A copy of the frozen layer with PEFT's adapter on it, its numbers stirred."""
    torch.manual_seed(3)
    holder = inject_adapter_in_model(config, Holder(copy.deepcopy(base))).eval()
    if getattr(config, "init_lora_weights", None) != "pissa":
        with torch.no_grad():
            for parameter in holder.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.3)
    return holder


def by_our_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """PEFT's tensors or gradients under our files' names."""
    result = {}
    for name, tensor in tensors.items():
        theirs = next(part for part in name.split(".") if part not in ("layer", "base_layer"))
        result[NAMES.get(theirs, theirs)] = tensor
    return result


def as_file(pair: Pair, holder: Holder) -> dict[str, Tensor]:
    """What our file would hold of PEFT's adapter."""
    file = {name: tensor.detach().clone() for name, tensor in by_our_names(get_peft_model_state_dict(holder)).items()}
    if pair.config is IA3Config:
        file["weight"] = file["weight"].flatten() - 1  # PEFT's factor is l, ours 1 + v
        file["on_input"] = torch.tensor(float(bool(pair.theirs["feedforward_modules"])))
    if "dora_scale" in file:
        file["dora_scale"] = file["dora_scale"].flatten()  # a row for convolutions; see the tests of whole files
    if pair.alpha is not None:
        file["alpha"] = torch.tensor(pair.alpha)
    return file


def peft_of(key: Key, base_name: str) -> tuple[Case, Holder]:
    pair = PAIRS[key]
    case = make_case(key[0], pair.ours, base_name)
    if key == ("ia3", "") and getattr(case.base, "bias", None) is not None:
        case.base.bias = None  # PEFT multiplies it, too; see the test for that
    return case, injected(pair.config(target_modules=["layer"], **pair.theirs), case.base)


def backward(output: Tensor) -> None:
    (output - 1).square().sum().backward()


def test_every_type_has_an_oracle_or_a_reason() -> None:
    assert {name for name, _ in PAIRS} | COMPARED_BELOW | WITHOUT_ORACLE.keys() == CONFIGS.keys()


@pytest.mark.parametrize(("key", "base_name"), CASES, ids=name_of)
def test_their_numbers_give_their_output_and_gradients(key: Key, base_name: str) -> None:
    pair = PAIRS[key]
    case, holder = peft_of(key, base_name)
    file = as_file(pair, holder)
    ours = from_file(case.base, file)
    x, theirs_x = (case.x.clone().requires_grad_() for _ in range(2))
    found, wanted = case.output(ours, x), holder.layer(theirs_x)
    same_change(found, wanted, case.base(case.x))
    if pair.values_only:
        return
    backward(found)
    backward(wanted)
    theirs = {name: each.grad for name, each in holder.named_parameters() if each.grad is not None}
    same_gradients({**gradients_by_suffix(ours), "x": x.grad}, {**by_our_names(theirs), "x": theirs_x.grad})


@pytest.mark.parametrize(("key", "base_name"), CASES, ids=name_of)
def test_our_settings_make_their_tensors(key: Key, base_name: str) -> None:
    """Shapes and alpha of a fresh adapter."""
    case, holder = peft_of(key, base_name)
    ours, theirs = file_of(case.fresh()), as_file(PAIRS[key], holder)
    if "dora_scale" in ours:
        ours["dora_scale"] = ours["dora_scale"].flatten()  # ours is LyCORIS' column
    if "on_input" in ours:
        ours["weight"] = ours["weight"].flatten()  # and this its row
    assert {name: tensor.shape for name, tensor in ours.items()} == {name: t.shape for name, t in theirs.items()}
    if "alpha" in theirs:
        assert float(ours["alpha"]) == pytest.approx(float(theirs["alpha"]))


def test_ia3_leaves_the_bias_alone() -> None:
    """LyCORIS' and our factors act on the weight; PEFT's on the layer's output, and so on its bias."""
    pair = PAIRS["ia3", ""]
    case = make_case("ia3", {}, "linear")
    holder = injected(pair.config(target_modules=["layer"], **pair.theirs), case.base)
    file = as_file(pair, holder)
    ours = from_file(case.base, file)
    same_change(case.output(ours) + file["weight"] * case.base.bias, holder.layer(case.x), case.base(case.x))


# Files in diffusers' layout, which is PEFT's own

PATHS = {
    "linear": "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q",
    "conv": "unet.mid_block.resnets.0.conv1",
}
FILE_BASES = {**BASES, "square conv": (lambda: nn.Conv2d(16, 16, 3, padding=1), (2, 16, 6, 5))}
FILES = [
    pytest.param(dora, base, id=f"{'dora' if dora else 'lora'} {base}") for dora in (False, True) for base in FILE_BASES
]


def file_case(dora: bool, base_name: str) -> tuple[Case, Holder, str]:
    """Ours, PEFT's, and a path in the UNet of Stable Diffusion 1.5 that the layer is said to lie at."""
    case = make_case("lora", {"decompose": dora}, base_name, FILE_BASES)
    kind = "linear" if "linear" in base_name else "conv"
    config = LoraConfig(target_modules=["layer"], **{**LORA, "lora_alpha": RANK}, use_dora=dora)
    return case, injected(config, case.base), PATHS[kind]


@pytest.mark.parametrize(("dora", "base_name"), FILES)
def test_their_file_gives_their_output(dora: bool, base_name: str) -> None:
    case, holder, path = file_case(dora, base_name)
    file = {name.replace("layer.", f"{path}.", 1): tensor.detach()
            for name, tensor in get_peft_model_state_dict(holder).items()}  # fmt: skip
    state = formats.import_(file, SPECS["sd15"], {path: weight_shape(case.base)})
    ours = registry.layer_from_tensors(case.base, state[path])
    same_change(case.output(ours), holder.layer(case.x), case.base(case.x))


@pytest.mark.parametrize(("dora", "base_name"), FILES)
def test_our_file_gives_our_output_there(dora: bool, base_name: str) -> None:
    case, holder, path = file_case(dora, base_name)
    ours = case.stirred()
    file = formats.export({path: ours.tensors()}, SPECS["sd15"], "diffusers", {path: weight_shape(case.base)})
    answer = set_peft_model_state_dict(holder, {name.replace(path, "layer"): each for name, each in file.items()})
    assert not answer.unexpected_keys
    same_change(holder.layer(case.x), case.output(ours), case.base(case.x))


# PiSSA


def falling(base: nn.Module) -> nn.Module:
    """The same layer with singular values that fall by half, so that the largest ones are well told apart."""
    with torch.no_grad():
        left, values, right = torch.linalg.svd(base.weight.flatten(1), full_matrices=False)
        base.weight.copy_((left * 4 * 0.5 ** torch.arange(len(values)) @ right).view_as(base.weight))
    return base


def test_pissa_begins_at_the_same_best_product_and_goes_on_alike() -> None:
    case = make_case("lora", {"initialization": "pissa"}, "linear")
    falling(case.base)
    plain = case.base(case.x)
    holder = injected(LoraConfig(target_modules=["layer"], **{**LORA, "init_lora_weights": "pissa"}), case.base)
    ours = case.fresh()
    for output in (holder.layer(case.x), case.output(ours)):
        torch.testing.assert_close(output, plain, rtol=1e-4, atol=1e-5)
    theirs = holder.layer
    best = theirs.get_delta_weight("default").detach()
    begun = (ours.scale * ours.up @ ours.down).detach()
    assert float((begun - best).norm()) <= 1e-5 * float(best.norm())

    # PEFT takes the product off the frozen weight, ours subtracts it in the adapter: training sees the same.
    start = {name: factors["default"].weight.detach().clone()
             for name, factors in (("down", theirs.lora_A), ("up", theirs.lora_B))}  # fmt: skip
    moved = {name: tensor + torch.randn_like(tensor) * 0.1 for name, tensor in start.items()}
    with torch.no_grad():
        theirs.lora_A["default"].weight.copy_(moved["down"])
        theirs.lora_B["default"].weight.copy_(moved["up"])
    ours.load_tensors({**moved, "alpha": torch.tensor(ALPHA), "start_down": start["down"], "start_up": start["up"]})
    found, wanted = case.output(ours), theirs(case.x)
    same_change(found, wanted, plain)
    backward(found)
    backward(wanted)
    grads = {name: each.grad for name, each in holder.named_parameters() if each.grad is not None}
    same_gradients(gradients_by_suffix(ours), by_our_names(grads))
    check_pissa_file(file_of(ours), start, moved, case, wanted)


def check_pissa_file(
    file: dict[str, Tensor], start: dict[str, Tensor], moved: dict[str, Tensor], case: Case, wanted: Tensor
) -> None:
    """PEFT's way to make a plain LoRA of it: the first factors become further ranks. Its LoRA of our file agrees."""
    assert torch.equal(file["lora_down.weight"], torch.cat((moved["down"], start["down"])))
    assert torch.equal(file["lora_up.weight"], torch.cat((moved["up"], -start["up"]), dim=1))
    plain = LoraConfig(target_modules=["layer"], r=2 * RANK, lora_alpha=float(file["alpha"]), init_lora_weights=False)
    holder = injected(plain, case.base)
    with torch.no_grad():
        holder.layer.lora_A["default"].weight.copy_(file["lora_down.weight"])
        holder.layer.lora_B["default"].weight.copy_(file["lora_up.weight"])
    same_change(holder.layer(case.x), wanted, case.base(case.x))


@pytest.mark.parametrize("base_name", BASES)
def test_pissa_is_the_best_product_of_its_rank(base_name: str) -> None:
    """Judged by a full decomposition in float64, also for convolutions, where PEFT has no PiSSA."""
    case = make_case("lora", {"initialization": "pissa"}, base_name)
    falling(case.base)
    layer = case.fresh()
    left, values, right = torch.linalg.svd(case.base.weight.double().flatten(1), full_matrices=False)
    best = left[:, :RANK] * values[:RANK] @ right[:RANK]
    found = layer.scale * layer.up.detach().flatten(1) @ layer.down.detach().flatten(1)
    assert float((found - best).norm()) <= 1e-5 * float(best.norm())


# Turns


def transposed(case: Case, file: dict[str, Tensor]) -> Tensor:
    """Our adapter on the transposed layer: what it makes of the weight, turned back again."""
    base = nn.Linear(case.base.out_features, case.base.in_features, bias=False)
    base.weight = nn.Parameter(case.base.weight.t().contiguous(), requires_grad=False)
    ours: AdapterLayer = from_file(base, file)
    return case.base.weight + ours.delta_weight().t()


def test_oft_turns_inputs_as_ours_turns_outputs() -> None:
    """PEFT's R is (I - Q)(I + Q)⁻¹ and multiplies from the left; ours is its transpose, and is transposed again."""
    case = make_case("diag_oft", {}, "linear")
    config = OFTConfig(target_modules=["layer"], r=0, oft_block_size=6, use_cayley_neumann=False, init_weights=False)
    holder = injected(config, case.base)
    vector = holder.layer.oft_R["default"].weight.detach()
    blocks = torch.zeros(len(vector), 6, 6)
    rows, columns = torch.triu_indices(6, 6, 1)
    blocks[:, rows, columns] = vector  # PEFT stores the numbers above the diagonal of Q, ours a B of Q = B - Bᵀ
    weight = transposed(case, {"oft_blocks": blocks})
    same_change(applied(case.base, weight, case.base.bias, case.x), holder.layer(case.x), case.base(case.x))


def test_one_round_of_boft_turns_inputs_as_ours_turns_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """PEFT needs a compiled extension for more rounds than one. Its Q is half of B - Bᵀ with the other sign, and the
    first round leaves a block's rows in their order, where LyCORIS and ours put its second half between the first.
    """
    monkeypatch.setattr("peft.tuners.boft.layer.get_fbd_cuda", lambda: None)
    case = make_case("boft", {}, "linear")
    holder = injected(BOFTConfig(target_modules=["layer"], boft_block_size=6, init_weights=False), case.base)
    theirs = holder.layer.boft_R["default"].detach()
    with torch.no_grad():
        holder.layer.boft_s["default"].fill_(1)  # a factor for each output; ours would have one for each turned row
    order = torch.tensor([0, 3, 1, 4, 2, 5])
    blocks = -0.5 * theirs[:, :, order][:, :, :, order]
    weight = transposed(case, {"oft_blocks": blocks})
    same_change(applied(case.base, weight, case.base.bias, case.x), holder.layer(case.x), case.base(case.x))
