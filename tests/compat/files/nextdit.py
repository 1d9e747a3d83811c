"""The kept files for Z-Image and Lumina-Image 2; see `make.py`."""

from __future__ import annotations

import numpy as np

from tests.compat.files.make import FILES, KOHYA, PEFT, Made, kept

__all__ = ["FILES"]

# Of the tiny models: the last block.
BLOCK = "transformer.layers.1"
ZIMAGE_QKV = {f"{BLOCK}.attention.to_{part}": 64 for part in "qkv"}


def fused(made: Made, name: str, rows: dict[str, int], rank: int, alpha: float | None) -> None:
    """One pair of factors for layers that read the same 64 numbers: their rows lie one under the other."""
    whole = made.lora(name, "", (sum(rows.values()), 64), rank, alpha, KOHYA)
    del made.deltas[""]
    for path, part in zip(rows, np.split(whole, np.cumsum(list(rows.values()))[:-1]), strict=True):
        made.deltas[path] = part


@kept
def zimage_musubi(made: Made) -> None:
    """musubi-tuner: kohya's way with diffusers' names."""
    made.metadata |= {"ss_network_module": "networks.lora_zimage", "ss_base_model_version": "z_image"}
    made.lora("lora_unet_layers_1_attention_to_k", f"{BLOCK}.attention.to_k", (64, 64), 4, 2.0)
    made.lora("lora_unet_layers_1_attention_to_out_0", f"{BLOCK}.attention.to_out.0", (64, 64), 4, 1.0)
    made.lora("lora_unet_layers_1_feed_forward_w1", f"{BLOCK}.feed_forward.w1", (170, 64), 2, 1.0)


@kept
def zimage_aitoolkit(made: Made) -> None:
    """ai-toolkit, which also wrote the training adapters of Turbo: diffusers' names behind `diffusion_model.`."""
    start = BLOCK.replace("transformer", "diffusion_model")
    made.lora(f"{start}.attention.to_q", f"{BLOCK}.attention.to_q", (64, 64), 4, suffixes=PEFT)
    made.lora(f"{start}.feed_forward.w2", f"{BLOCK}.feed_forward.w2", (64, 170), 4, suffixes=PEFT)
    made.lora(f"{start}.adaLN_modulation.0", f"{BLOCK}.adaLN_modulation.0", (256, 64), 4, suffixes=PEFT)


@kept
def zimage_comfyui(made: Made) -> None:
    """The names of ComfyUI's own model, which has one layer for queries, keys and values."""
    fused(made, "diffusion_model.layers.1.attention.qkv", ZIMAGE_QKV, 4, 2.0)
    made.lora("diffusion_model.layers.1.attention.out", f"{BLOCK}.attention.to_out.0", (64, 64), 4, 1.0)
    refiner = "noise_refiner.0.feed_forward.w3"
    made.lora(f"diffusion_model.{refiner}", f"transformer.{refiner}", (170, 64), 2, 1.0)


@kept
def zimage_kohya_fused(made: Made) -> None:
    """musubi-tuner's file after its conversion for ComfyUI."""
    fused(made, "lora_unet_layers_1_attention_qkv", ZIMAGE_QKV, 4, 2.0)
    made.lora("lora_unet_layers_1_attention_out", f"{BLOCK}.attention.to_out.0", (64, 64), 4, 1.0)


LUMINA_QKV = {f"{BLOCK}.attn.to_q": 64, f"{BLOCK}.attn.to_k": 32, f"{BLOCK}.attn.to_v": 32}


@kept
def lumina2_kohya(made: Made) -> None:
    """sd-scripts: the native names, the last layer, and Gemma."""
    made.metadata |= {"ss_network_module": "networks.lora_lumina", "ss_base_model_version": "lumina2"}
    fused(made, "lora_unet_layers_1_attention_qkv", LUMINA_QKV, 4, 2.0)
    refiner = "transformer.context_refiner.0"
    made.lora("lora_unet_context_refiner_0_feed_forward_w2", f"{refiner}.feed_forward.linear_2", (64, 144), 4, 1.0)
    made.lora("lora_unet_layers_1_adaLN_modulation_1", f"{BLOCK}.norm1.linear", (256, 64), 4, 1.0)
    made.lora("lora_unet_final_layer_linear", "transformer.norm_out.linear_2", (64, 64), 2, 1.0)
    made.lora("lora_te_layers_0_self_attn_q_proj", "text_encoder.layers.0.self_attn.q_proj", (32, 40), 2, 1.0)


@kept
def lumina2_diffusers(made: Made) -> None:
    """save_lora_weights, and ai-toolkit, which has the same names."""
    made.lora(f"{BLOCK}.attn.to_k", f"{BLOCK}.attn.to_k", (32, 64), 4, suffixes=PEFT)
    made.lora(f"{BLOCK}.attn.to_out.0", f"{BLOCK}.attn.to_out.0", (64, 64), 4, suffixes=PEFT)
