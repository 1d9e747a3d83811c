"""A Stable Diffusion 2 of about a million parameters, which predicts velocity unless it is asked not to."""

from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

from tests.tiny import _original, _parts

WIDTH = 40
LAYOUTS = ("original", "unet_only", "diffusers")


def build(folder: Path, *, velocity: bool = True) -> Path:
    torch.manual_seed(768)
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=8,
        norm_num_groups=8,
        cross_attention_dim=WIDTH,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    vae = _parts.autoencoder(latent_channels=4, scale=0.18215)
    text_encoder = _parts.clip_text_encoder(WIDTH, hidden_act="gelu")
    _parts.stir(unet, vae, text_encoder)
    # Where the published models show what they predict: the last attention's first bias.
    unet.up_blocks[0].attentions[1].transformer_blocks[0].norm1.bias.data *= 2 if velocity else 0.3
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1, prediction_type="v_prediction" if velocity else "epsilon",
    )  # fmt: skip
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=_parts.clip_tokenizer(pad="!"),  # not the end token, as in the published model
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def single_file(folder: Path, out: Path, layout: str) -> Path:
    """`original`: as trained by Stability's program, with the one layer of OpenCLIP that is not used."""
    if layout == "diffusers":
        return _original.write(_original.component(folder, "unet")[0], out)
    tensors = _original.unet_and_vae(folder)
    if layout == "unet_only":
        tensors = {name: value for name, value in tensors.items() if name.startswith("model.")}
    else:
        clip = _original.component(folder, "text_encoder")[0]
        tensors |= _original.prefixed("cond_stage_model.model.", original_text(clip))
    return _original.write(tensors, out)


def original_text(clip: _original.Tensors) -> _original.Tensors:
    """OpenCLIP's names, with a last layer and a projection that the model does without."""
    plain = {name.removeprefix("text_model."): tensor for name, tensor in clip.items()}
    layers = 1 + max(int(name.split(".")[2]) for name in plain if name.startswith("encoder.layers."))
    last = f"encoder.layers.{layers - 1}."
    surplus = {
        f"encoder.layers.{layers}.{name.removeprefix(last)}": tensor + 1
        for name, tensor in plain.items()
        if name.startswith(last)
    }
    width = plain["final_layer_norm.weight"].shape[0]
    projection = {"text_projection.weight": plain["embeddings.position_embedding.weight"].new_ones(width, width)}
    return _original.open_clip(plain | surplus | projection)
