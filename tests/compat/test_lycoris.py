"""LyCORIS' own modules as an oracle of our network types: same numbers, same output, both ways through files.

Where LyCORIS 4.1 is known to be wrong, or lacks something, the formula is written out here in float64 and judges.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from lycoris.functional import boft as their_boft
from lycoris.functional.general import factorization as their_factorization
from lycoris.functional.general import power2factorization
from lycoris.modules import get_module, make_module
from lycoris.modules.base import LycorisBaseModule
from lycoris.modules.boft import ButterflyOFTModule
from lycoris.modules.diag_oft import DiagOFTModule
from lycoris.modules.dylora import DyLoraModule
from lycoris.modules.full import FullModule
from lycoris.modules.glora import GLoRAModule
from lycoris.modules.ia3 import IA3Module
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from lycoris.modules.norms import NormModule
from torch import Tensor, nn

from loratory.config.network_shapes import boft_shape, factorization, trained_shapes
from loratory.networks import registry
from loratory.networks.layer import weight_shape
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
from tests.unit.networks.test_network_types import CONFIGS, NORMS, VARIANTS, Case, applied, stir

Key = tuple[str, str]
"""One of our types and what it is told beside the usual."""


@dataclass(frozen=True)
class Pair:
    """The same adapter in both programs: LyCORIS' module and what it is told, and our settings."""

    module: type[LycorisBaseModule]
    ours: dict[str, Any] = field(default_factory=dict)
    theirs: dict[str, Any] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        return int(self.ours.get("rank", RANK))


def kron(ours: dict[str, Any], theirs: dict[str, Any], rank: int = 2) -> Pair:
    return Pair(LokrModule, {"rank": rank, "conv_rank": rank, **ours}, theirs)


DORA = ({"decompose": True}, {"weight_decompose": True})
TUCKER = ({"tucker": True}, {"use_tucker": True})
PAIRS: dict[Key, Pair] = {
    ("lora", ""): Pair(LoConModule),
    ("lora", "tucker"): Pair(LoConModule, *TUCKER),
    ("lora", "rs"): Pair(LoConModule, {"rank_stabilized": True}, {"rs_lora": True}),
    ("lora", "dora"): Pair(LoConModule, *DORA),
    ("lora", "dora, tucker"): Pair(LoConModule, DORA[0] | TUCKER[0], DORA[1] | TUCKER[1]),
    ("loha", ""): Pair(LohaModule),
    ("loha", "tucker"): Pair(LohaModule, *TUCKER),
    ("loha", "dora"): Pair(LohaModule, *DORA),
    ("lokr", ""): kron({"factor": 4}, {"factor": 4}),
    ("lokr", "even"): kron({}, {}),
    ("lokr", "full"): kron({"full_matrix": True}, {"full_matrix": True}),
    ("lokr", "both"): kron({"factor": 8, "decompose_both": True}, {"factor": 8, "decompose_both": True}, 1),
    ("lokr", "first"): kron(
        {"decompose_both": True, "unbalanced": True}, {"decompose_both": True, "unbalanced_factorization": True}
    ),
    ("lokr", "tucker"): kron({"tucker": True, "factor": 2}, {"use_tucker": True, "factor": 2}),
    ("lokr", "unbalanced"): kron({"unbalanced": True}, {"unbalanced_factorization": True}, 1),
    ("lokr", "dora"): kron({"factor": 4, **DORA[0]}, {"factor": 4, **DORA[1]}),
    ("glora", ""): Pair(GLoRAModule),
    ("ia3", ""): Pair(IA3Module),
    ("ia3", "on input"): Pair(IA3Module, {"train_on_input": ("layer",)}, {"train_on_input": True}),
    ("full", ""): Pair(FullModule),
    ("norm", ""): Pair(NormModule),
    ("diag_oft", ""): Pair(DiagOFTModule),
    ("diag_oft", "rescaled"): Pair(DiagOFTModule, {"rescaled": True}, {"rescaled": True}),
    ("diag_oft", "limited"): Pair(DiagOFTModule, {"constraint": 0.01}, {"constraint": 0.01}),
    ("boft", ""): Pair(ButterflyOFTModule, {"rank": 6}),
    ("boft", "rescaled"): Pair(ButterflyOFTModule, {"rank": 6, "rescaled": True}, {"rescaled": True}),
    ("boft", "limited"): Pair(ButterflyOFTModule, {"rank": 6, "constraint": 0.01}, {"constraint": 0.01}),
    # With more ranks to a unit LyCORIS divides alpha by the units, not by the ranks; the formula below judges that.
    ("dylora", ""): Pair(DyLoraModule, {"unit": 1}, {"block_size": 1}),
}
WITHOUT_ORACLE: dict[Key, str] = {
    ("lora", "pissa"): "LyCORIS cannot begin like that; PEFT can, and is compared with in test_peft.py",
}
ON_INPUT = {  # DoRA with a length for each input. We only read it.
    name: Pair(PAIRS[name, "dora"].module, PAIRS[name, "dora"].ours, {**PAIRS[name, "dora"].theirs, "wd_on_out": False})
    for name in ("lora", "loha", "lokr")
}
THEIR_READER_FAILS: dict[Key, str] = {
    ("lokr", "full"): "it wants an alpha, which we leave out because programs disagree on what it means there",
    ("lokr", "first"): "it decomposes the first factor only where the second is decomposed, too",
    ("lokr", "tucker"): "it takes the rank from the axis of w2_a that holds the outputs",
    ("lokr", "unbalanced"): "it expects balanced factors",
    ("ia3", ""): "it is called with one argument too many",
    ("ia3", "on input"): "it is called with one argument too many",
}
"""There the numbers are put into a module that was made with the same settings."""

