"""The kept files for Stable Diffusion XL and Flux.1; see `make.py`."""

from __future__ import annotations

import json

import numpy as np
import torch

from tests.compat.files.formulas import Array, decomposed, low_rank, turned, turns, weight_of
from tests.compat.files.make import ADAPTER, CONV, DOWN, FILES, KOHYA, PEFT, TEXT_FC1, TEXT_Q, Made, flat, kept, unet

__all__ = ["FILES"]

# Stable Diffusion XL

BLOCK = "down_blocks.1.attentions.0.transformer_blocks.1"
TO_K, UP_OUT = f"{BLOCK}.attn2.to_k", "up_blocks.0.attentions.1.proj_out"
UPSAMPLER = "up_blocks.0.upsamplers.0.conv"
TEXT_2 = "encoder.layers.1.mlp.fc2"


def text_encoders(made: Made, first: str, second: str, suffixes: tuple[str, str] = KOHYA) -> None:
    made.lora(first, f"text_encoder.{TEXT_FC1}", (69, 32), 2, suffixes=suffixes)
    made.lora(second, f"text_encoder_2.{TEXT_2}", (48, 101), 2, suffixes=suffixes)


@kept
def sdxl_kohya(made: Made) -> None:
    """sd-scripts: the original block names."""
    made.lora("lora_unet_input_blocks_3_1_transformer_blocks_1_attn2_to_k", f"unet.{TO_K}", (64, 80), 4, 2.0)
    made.lora("lora_unet_output_blocks_1_1_proj_out", f"unet.{UP_OUT}", (64, 64), 4, 2.0)
    made.lora("lora_unet_input_blocks_1_0_in_layers_2", f"unet.{CONV}", (32, 32, 3, 3), 2, 1.0)
    made.lora("lora_unet_input_blocks_2_0_op", f"unet.{DOWN}", (32, 32, 3, 3), 2, 1.0)
    made.lora("lora_unet_output_blocks_1_2_conv", f"unet.{UPSAMPLER}", (64, 64, 3, 3), 1, 1.0)
    shortcut = "unet.down_blocks.1.resnets.0.conv_shortcut"
    made.lora("lora_unet_input_blocks_3_0_skip_connection", shortcut, (64, 32, 1, 1), 2, 1.0)
    text_encoders(made, flat("lora_te1_text_model", TEXT_FC1), flat("lora_te2_text_model", TEXT_2))


@kept
def sdxl_diffusers_blocks(made: Made) -> None:
    """Trainers on diffusers: kohya's suffixes and prefix, diffusers' block names."""
    made.lora(unet(TO_K), f"unet.{TO_K}", (64, 80), 4, 2.0)
    made.lora(unet(UP_OUT), f"unet.{UP_OUT}", (64, 64), 4, 2.0)
    made.lora(unet(CONV), f"unet.{CONV}", (32, 32, 3, 3), 2, 1.0)
    text_encoders(made, flat("lora_te1_text_model", TEXT_FC1), flat("lora_te2_text_model", TEXT_2))


@kept
def sdxl_diffusers(made: Made) -> None:
    """save_lora_weights of a DreamBooth script, with both text encoders."""
    made.metadata["lora_adapter_metadata"] = json.dumps({"unet.r": 4, "unet.lora_alpha": 8})
    made.lora(f"unet.{TO_K}", f"unet.{TO_K}", (64, 80), 4, suffixes=PEFT, scale=2.0)
    made.lora(f"unet.{UP_OUT}", f"unet.{UP_OUT}", (64, 64), 4, suffixes=PEFT, scale=2.0)
    text_encoders(made, f"text_encoder.text_model.{TEXT_FC1}", f"text_encoder_2.text_model.{TEXT_2}", PEFT)


@kept
def sdxl_comfyui(made: Made) -> None:
    """Original names behind `diffusion_model.`."""
    made.lora("diffusion_model.input_blocks.3.1.transformer_blocks.1.attn2.to_k", f"unet.{TO_K}", (64, 80), 4, 2.0)
    made.lora("diffusion_model.output_blocks.1.1.proj_out", f"unet.{UP_OUT}", (64, 64), 4, suffixes=PEFT)
    first, second = (f"text_encoders.{name}.transformer.text_model." for name in ("clip_l", "clip_g"))
    text_encoders(made, first + TEXT_FC1, second + TEXT_2, PEFT)


