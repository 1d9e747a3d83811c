"""A Stable Diffusion 1.5 of about a million parameters: two levels of the UNet, autoencoder with factor 8."""

from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

from tests.tiny import _original, _parts

WIDTH = 32
LAYOUTS = ("original", "unet_only")


def build(folder: Path) -> Path:
    torch.manual_seed(15)
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=8,
        norm_num_groups=8,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    vae = _parts.autoencoder(latent_channels=4, scale=0.18215)
    text_encoder = _parts.clip_text_encoder(WIDTH)
    _parts.stir(unet, vae, text_encoder)
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    )  # fmt: skip
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=_parts.clip_tokenizer(),
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def single_file(folder: Path, out: Path, layout: str) -> Path:
    """`original`: as trained by CompVis' program; `unet_only`: what some programs save of a fine-tuned model."""
    tensors = _original.unet_and_vae(folder)
    if layout == "unet_only":
        tensors = {name: value for name, value in tensors.items() if name.startswith("model.")}
    else:
        clip = _original.clip(_original.component(folder, "text_encoder")[0])
        tensors |= _original.prefixed("cond_stage_model.transformer.", clip)
    return _original.write(tensors, out)
