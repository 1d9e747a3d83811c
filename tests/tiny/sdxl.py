"""A Stable Diffusion XL of about a million parameters. The text encoders' widths differ, as in the real one."""

from pathlib import Path

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

from tests.tiny import _original, _parts

WIDTH, WIDTH_2 = 32, 48
LAYOUTS = ("original",)


# As in SSD-1B: shallower on the way down than on the way up, and nothing in the middle.
DISTILLED = {
    "transformer_layers_per_block": [0, [1]],
    "reverse_transformer_layers_per_block": [[1, 2], 0],
    "mid_block_type": "UNetMidBlock2D",
}


def build(folder: Path, *, distilled: bool = False) -> Path:
    torch.manual_seed(1024)
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=8,
        norm_num_groups=8,
        cross_attention_dim=WIDTH + WIDTH_2,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        **(DISTILLED if distilled else {"transformer_layers_per_block": (1, 2)}),
        projection_class_embeddings_input_dim=WIDTH_2 + 6 * 8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    vae = _parts.autoencoder(latent_channels=4, scale=0.13025)
    text_encoder = _parts.clip_text_encoder(WIDTH)
    text_encoder_2 = _parts.clip_text_encoder(WIDTH_2, projection=WIDTH_2)
    _parts.stir(unet, vae, text_encoder, text_encoder_2)
    StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=_parts.clip_tokenizer(),
        text_encoder_2=text_encoder_2,
        tokenizer_2=_parts.clip_tokenizer(),
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
            timestep_spacing="leading",
        ),
        add_watermarker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def single_file(folder: Path, out: Path, layout: str) -> Path:
    clip = _original.clip(_original.component(folder, "text_encoder")[0])
    open_clip = _original.open_clip(_original.component(folder, "text_encoder_2")[0])
    tensors = _original.unet_and_vae(folder)
    tensors |= _original.prefixed("conditioner.embedders.0.transformer.", clip)
    tensors |= _original.prefixed("conditioner.embedders.1.model.", open_clip)
    return _original.write(tensors, out)