GROUPED_NORMS = {name: NORMS[name] for name in ("layer norm", "group norm")}
CASES = [(key, base) for key in PAIRS for base in (GROUPED_NORMS if key[0] == "norm" else BASES)]


def name_of(value: object) -> str:
    return " ".join(part for part in value if part) if isinstance(value, tuple) else str(value)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """LyCORIS says on the terminal how it split each number of outputs."""
    logger = logging.getLogger("LyCORIS")
    before = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(before)


def case_of(key: Key, base_name: str) -> Case:
    return make_case(key[0], PAIRS[key].ours, base_name, BASES | NORMS)


def applied_module(pair: Pair, case: Case) -> tuple[LycorisBaseModule, nn.Module]:
    """LyCORIS' module as it begins, and a copy of the frozen layer that it has been put on."""
    torch.manual_seed(2)
    wrapped = copy.deepcopy(case.base)
    module = pair.module("layer", wrapped, multiplier=1.0, lora_dim=pair.rank, alpha=ALPHA, **pair.theirs)
    if isinstance(module, DyLoraModule):
        # Also in evaluation LyCORIS draws how many ranks it uses; here all of them.
        module.get_random_rank_weight = lambda: module.get_weight(module.lora_dim - module.block_size)
    module.apply_to()
    return module.eval(), wrapped


def stored_by(module: LycorisBaseModule) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def read_by_lycoris(file: dict[str, Tensor], base: nn.Module) -> nn.Module:
    """A copy of the frozen layer with an adapter that LyCORIS' own reader made of our file."""
    wrapped = copy.deepcopy(base)
    kind, parts = get_module({f"layer.{suffix}": tensor for suffix, tensor in file.items()}, "layer")
    module = make_module(kind, parts, "layer", wrapped)
    module.apply_to()
    module.eval()
    return wrapped


def loaded_by_lycoris(file: dict[str, Tensor], pair: Pair, case: Case) -> nn.Module:
    """A copy of the frozen layer with a module of the same settings that was given our file's numbers."""
    module, wrapped = applied_module(pair, case)
    answer = module.load_state_dict(dict(file), strict=False)
    assert not answer.unexpected_keys
    assert set(answer.missing_keys) <= {"alpha"}
    return wrapped


def test_every_type_has_an_oracle_or_a_reason() -> None:
    known = PAIRS.keys() | WITHOUT_ORACLE.keys()
    assert {name for name, _ in known} == CONFIGS.keys() | {"norm"} == set(registry.names()) - {"dora", "bias"}
    assert {(name, variant) for name, variants in VARIANTS.items() for variant in variants} <= known
    assert THEIR_READER_FAILS.keys() <= PAIRS.keys()


