"""Stable Diffusion 1.5: a UNet told by the last hidden states of one CLIP text encoder."""

from __future__ import annotations

from dataclasses import replace

from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from loratory.models.common import convert, ddpm, vae
from loratory.models.common.loading import CONFIGS, Part, Request, gather
from loratory.models.common.stable_diffusion import StableDiffusion

PARTS = (
    Part("unet", UNet2DConditionModel, convert.ldm_unet, convert_alone=convert.ldm_unet),
    Part("vae", vae.AnyPrecisionAutoencoder, convert.ldm_vae, convert.VAE_PREFIXES, convert.vae_file),
    Part("text_encoder", CLIPTextModel, convert.clip_l, convert.CLIP_PREFIXES, convert.clip_file),
)


def load(request: Request) -> StableDiffusion:
    """Load from a folder in diffusers layout or a single file. Raises UserError for files that do not fit."""
    gathered = gather(request, PARTS, [CLIPTokenizer], CONFIGS / "sd15")
    shapes = request.checkpoint.shapes if request.checkpoint else {}
    settings = gathered.configs("scheduler", "scheduler_config.json")
    scheduler = ddpm.load_scheduler(settings, request.config, shapes)
    schedule = ddpm.noise_schedule(scheduler)
    source = request.source
    if schedule.prediction_type == "v_prediction":
        source = replace(source, base_model_version="sd_v1_v")
    return StableDiffusion(
        spec=request.spec,
        components=gathered.load(),
        noise_schedule=schedule,
        source=source,
        precision=request.precision,
        scheduler=scheduler,
    )