@kept
def sdxl_lycoris_norms(made: Made) -> None:
    """train_norm on the original block names: a residual block's norms are in_layers.0 and out_layers.0."""
    for name, path, size in (
        ("lora_unet_input_blocks_3_1_transformer_blocks_1_norm2", f"unet.{BLOCK}.norm2", 64),
        ("lora_unet_input_blocks_3_0_in_layers_0", "unet.down_blocks.1.resnets.0.norm1", 32),
        ("lora_unet_output_blocks_1_0_out_layers_0", "unet.up_blocks.0.resnets.1.norm2", 64),
    ):
        made.deltas[path] = made.draw(f"{name}.w_norm", size)
        made.biases[path] = made.draw(f"{name}.b_norm", size)


# Flux.1

DOUBLE, SINGLE = "transformer.transformer_blocks.0", "transformer.single_transformer_blocks.1"
QKV = [f"{DOUBLE}.attn.to_{part}" for part in "qkv"]
ADDED_QKV = [f"{DOUBLE}.attn.add_{part}_proj" for part in "qkv"]
LINEAR1 = [*(f"{SINGLE}.attn.to_{part}" for part in "qkv"), f"{SINGLE}.proj_mlp"]
WIDTHS = {"flux2": 64, "flux2_klein": 64, "chroma_radiance": 64}
"""Of tokens, where it is not 32."""
T5_Q = "encoder.block.1.layer.0.SelfAttention.q"
T5_WI = "encoder.block.0.layer.1.DenseReluDense.wi_1"


def fused(
    made: Made, name: str, paths: list[str], rank: int, alpha: float | None, suffixes: tuple[str, str] = KOHYA
) -> None:
    """One pair of factors for several layers: their rows lie one under the other."""
    width = WIDTHS.get(made.model, 32)
    heights = [4 * width if path.endswith("proj_mlp") else width for path in paths]
    whole = made.lora(name, "", (sum(heights), width), rank, alpha, suffixes)
    del made.deltas[""]
    for path, rows in zip(paths, np.split(whole, np.cumsum(heights)[:-1]), strict=True):
        made.deltas[path] = rows


@kept
def flux1_kohya(made: Made) -> None:
    """sd-scripts: fused layers of a rank that does not divide by the parts, modulation, CLIP and T5."""
    fused(made, "lora_unet_double_blocks_0_img_attn_qkv", QKV, 4, 2.0)
    fused(made, "lora_unet_double_blocks_0_txt_attn_qkv", ADDED_QKV, 3, 2.0)
    fused(made, "lora_unet_single_blocks_1_linear1", LINEAR1, 4, 1.0)
    made.lora("lora_unet_single_blocks_1_linear2", f"{SINGLE}.proj_out", (32, 160), 4, 2.0)
    made.lora("lora_unet_double_blocks_0_img_mod_lin", f"{DOUBLE}.norm1.linear", (192, 32), 2, 2.0)
    made.lora("lora_te1_text_model_encoder_layers_2_mlp_fc1", f"text_encoder.{TEXT_FC1}", (53, 24), 2, 1.0)
    made.lora(flat("lora_te3", T5_Q), f"text_encoder_2.{T5_Q}", (32, 32), 2, 1.0)


@kept
def flux1_kohya_block_diagonal(made: Made) -> None:
    """sd-scripts' split_qkv: trained apart, saved in one with the ranks added up and alpha as it was."""
    for name, paths, alpha in (
        ("lora_unet_double_blocks_0_img_attn_qkv", QKV, 2.0), ("lora_unet_single_blocks_1_linear1", LINEAR1, 4.0),
    ):  # fmt: skip
        rank, total = 2, 2 * len(paths)
        scale = made.alpha(name, alpha, total)
        down = made.draw(f"{name}.lora_down.weight", total, 32)
        heights = [128 if path.endswith("proj_mlp") else 32 for path in paths]
        up, row = np.zeros((sum(heights), total)), 0
        for turn, height in enumerate(heights):
            up[row : row + height, turn * rank : (turn + 1) * rank] = made.random.standard_normal((height, rank)) * 0.5
            row += height
        up = made.put(f"{name}.lora_up.weight", up)
        rows = np.split(scale * up @ down, np.cumsum(heights)[:-1])
        made.deltas |= dict(zip(paths, rows, strict=True))