@pytest.mark.parametrize(("key", "base_name"), CASES, ids=name_of)
def test_their_numbers_give_their_output_and_gradients(key: Key, base_name: str) -> None:
    case = case_of(key, base_name)
    module, wrapped = applied_module(PAIRS[key], case)
    stir(module)
    ours = from_file(case.base, stored_by(module))
    found, wanted = case.output(ours), wrapped(case.x)
    same_change(found, wanted, case.base(case.x))
    if key[0] == "dylora":
        return  # ours is then a plain LoRA, theirs a list of units of which the last has a gradient
    for each in (found, wanted):
        (each - 1).square().sum().backward()
    renamed = {"weight": "diff", "bias": "diff_b"} if key[0] == "full" else {}
    theirs = {renamed.get(name, name): parameter.grad for name, parameter in module.named_parameters()}
    same_gradients(gradients_by_suffix(ours), {name: grad for name, grad in theirs.items() if grad is not None})


@pytest.mark.parametrize(("key", "base_name"), CASES, ids=name_of)
def test_our_file_gives_our_output_there(key: Key, base_name: str) -> None:
    case = case_of(key, base_name)
    ours = case.stirred()
    file = file_of(ours)
    if key in THEIR_READER_FAILS:
        wrapped = loaded_by_lycoris(file, PAIRS[key], case)
    else:
        wrapped = read_by_lycoris(file, case.base)
    same_change(wrapped(case.x), case.output(ours), case.base(case.x))


@pytest.mark.parametrize(("key", "base_name"), CASES, ids=name_of)
def test_a_fresh_one_has_the_same_tensors(key: Key, base_name: str) -> None:
    case, pair = case_of(key, base_name), PAIRS[key]
    if key[0] == "dylora":
        pair = PAIRS["lora", ""]  # its files are plain LoRA; of a convolution's LyCORIS itself cannot read its DyLoRA's
    module, _ = applied_module(pair, case)
    theirs = {name: tuple(tensor.shape) for name, tensor in stored_by(module).items()}
    if key == ("lokr", "full"):
        del theirs["alpha"]
    ours = file_of(case.fresh())
    assert {name: tuple(tensor.shape) for name, tensor in ours.items()} == theirs
    if "alpha" in ours:
        # A limit of turns is in our blocks; LyCORIS writes it down.
        wanted = 0.0 if key[1] == "limited" else float(module.alpha)
        assert float(ours["alpha"]) == pytest.approx(wanted)


@pytest.mark.parametrize("base_name", BASES)
@pytest.mark.parametrize("name", ON_INPUT)
def test_dora_with_a_length_for_each_input(name: str, base_name: str) -> None:
    """LyCORIS cannot read such a file of its own (it expects the other axis), so a module with the setting is used."""
    case = make_case(name, ON_INPUT[name].ours, base_name)
    module, wrapped = applied_module(ON_INPUT[name], case)
    stir(module)
    ours = from_file(case.base, stored_by(module))
    same_change(case.output(ours), wrapped(case.x), case.base(case.x))
    stir(ours)
    again = loaded_by_lycoris(file_of(ours), ON_INPUT[name], case)
    same_change(again(case.x), case.output(ours), case.base(case.x))


# The written formulas, where LyCORIS does not do what it means


