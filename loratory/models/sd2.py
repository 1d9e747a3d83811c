"""Stable Diffusion 2: a UNet told by the last layer but one of OpenCLIP's ViT-H; predicts noise or velocity."""

from __future__ import annotations

import re
from dataclasses import replace

from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from loratory.models.common import convert, ddpm, vae
from loratory.models.common.checkpoint import Checkpoint
from loratory.models.common.loading import CONFIGS, Part, Request, gather
from loratory.models.common.stable_diffusion import StableDiffusion

PARTS = (
    Part("unet", UNet2DConditionModel, convert.ldm_unet, convert_alone=convert.ldm_unet),
    Part("vae", vae.AnyPrecisionAutoencoder, convert.ldm_vae, convert.VAE_PREFIXES, convert.vae_file),
    # The config has one layer less than OpenCLIP's model, so that its last is the one that is used.
    Part("text_encoder", CLIPTextModel, convert.open_clip_h, (convert.SD2_CLIP_PREFIX,), convert.clip_file),
)

V_THRESHOLD = 0.09
"""Above this spread of the last attention's first bias a model predicts velocity. In the published models it is clearly
above where they do and clearly below where they predict noise; nothing else in a file tells the two apart."""

_LAST_BIAS = re.compile(
    r"(?:.*\.)?(?:output_blocks\.(\d+)\.1|up_blocks\.(\d+)\.attentions\.(\d+))\.transformer_blocks\.0\.norm1\.bias"
)


def seen_prediction_type(checkpoint: Checkpoint) -> str | None:
    """What a single file's weights show: the file is neither named nor shaped by it. None without such a tensor."""
    matches = [match for name in checkpoint.shapes if (match := _LAST_BIAS.fullmatch(name))]
    if not matches:
        return None
    last = max(matches, key=lambda match: [int(number) for number in match.groups() if number is not None])
    spread = float(checkpoint.tensor(last[0]).float().std())
    return "v_prediction" if spread > V_THRESHOLD else "epsilon"


def load(request: Request) -> StableDiffusion:
    """Load from a folder in diffusers layout or a single file. Raises UserError for files that do not fit."""
    gathered = gather(request, PARTS, [CLIPTokenizer], CONFIGS / "sd2")
    checkpoint = request.checkpoint
    scheduler = ddpm.load_scheduler(
        gathered.configs("scheduler", "scheduler_config.json"),
        request.config,
        checkpoint.shapes if checkpoint else {},
        seen=seen_prediction_type(checkpoint) if checkpoint else None,
    )
    schedule = ddpm.noise_schedule(scheduler)
    source = request.source
    if schedule.prediction_type == "v_prediction":
        source = replace(source, base_model_version="sd_v2_v", modelspec_architecture="stable-diffusion-v2-768-v")
    return StableDiffusion(
        spec=request.spec,
        components=gathered.load(),
        noise_schedule=schedule,
        source=source,
        precision=request.precision,
        scheduler=scheduler,
    )