def split_layers(made: Made, name_of: str, suffixes: tuple[str, str], alpha: float | None, dots: bool = True) -> None:
    """Some layers of the transformer under diffusers' names, behind a prefix."""
    for path, shape in (
        (f"{DOUBLE}.attn.to_q", (32, 32)), (f"{DOUBLE}.attn.add_k_proj", (32, 32)), (f"{SINGLE}.proj_mlp", (128, 32)),
        (f"{DOUBLE}.ff_context.net.2", (32, 128)),
    ):  # fmt: skip
        inside = path.removeprefix("transformer.")
        name = f"{name_of}{inside}" if dots else flat(name_of, inside)
        made.lora(name, path, shape, 4, alpha, suffixes)


@kept
def flux1_diffusers(made: Made) -> None:
    """save_lora_weights, with alpha in the header, and DreamBooth's CLIP."""
    made.metadata["lora_adapter_metadata"] = json.dumps({"transformer.r": 4, "transformer.lora_alpha": 4})
    split_layers(made, "transformer.", PEFT, None)
    made.lora(f"text_encoder.text_model.{TEXT_Q}", f"text_encoder.{TEXT_Q}", (24, 24), 2, suffixes=PEFT)


@kept
def flux1_onetrainer(made: Made) -> None:
    """OneTrainer: diffusers' names laid flat behind a prefix of its own."""
    made.dtype = torch.bfloat16
    split_layers(made, "lora_transformer", KOHYA, 2.0, dots=False)
    made.lora(flat("lora_te1_text_model", TEXT_Q), f"text_encoder.{TEXT_Q}", (24, 24), 2, 1.0)


@kept
def flux1_onetrainer_t5(made: Made) -> None:
    """OneTrainer calls T5 the second text encoder, where sd-scripts calls it the third."""
    made.lora(flat("lora_te1_text_model", TEXT_Q), f"text_encoder.{TEXT_Q}", (24, 24), 2, 1.0)
    made.lora(flat("lora_te2", T5_Q), f"text_encoder_2.{T5_Q}", (32, 32), 2, 1.0)
    made.lora(flat("lora_te2", T5_WI), f"text_encoder_2.{T5_WI}", (37, 32), 2, 1.0)


def lokr(made: Made, name: str, path: str, alpha: float) -> None:
    """A square layer of 32 as a product of 4x4 and 8x8, the larger of rank 2."""
    scale = made.alpha(name, alpha, 2)
    first = made.draw(f"{name}.lokr_w1", 4, 4)
    made.deltas[path] = scale * np.kron(
        first, made.draw(f"{name}.lokr_w2_a", 8, 2) @ made.draw(f"{name}.lokr_w2_b", 2, 8)
    )


@kept
def flux1_simpletuner(made: Made) -> None:
    """SimpleTuner with LyCORIS: diffusers' names laid flat; LoKr in full and factored."""
    lokr(made, "lycoris_transformer_blocks_0_attn_to_q", f"{DOUBLE}.attn.to_q", 1.0)
    lokr(made, "lycoris_single_transformer_blocks_1_attn_to_v", f"{SINGLE}.attn.to_v", 4.0)
    name = "lycoris_transformer_blocks_0_ff_net_0_proj"
    made.put(f"{name}.alpha", 10000.0)
    made.deltas[f"{DOUBLE}.ff.net.0.proj"] = np.kron(
        made.draw(f"{name}.lokr_w1", 8, 4), made.draw(f"{name}.lokr_w2", 16, 8)
    )


@kept
def flux1_raw_peft(made: Made) -> None:
    """A model that PEFT itself has saved."""
    split_layers(made, "base_model.model.", PEFT, None)


@kept
def flux1_peft_adapter_name(made: Made) -> None:
    """With the adapter's name, as some distilled LoRAs are published."""
    split_layers(made, "transformer.", ADAPTER, None)


@kept
def flux1_comfyui(made: Made) -> None:
    """Original names behind `diffusion_model.`; the last norm's halves lie the other way round there."""
    fused(made, "diffusion_model.double_blocks.0.img_attn.qkv", QKV, 4, None, PEFT)
    fused(made, "diffusion_model.single_blocks.1.linear1", LINEAR1, 2, 3.0)
    made.lora("diffusion_model.double_blocks.0.txt_mlp.2", f"{DOUBLE}.ff_context.net.2", (32, 128), 2, suffixes=PEFT)
    last = "transformer.norm_out.linear"
    native = made.lora("diffusion_model.final_layer.adaLN_modulation.1", last, (64, 32), 2, 1.0)
    made.deltas[last] = np.concatenate((native[32:], native[:32]))
    made.lora(f"text_encoders.t5xxl.transformer.{T5_Q}", f"text_encoder_2.{T5_Q}", (32, 32), 2, suffixes=PEFT)


