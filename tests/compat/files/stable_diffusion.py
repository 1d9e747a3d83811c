"""The kept files for Stable Diffusion 2 and 3; see `make.py`."""

from __future__ import annotations

import numpy as np

from tests.compat.files.make import (
    BLOCK,
    FILES,
    PEFT,
    PROJ_IN,
    TEXT_FC1,
    TEXT_Q,
    TO_K,
    TO_Q,
    Made,
    flat,
    kept,
    unet,
)
from tests.compat.files.others import fused

__all__ = ["FILES"]

# Stable Diffusion 2: the text is 40 wide, and projections are linear.


@kept
def sd2_kohya(made: Made) -> None:
    """sd-scripts with v2: diffusers' names of the UNet's layers."""
    made.metadata |= {"ss_network_module": "networks.lora", "ss_v2": "True", "ss_base_model_version": "sd_v2_v"}
    made.lora(unet(TO_Q), f"unet.{TO_Q}", (64, 64), 4, 2.0)
    made.lora(unet(TO_K), f"unet.{TO_K}", (64, 40), 2, 1.0)
    made.lora(unet(PROJ_IN), f"unet.{PROJ_IN}", (64, 64), 4, 2.0)
    made.lora(flat("lora_te_text_model", TEXT_FC1), f"text_encoder.{TEXT_FC1}", (85, 40), 2, 1.0)


@kept
def sd2_comfyui(made: Made) -> None:
    """Original names behind `diffusion_model.`, and ComfyUI's of OpenCLIP's ViT-H."""
    original = "diffusion_model.input_blocks.3.1.transformer_blocks.0"
    made.lora(f"{original}.attn2.to_k", f"unet.{BLOCK}.attn2.to_k", (64, 40), 4, 2.0)
    made.lora("diffusion_model.middle_block.1.proj_in", f"unet.{PROJ_IN}", (64, 64), 2, suffixes=PEFT)
    text = f"text_encoders.clip_h.transformer.text_model.{TEXT_Q}"
    made.lora(text, f"text_encoder.{TEXT_Q}", (40, 40), 4, 2.0)


# Stable Diffusion 3: three joint blocks, of which the last one's text is only read.

FIRST, LAST = "transformer.transformer_blocks.0", "transformer.transformer_blocks.2"
QKV = [f"{FIRST}.attn.to_{part}" for part in "qkv"]
SECOND_QKV = [f"{FIRST}.attn2.to_{part}" for part in "qkv"]
LAST_ADDED = [f"{LAST}.attn.add_{part}_proj" for part in "qkv"]
TEXT_2 = "encoder.layers.1.mlp.fc2"
T5_Q = "encoder.block.1.layer.0.SelfAttention.q"


def swapped(made: Made, name: str, path: str, rank: int, alpha: float) -> None:
    """The original has shift before scale, diffusers scale before shift."""
    shift, scale = np.split(made.lora(name, path, (64, 32), rank, alpha), 2)
    made.deltas[path] = np.concatenate([scale, shift])


@kept
def sd3_kohya(made: Made) -> None:
    """sd-scripts: fused layers, both attentions, the last block's modulation of the text, all text encoders."""
    made.metadata |= {"ss_network_module": "networks.lora_sd3", "ss_base_model_version": "5-medium"}
    fused(made, "lora_unet_joint_blocks_0_x_block_attn_qkv", QKV, 4, 2.0)
    fused(made, "lora_unet_joint_blocks_0_x_block_attn2_qkv", SECOND_QKV, 3, 2.0)
    fused(made, "lora_unet_joint_blocks_2_context_block_attn_qkv", LAST_ADDED, 2, 2.0)
    name = "lora_unet_joint_blocks_2_context_block_adaLN_modulation_1"
    swapped(made, name, f"{LAST}.norm1_context.linear", 4, 2.0)
    name = "lora_unet_joint_blocks_0_context_block_adaLN_modulation_1"
    made.lora(name, f"{FIRST}.norm1_context.linear", (192, 32), 2, 1.0)
    made.lora("lora_unet_joint_blocks_0_x_block_mlp_fc1", f"{FIRST}.ff.net.0.proj", (128, 32), 2, 1.0)
    made.lora("lora_unet_joint_blocks_0_context_block_attn_proj", f"{FIRST}.attn.to_add_out", (32, 32), 4, 2.0)
    made.lora(flat("lora_te1_text_model", TEXT_FC1), f"text_encoder.{TEXT_FC1}", (53, 24), 2, 1.0)
    made.lora(flat("lora_te2_text_model", TEXT_2), f"text_encoder_2.{TEXT_2}", (16, 37), 2, 1.0)
    made.lora(flat("lora_te3", T5_Q), f"text_encoder_3.{T5_Q}", (32, 48), 2, 1.0)


@kept
def sd3_diffusers(made: Made) -> None:
    """save_lora_weights of a DreamBooth script, with a text encoder."""
    made.lora(QKV[1], QKV[1], (32, 32), 4, suffixes=PEFT)
    made.lora(f"{LAST}.norm1_context.linear", f"{LAST}.norm1_context.linear", (64, 32), 2, suffixes=PEFT)
    name = f"text_encoder.text_model.{TEXT_FC1}"
    made.lora(name, f"text_encoder.{TEXT_FC1}", (53, 24), 2, suffixes=PEFT)


@kept
def sd3_onetrainer(made: Made) -> None:
    """OneTrainer: diffusers' paths, flattened behind `lora_transformer`."""
    for path, shape in ((QKV[0], (32, 32)), (f"{FIRST}.ff_context.net.2", (32, 128))):
        made.lora(flat("lora", path), path, shape, 4, 2.0)
    made.lora(flat("lora_te3", T5_Q), f"text_encoder_3.{T5_Q}", (32, 48), 2, 1.0)


@kept
def sd3_comfyui(made: Made) -> None:
    """Original names behind `diffusion_model.`, the last layer's modulation among them."""
    fused(made, "diffusion_model.joint_blocks.0.x_block.attn.qkv", QKV, 4, None, PEFT)
    swapped(made, "diffusion_model.final_layer.adaLN_modulation.1", "transformer.norm_out.linear", 2, 1.0)
    made.lora("diffusion_model.context_embedder", "transformer.context_embedder", (32, 48), 2, 1.0)
    text = f"text_encoders.clip_g.transformer.text_model.{TEXT_2}"
    made.lora(text, f"text_encoder_2.{TEXT_2}", (16, 37), 2, suffixes=PEFT)