def product_of(t: dict[str, Tensor], shape: tuple[int, ...]) -> tuple[Tensor, int | None]:
    """The change of a weight before its scale, and the rank that alpha is divided by."""
    if "lora_up.weight" in t:
        up, down = t["lora_up.weight"].flatten(1), t["lora_down.weight"].flatten(1)
        return (up @ down).view(shape), len(down)
    if "hada_t1" in t:
        first, second = (
            torch.einsum("mnhw,mo,ni->oihw", t[f"hada_t{i}"], t[f"hada_w{i}_a"], t[f"hada_w{i}_b"]) for i in "12"
        )
        return first * second, t["hada_w1_b"].shape[0]
    if "hada_w1_a" in t:
        first, second = (t[f"hada_w{i}_a"] @ t[f"hada_w{i}_b"] for i in "12")
        return (first * second).view(shape), t["hada_w1_b"].shape[0]
    rank = next((t[name].shape[0] for name in ("lokr_w2_b", "lokr_w1_b") if name in t), None)
    small = t["lokr_w1"] if "lokr_w1" in t else t["lokr_w1_a"] @ t["lokr_w1_b"]
    if "lokr_t2" in t:
        large = torch.einsum("mnhw,mb,nd->bdhw", t["lokr_t2"], t["lokr_w2_a"], t["lokr_w2_b"])
    else:
        large = t["lokr_w2"] if "lokr_w2" in t else t["lokr_w2_a"] @ t["lokr_w2_b"]
    large = large.reshape(shape[0] // small.shape[0], shape[1] // small.shape[1], *shape[2:])
    return torch.einsum("ac,bd...->abcd...", small, large).reshape(shape), rank


def written(weight: Tensor, file: dict[str, Tensor]) -> Tensor:
    """The adapted weight in float64."""
    weight = weight.double()
    t = {name: tensor.double() for name, tensor in file.items()}
    if "on_input" in t:
        size = [1] * weight.ndim
        size[int(t["on_input"])] = -1
        return weight * (1 + t["weight"].view(size))
    product, rank = product_of(t, tuple(weight.shape))
    changed = weight + product * (1.0 if rank is None else float(t["alpha"]) / rank)
    if "dora_scale" not in t:
        return changed
    others = [axis for axis in range(weight.ndim) if t["dora_scale"].shape[axis] == 1]
    return t["dora_scale"] * changed / changed.square().sum(dim=others, keepdim=True).sqrt()


# loha, lokr: merging applies the scale twice where alpha is not the rank.
# ia3: cannot be read. dylora: alpha is divided by the units in play instead of the ranks.
JUDGED = [(key, base) for key in [*PAIRS, ("dylora", "units of two")] if key[0] in ("loha", "lokr", "ia3", "dylora")
          for base in BASES]  # fmt: skip


@pytest.mark.parametrize(("key", "base_name"), JUDGED, ids=name_of)
def test_ours_is_the_written_formula(key: Key, base_name: str) -> None:
    case = make_case(key[0], PAIRS[key].ours if key in PAIRS else {"unit": 2}, base_name)
    layer = case.stirred()
    check_written(case, layer, written(case.base.weight, file_of(layer)))


@pytest.mark.parametrize("base_name", BASES)
@pytest.mark.parametrize("name", ON_INPUT)
def test_a_length_for_each_input_is_the_written_formula(name: str, base_name: str) -> None:
    case = make_case(name, ON_INPUT[name].ours, base_name)
    module, _ = applied_module(ON_INPUT[name], case)
    layer = stir(from_file(case.base, stored_by(module)))
    check_written(case, layer, written(case.base.weight, file_of(layer)))


def check_written(case: Case, layer: Any, weight: Tensor) -> None:
    bias = getattr(case.base, "bias", None)
    wanted = applied(case.base, weight, None if bias is None else bias.double(), case.x.double())
    same_change(case.output(layer).double(), wanted, case.base(case.x))
    same_change(case.base.weight + layer.delta_weight(), weight, case.base.weight)


NORMS_WITHOUT_SHIFT: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "rms norm": (lambda: nn.RMSNorm(24, eps=1e-6), (3, 7, 24)),
    "layer norm without shift": (lambda: nn.LayerNorm(24, bias=False), (3, 7, 24)),
}


@pytest.mark.parametrize("name", NORMS_WITHOUT_SHIFT)
def test_norms_that_lycoris_cannot_train(name: str) -> None:
    """LyCORIS leaves an RMSNorm alone, and fails in a LayerNorm without shift."""
    case = make_case("norm", {}, name, NORMS_WITHOUT_SHIFT)
    layer = case.stirred()
    x = case.x.double()
    centred = x if name == "rms norm" else x - x.mean(-1, keepdim=True)
    scale = case.base.weight.double() + file_of(layer)["w_norm"].double()
    wanted = centred / (centred.square().mean(-1, keepdim=True) + case.base.eps).sqrt() * scale
    same_change(case.output(layer).double(), wanted, case.base(case.x))


# Shapes


def test_factors_are_theirs() -> None:
    for size in range(1, 400):
        for factor in (-1, *range(1, 33)):
            assert factorization(size, factor) == their_factorization(size, factor), (size, factor)


