"""Stable Diffusion XL: a UNet told by two CLIP text encoders, a pooled text and the picture's sizes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from loratory.config.architectures import ArchitectureSpec
from loratory.config.architectures.header import strip_prefix
from loratory.config.identify import read_json
from loratory.config.text import TextConfig
from loratory.models.base import Components, Conditioning, NoiseSchedule, Source
from loratory.models.common import clip, convert, ddpm, vae
from loratory.models.common.checkpoint import Checkpoint
from loratory.models.common.loading import CONFIGS, Part, Request, gather

_PLACE = re.compile(
    r"(?:input_blocks\.(?P<input>\d+)\.1|output_blocks\.(?P<output>\d+)\.1|(?P<middle>middle_block|mid_block\.attentions)\.\d"
    r"|(?P<side>down|up)_blocks\.(?P<level>\d+)\.attentions\.(?P<turn>\d+))\.transformer_blocks\.(?P<depth>\d+)\..+"
)


def _fit_config(settings: dict[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    """The depths of the attentions as the file has them: SSD-1B and Vega have fewer, and none in the middle."""
    each, levels = settings["layers_per_block"], len(settings["block_out_channels"])
    down, up = [[0] * each for _ in range(levels)], [[0] * (each + 1) for _ in range(levels)]
    has_middle = False
    for name in strip_prefix(checkpoint.shapes):
        match = _PLACE.fullmatch(name)
        if match is None:
            continue
        depth = int(match["depth"]) + 1
        if match["middle"]:
            has_middle = True
            continue
        if match["side"]:
            side, level, turn = match["side"], int(match["level"]), int(match["turn"])
        elif match["input"]:
            side, (level, turn) = "down", divmod(int(match["input"]) - 1, each + 1)
        else:
            side, (level, turn) = "up", divmod(int(match["output"]), each + 1)
        row = (down if side == "down" else up)[level]
        row[turn] = max(row[turn], depth)
    # Levels without attention have a number in the config that says nothing.
    usual = settings["transformer_layers_per_block"]
    found = [row if any(row) else [usual[level]] * each for level, row in enumerate(down)]
    mirrored = all(set(row) == set(up[levels - 1 - level]) for level, row in enumerate(down))
    if has_middle and mirrored and all(len(set(row)) == 1 for row in found):
        return settings | {"transformer_layers_per_block": [row[0] for row in found]}
    return settings | {
        "transformer_layers_per_block": down,
        "reverse_transformer_layers_per_block": up,
        "mid_block_type": "UNetMidBlock2DCrossAttn" if has_middle else "UNetMidBlock2D",
    }


PARTS = (
    Part("unet", UNet2DConditionModel, convert.ldm_unet, convert_alone=convert.ldm_unet, adjust=_fit_config),
    Part("vae", vae.AnyPrecisionAutoencoder, convert.ldm_vae, convert.VAE_PREFIXES, convert.vae_file),
    Part("text_encoder", CLIPTextModel, convert.clip_l, convert.CLIP_PREFIXES, convert.clip_file),
    Part(
        "text_encoder_2",
        CLIPTextModelWithProjection,
        convert.open_clip,
        (convert.OPEN_CLIP_PREFIX,),
        convert.projected_clip_file,
    ),
)


class OwnTextPipeline(StableDiffusionXLPipeline):
    """A StableDiffusionXLPipeline that encodes texts with `encode` where that is given."""

    encode: Callable[[Sequence[str]], list[Conditioning]] | None = None

    def encode_prompt(self, prompt: Any, *arguments: Any, **named: Any) -> Any:
        """As StableDiffusionXLPipeline."""
        if self.encode is None:
            return super().encode_prompt(prompt, *arguments, **named)
        call = inspect.signature(super().encode_prompt).bind(prompt, *arguments, **named).arguments
        negative = call.get("negative_prompt")
        texts = [[text] if isinstance(text, str) else text for text in (prompt, negative or "")]
        found = [self.encode(text) for text in texts]
        names = ("hidden_states", "pooled")
        (hidden, pooled), others = ([torch.stack([each[name] for each in one]) for name in names] for one in found)
        if negative is None and self.config.force_zeros_for_empty_prompt:
            others = [torch.zeros_like(other) for other in others]
        return hidden, others[0].expand_as(hidden), pooled, others[1].expand_as(pooled)


@dataclass
class StableDiffusionXL:
    """The methods are those of `models.base.Architecture`."""

    spec: ArchitectureSpec
    components: Components
    noise_schedule: NoiseSchedule
    source: Source
    precision: torch.dtype
    scheduler: Any
    force_zeros_for_empty_prompt: bool
    """The pipeline takes zeros for a missing negative prompt (not for an empty one)."""
    text: TextConfig = field(default_factory=TextConfig)
    """How texts are encoded, captions and prompts alike. `clip_skip` has no effect: the model knows one layer only."""

    def encode_prompts(self, texts: Sequence[str]) -> list[Conditioning]:
        """`hidden_states` (77, sum of the encoders' widths; longer for long texts): the last layer but one of both,
        without a final norm; `pooled` (width): the projected end token of the second, of a long text's first piece.

        Padded, because these text encoders know no mask: padding reads the text before it and differs from text to
        text, and the UNet attends to it.
        """
        if not texts:
            return []
        names = (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2"))
        (first, _), (second, pooled) = (self._encode(*pair, texts) for pair in names)
        assert pooled is not None
        hidden = torch.cat([first, second], dim=-1)
        return [{"hidden_states": h, "pooled": p} for h, p in zip(hidden, pooled, strict=True)]

    def _encode(self, name: str, tokenizer: str, texts: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        encoder: Any = self.components.text_encoders[name]

        def run(ids: Tensor) -> tuple[Tensor, Tensor | None]:
            output = encoder(ids, output_hidden_states=True)
            return output.hidden_states[-2], getattr(output, "text_embeds", None)

        return clip.encode(self.components.tokenizers[tokenizer], texts, self.text, encoder.device, run)

    def collate(self, conditionings: Sequence[Conditioning]) -> Conditioning:
        """Stack; all texts have the same length."""
        return {name: torch.stack([one[name] for one in conditionings]) for name in ("hidden_states", "pooled")}

    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says."""
        return vae.encode_images(self.components.vae, pixels)

    def decode(self, latents: Tensor) -> Tensor:
        """As the protocol says."""
        return vae.decode(self.components.vae, latents)

    def predict(self, noisy: Tensor, times: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """As the protocol says."""
        # The order of `sizes` is the UNet's. In float32: the UNet embeds them in it, and bfloat16 would round an
        # original height of 1081 to 1080.
        added = {
            "text_embeds": conditioning["pooled"].to(self.precision),
            "time_ids": sizes.to(noisy.device, torch.float32),
        }
        output: Tensor = self.components.denoiser(
            noisy.to(self.precision),
            times,
            encoder_hidden_states=conditioning["hidden_states"].to(self.precision),
            added_cond_kwargs=added,
            return_dict=False,
        )[0]
        return output.float()

    def pipeline(self) -> StableDiffusionXLPipeline:
        """A StableDiffusionXLPipeline around the same modules, without watermark, which reads texts as we do."""
        pipeline = OwnTextPipeline(
            vae=self.components.vae,
            **self.components.text_encoders,
            **self.components.tokenizers,
            unet=self.components.denoiser,
            scheduler=ddpm.copy_scheduler(self.scheduler),
            force_zeros_for_empty_prompt=self.force_zeros_for_empty_prompt,
            add_watermarker=False,
        )
        if self.text != TextConfig():
            pipeline.encode = self.encode_prompts
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def load(request: Request) -> StableDiffusionXL:
    """Load from a folder in diffusers layout or a single file. Raises UserError for files that do not fit."""
    gathered = gather(request, PARTS, [CLIPTokenizer, CLIPTokenizer], CONFIGS / "sdxl")
    shapes = request.checkpoint.shapes if request.checkpoint else {}
    settings = gathered.configs("scheduler", "scheduler_config.json")
    scheduler = ddpm.load_scheduler(settings, request.config, shapes)
    index = read_json(gathered.configs("", "model_index.json") / "model_index.json")
    return StableDiffusionXL(
        spec=request.spec,
        components=gathered.load(),
        noise_schedule=ddpm.noise_schedule(scheduler),
        source=request.source,
        precision=request.precision,
        scheduler=scheduler,
        force_zeros_for_empty_prompt=bool(index.get("force_zeros_for_empty_prompt", True)),
    )
