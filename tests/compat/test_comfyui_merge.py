"""What ComfyUI makes of our files: its merge, written here from the published formulas, against our own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from loratory.config.architectures import SPECS
from loratory.config.network import LoraConfig
from loratory.networks.base import inject, weight_shapes
from loratory.networks.formats import export
from tests.architectures import each_with
from tests.compat.documented import NOT_FUSED_BY_KOHYA, TRANSFORMERS
from tests.compat.test_lora_files import checkpoint, pipeline_of
from tests.unit.networks.helpers import pipeline_model, stir
from tests.unit.networks.test_network_types import CONFIGS

VARIANTS: dict[str, dict[str, Any]] = {
    **{name: {} for name in CONFIGS if name != "ia3"},  # which ComfyUI does not read
    "lora, dora": {"decompose": True},
    "loha, dora": {"decompose": True},
    "lokr, dora": {"decompose": True},
    "lora, tucker": {"tucker": True},
    "lora, rank-stabilised": {"rank_stabilized": True},
    "lora, pissa": {"initialization": "pissa"},
    # ComfyUI counts the limit of turns in other units, and so it must not find one.
    "diag_oft, limited": {"constraint": 1e-4},
    "boft, limited": {"constraint": 1e-4},
}


def delta_of(weight: Tensor, part: dict[str, Tensor]) -> Tensor:
    """What is added to a weight in float64, before DoRA. `part` is by suffix."""
    shape = weight.shape
    if "diff" in part:
        return part["diff"]
    if "oft_blocks" in part:
        return turned(weight, part["oft_blocks"]) - weight
    if "lora_up.weight" in part:
        down, up = part["lora_down.weight"], part["lora_up.weight"].flatten(1)
        rank = down.shape[0]
        if "lora_mid.weight" in part:
            down = torch.einsum("mnhw,ni->mihw", part["lora_mid.weight"], down.flatten(1))
        product = (up @ down.flatten(1)).reshape(shape)
    elif "hada_w1_a" in part:
        rank = part["hada_w1_b"].shape[0]
        product = ((part["hada_w1_a"] @ part["hada_w1_b"]) * (part["hada_w2_a"] @ part["hada_w2_b"])).reshape(shape)
    elif "a1.weight" in part:
        rank = part["a2.weight"].shape[0]
        a1, a2, b1, b2 = (part[f"{name}.weight"].flatten(1) for name in ("a1", "a2", "b1", "b2"))
        product = torch.einsum("oi...,ij->oj...", weight, a1 @ a2) + (b1 @ b2).reshape(shape)
    else:
        w1 = part["lokr_w1"] if "lokr_w1" in part else part["lokr_w1_a"] @ part["lokr_w1_b"]
        w2 = part["lokr_w2"] if "lokr_w2" in part else part["lokr_w2_a"] @ part["lokr_w2_b"]
        rank = part["lokr_w2_b"].shape[0] if "lokr_w2_b" in part else 0
        product = torch.kron(w1, w2.flatten(1)).reshape(shape)
        if rank == 0:
            assert "alpha" not in part, "programs disagree on what it would mean"
            return product
    return product * (float(part["alpha"]) / rank)


def turned(weight: Tensor, blocks: Tensor) -> Tensor:
    """Diag-OFT (blocks of three axes) and BOFT (four) on the rows of a weight."""
    flat = weight.flatten(1)
    skew = blocks - blocks.transpose(-1, -2)
    one = torch.eye(skew.shape[-1], dtype=skew.dtype)
    turns = (one + skew) @ torch.linalg.inv(one - skew)
    if blocks.ndim == 3:
        parts = flat.reshape(blocks.shape[0], blocks.shape[1], -1)
        return torch.stack([turn.T @ part for turn, part in zip(turns, parts, strict=True)]).reshape(weight.shape)
    rows = torch.arange(len(flat))
    for stage, stage_turns in enumerate(turns):
        half = 2**stage * blocks.shape[-1] // 2
        order = rows.reshape(-1, 2, half).transpose(1, 2).reshape(-1)
        moved = flat[order].reshape(len(stage_turns), blocks.shape[-1], -1)
        result = torch.empty_like(flat)
        result[order] = torch.stack([a @ b for a, b in zip(stage_turns, moved, strict=True)]).reshape(flat.shape)
        flat = result
    return flat.reshape(weight.shape)


def merged(weight: Tensor, part: dict[str, Tensor]) -> Tensor:
    """W' of a weight, float64."""
    part = {name: tensor.double() for name, tensor in part.items()}
    weight = weight.double()
    changed = weight + delta_of(weight, part)
    if "dora_scale" in part:
        scale = part["dora_scale"]
        assert scale.shape[0] == weight.shape[0], "lengths of outputs"
        length = changed.flatten(1).norm(dim=1).reshape(-1, *(1,) * (weight.ndim - 1))
        changed = changed * (scale.reshape(length.shape) / length)
    return changed