@kept
def flux1_aitoolkit(made: Made) -> None:
    """ai-toolkit: PEFT's names without alpha, DoRA's lengths under a name of its own, LoKr with alpha."""
    for path in (f"{DOUBLE}.attn.to_q", f"{DOUBLE}.attn.to_out.0"):
        delta = made.lora(path, path, (32, 32), 4, suffixes=PEFT)
        lengths: Array = made.put(f"{path}.magnitude", 3 + np.abs(made.random.standard_normal(32)))
        made.deltas[path] = decomposed(weight_of((32, 32)), delta, lengths)
    lokr(made, f"{SINGLE}.attn.to_v", f"{SINGLE}.attn.to_v", 1.0)


@kept
def flux1_diffsynth(made: Made) -> None:
    """DiffSynth: diffusers' names with nothing before them, with and without the adapter's name."""
    split_layers(made, "", PEFT, None)
    made.lora("single_transformer_blocks.1.proj_out", f"{SINGLE}.proj_out", (32, 160), 4, suffixes=ADAPTER)


@kept
def flux1_xlabs(made: Made) -> None:
    """XLabs: the factors belong to the blocks' processors, 1 for the picture and 2 for the text."""
    suffixes = ("down.weight", "up.weight")
    block = "double_blocks.0.processor"
    fused(made, f"{block}.qkv_lora1", QKV, 4, None, suffixes)
    fused(made, f"{block}.qkv_lora2", ADDED_QKV, 4, None, suffixes)
    made.lora(f"{block}.proj_lora1", f"{DOUBLE}.attn.to_out.0", (32, 32), 4, suffixes=suffixes)
    made.lora(f"{block}.proj_lora2", f"{DOUBLE}.attn.to_add_out", (32, 32), 4, suffixes=suffixes)


@kept
def flux1_kohya_loha(made: Made) -> None:
    """LyCORIS on the original model: LoHa over a fused layer."""
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    scale = made.alpha(name, 1.0, 2)
    w1 = low_rank(made.draw(f"{name}.hada_w1_a", 96, 2), made.draw(f"{name}.hada_w1_b", 2, 32), (96, 32))
    w2 = low_rank(made.draw(f"{name}.hada_w2_a", 96, 2), made.draw(f"{name}.hada_w2_b", 2, 32), (96, 32))
    made.deltas |= dict(zip(QKV, np.split(scale * w1 * w2, 3), strict=True))


@kept
def flux1_kohya_lokr(made: Made) -> None:
    """LyCORIS on the original model: LoKr over a fused layer, whose parts are no Kronecker products."""
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    scale = made.alpha(name, 1.0, 2)
    first = made.draw(f"{name}.lokr_w1", 8, 4)
    whole = scale * np.kron(first, made.draw(f"{name}.lokr_w2_a", 12, 2) @ made.draw(f"{name}.lokr_w2_b", 2, 8))
    made.deltas |= dict(zip(QKV, np.split(whole, 3), strict=True))


@kept
def flux1_kohya_dora(made: Made) -> None:
    """LyCORIS on the original model: DoRA over a fused layer, one length for each of its rows."""
    name = "lora_unet_double_blocks_0_txt_attn_qkv"
    fused(made, name, ADDED_QKV, 4, 2.0)
    lengths = made.put(f"{name}.dora_scale", 3 + np.abs(made.random.standard_normal((96, 1))))
    for path, part in zip(ADDED_QKV, np.split(lengths, 3), strict=True):
        made.deltas[path] = decomposed(weight_of((32, 32)), made.deltas[path], part)


@kept
def flux1_kohya_diag_oft(made: Made) -> None:
    """LyCORIS on the original model: blocks of a fused layer's rows, none of which reaches over two parts."""
    name = "lora_unet_single_blocks_1_linear1"
    made.put(f"{name}.alpha", 0.0)
    rotations = turns(made.draw(f"{name}.oft_blocks", 28, 8, 8, size=0.2), 0.0)
    for path, part in zip(LINEAR1, np.split(rotations, [4, 8, 12]), strict=True):
        weight = weight_of((8 * len(part), 32))
        made.deltas[path] = turned(weight, part) - weight