WIDE: dict[str, Callable[[], nn.Module]] = {
    "linear 320": lambda: nn.Linear(320, 320),
    "linear 768 to 1280": lambda: nn.Linear(768, 1280, bias=False),
    "conv 1x1": lambda: nn.Conv2d(320, 640, 1),
    "conv 3x3": lambda: nn.Conv2d(640, 320, 3, padding=1),
}


@pytest.mark.parametrize("base_name", WIDE)
@pytest.mark.parametrize("key", [key for key in PAIRS if key[0] not in ("norm", "boft")], ids=name_of)
def test_shapes_of_real_widths(key: Key, base_name: str) -> None:
    """What previews and plans count, without making a layer. Axes beyond the first are put together."""
    if key == ("ia3", "on input"):
        return  # which side a layer's factors have depends on its path
    torch.manual_seed(1)
    base, pair = WIDE[base_name](), PAIRS[key]
    rank = pair.ours.get("rank", 16)
    config_class = CONFIGS[key[0]]
    settings = {**pair.ours, "rank": rank, "conv_rank": rank}
    config = config_class(**{name: value for name, value in settings.items() if name in config_class.model_fields})
    kind = registry.network_type("lora" if key[0] == "dylora" else key[0])
    ours = {registry.suffix_of(kind, name): flat(shape)
            for name, shape in trained_shapes(weight_shape(base), config, key[0]).items()}  # fmt: skip
    module = pair.module("layer", base, lora_dim=rank, alpha=1.0, **pair.theirs)
    theirs = {name: flat(tensor.shape) for name, tensor in module.state_dict().items()}
    assert ours == {name: shape for name, shape in theirs.items() if name not in ("alpha", "on_input", "diff_b")}


@pytest.mark.parametrize("unbalanced", [False, True])
def test_lokr_factors_at_every_rank(unbalanced: bool) -> None:
    """Where a factor becomes a full matrix, to the rank."""
    base, forms = nn.Linear(96, 60), set()
    for rank in range(1, 20):
        config = CONFIGS["lokr"](rank=rank, decompose_both=True, unbalanced=unbalanced)
        ours = {f"lokr_{name}": shape for name, shape in trained_shapes((60, 96), config, "lokr").items()}
        module = LokrModule(
            "layer", base, lora_dim=rank, alpha=1.0, decompose_both=True, unbalanced_factorization=unbalanced
        )
        assert ours == {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}, rank
        forms.add(frozenset(ours))
    assert len(forms) == 3


def flat(shape: tuple[int, ...]) -> tuple[int, int]:
    first, *others = [size for size in shape if size != 1] or [1]
    return first, math.prod(others)


def test_boft_blocks_are_theirs_where_they_have_any() -> None:
    """LyCORIS wants a power of two of blocks: 1280 outputs it refuses at rank 8. Ours then turns other blocks."""
    same = 0
    for outputs in range(2, 400, 2):
        for rank in range(2, 33):
            rounds, blocks, size, _ = boft_shape(outputs, rank)
            their_size, their_blocks = power2factorization(outputs, rank)
            if their_size is None:
                assert blocks & (blocks - 1)
                continue
            assert (size, blocks) == (their_size, their_blocks), (outputs, rank)
            assert rounds == int(math.log2(blocks)) + 1
            same += 1
    assert same > 500


@pytest.mark.parametrize(("outputs", "rank"), [(40, 4), (24, 4), (60, 10)])
@pytest.mark.parametrize("rescaled", [False, True])
def test_boft_with_blocks_that_lycoris_would_not_choose(outputs: int, rank: int, rescaled: bool) -> None:
    """Its module refuses them, but its function turns with whatever blocks it is given."""
    bases = {"linear": (lambda: nn.Linear(12, outputs), (5, 12))}
    case = make_case("boft", {"rank": rank, "rescaled": rescaled}, "linear", bases)
    layer = case.stirred()
    file = file_of(layer)
    blocks = file["oft_blocks"].shape[1]
    assert blocks & (blocks - 1)
    scale = file["rescale"].view(-1, 1) if rescaled else None
    change = their_boft.diff_weight(case.base.weight, file["oft_blocks"], scale, constraint=0)
    wanted = applied(case.base, case.base.weight + change, case.base.bias, case.x)
    same_change(case.output(layer), wanted, case.base(case.x))