# ComfyUI knows diffusers' names of Flux' and SD 3's layers as rows of its own: which layer, and the first row in units
# of width; the last block's modulation of the text with its halves the other way round.
def slices(name: str, path: str, width: int) -> tuple[str, int]:
    """The native layer's flattened name and the row at which a layer of the diffusers model begins in it."""
    if name == "lumina2":  # the tiny one's keys and values have half of the queries' heads
        start, _, part = path.removeprefix("lycoris_").rpartition("_attn_to_")
        return f"lora_unet_{start}_attention_qkv", {"q": 0, "k": width, "v": width + width // 2}[part]
    if name == "sd3":
        number, leaf = path.removeprefix("lycoris_transformer_blocks_").split("_", 1)
        block = f"lora_unet_joint_blocks_{number}"
        if leaf == "norm1_context_linear":
            return f"{block}_context_block_adaLN_modulation_1", 0
        turn = {"q": 0, "k": 1, "v": 2}[leaf.removesuffix("_proj")[-1]] * width
        if leaf.startswith("attn_add"):
            return f"{block}_context_block_attn_qkv", turn
        return f"{block}_x_block_{leaf.partition('_')[0]}_qkv", turn
    kind, number, leaf = path.removeprefix("lycoris_").replace("single_transformer_blocks", "single").replace(
        "transformer_blocks", "double").split("_", 2)  # fmt: skip
    order = {"attn_to_q": 0, "attn_to_k": 1, "attn_to_v": 2, "proj_mlp": 3, "attn_add_q_proj": 0,
             "attn_add_k_proj": 1, "attn_add_v_proj": 2}  # fmt: skip
    if kind == "single":
        return f"lora_unet_single_blocks_{number}_linear1", order[leaf] * width
    stream = "txt" if "add" in leaf else "img"
    return f"lora_unet_double_blocks_{number}_{stream}_attn_qkv", order[leaf] * width


@pytest.mark.slow
@pytest.mark.parametrize(("name", "variant"), each_with(VARIANTS, always=("lora",)))
def test_its_merge_of_our_file_is_ours(tiny_model: Any, name: str, variant: str) -> None:
    kind = CONFIGS[variant.partition(",")[0]]
    pipeline = pipeline_of(name, tiny_model(name))
    model = pipeline_model(SPECS[name], pipeline)
    wanted = {"rank": 4, "alpha": 2.0, "conv_rank": 2, "conv_alpha": 1.0, "unit": 2, **VARIANTS[variant]}
    if name in TRANSFORMERS:
        wanted = {key: value for key, value in wanted.items() if not key.startswith("conv") and key != "tucker"}
    # The tiny text encoders have odd sizes, which BOFT cannot turn.
    wanted = {key: value for key, value in wanted.items() if key in kind.model_fields}
    config = kind(train_text_encoders="boft" not in variant, **wanted)
    before = checkpoint(name, model)
    network = inject(model, config, seed=3).eval()
    stir(network, size=0.05)
    network.detach()
    tensors = export(network.state(), model.spec, "kohya", weight_shapes(model))
    network.merge()
    after = checkpoint(name, model)
    network.unmerge()

    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        layer, _, suffix = key.partition(".")
        parts.setdefault(layer, {})[suffix] = tensor
    theirs = {layer: weight.double() for layer, weight in before.items()}
    settings = model.components.denoiser.config
    width = 0
    if name in TRANSFORMERS.keys() - NOT_FUSED_BY_KOHYA and SPECS[name].fuses_layers:
        width = settings.get("hidden_size") or settings.num_attention_heads * settings.attention_head_dim
    for layer, part in parts.items():
        if layer in theirs:
            theirs[layer] = merged(theirs[layer], part)
            continue
        native, start = slices(name, layer, width)
        rows = next(len(tensor) for tensor in [delta_of_rows(part)])
        if rows == 2 * width:  # shift and scale
            theirs[native] = merged(theirs[native].roll(width, 0), part).roll(width, 0)
        else:
            theirs[native][start : start + rows] = merged(theirs[native][start : start + rows], part)
    assert any(not torch.equal(before[layer], after[layer]) for layer in before)
    for layer, weight in after.items():
        size = float((weight.double() - before[layer].double()).norm()) or 1.0
        assert float((theirs[layer] - weight.double()).norm()) <= 1e-3 * size + 1e-5, layer


def delta_of_rows(part: dict[str, Tensor]) -> Tensor:
    """Something with as many rows as the layer has outputs."""
    if "lokr_w1" in part or "lokr_w1_a" in part:
        w1 = part.get("lokr_w1", part.get("lokr_w1_a"))
        w2 = part.get("lokr_w2", part.get("lokr_w2_a"))
        assert w1 is not None and w2 is not None
        return torch.empty(w1.shape[0] * w2.shape[0], 0)
    if "oft_blocks" in part:
        return torch.empty(part["oft_blocks"].shape[-3] * part["oft_blocks"].shape[-1], 0)
    return part.get("b1.weight", part.get("lora_up.weight", part.get("diff", torch.empty(0))))


def test_every_type_is_compared() -> None:
    assert {variant.partition(",")[0] for variant in VARIANTS} == CONFIGS.keys() - {"ia3"}
    assert LoraConfig in CONFIGS.values()
