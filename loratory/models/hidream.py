"""HiDream-I1: a transformer whose feed-forward layers are mixtures of experts, told by CLIP, T5 and every layer of
Llama; trained by flow matching."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
from diffusers import HiDreamImagePipeline, HiDreamImageTransformer2DModel
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.transformers.transformer_hidream_image import (
    HiDreamAttention,
    MOEFeedForwardSwiGLU,
    apply_rope,
)
from torch import Tensor
from transformers import (
    AutoTokenizer,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    LlamaForCausalLM,
    T5EncoderModel,
    T5TokenizerFast,
)

from loratory.config.architectures import ArchitectureSpec
from loratory.config.identify import read_json
from loratory.errors import UserError
from loratory.models.base import Components, Conditioning, Source
from loratory.models.common import convert, vae
from loratory.models.common.checkpoint import Checkpoint, Tensors
from loratory.models.common.loading import CONFIGS, Gathered, Part, Request, gather
from loratory.models.common.pipelines import around

TEXT_LENGTH = 128
"""Tokens of every text encoder."""

SCHEDULERS = ("FlowMatchEulerDiscreteScheduler", "FlowMatchLCMScheduler", "UniPCMultistepScheduler")
"""Full is sampled with UniPC, Dev and Fast are with LCM."""


# The transformer


class RoutedExperts(MOEFeedForwardSwiGLU):
    """A mixture of experts with gradients: diffusers (0.42) computes the chosen experts without any in evaluation mode,
    and its training mode puts the picture together in another way.

    How many tokens each expert gets has to be known to cut them, so each of these layers waits for the device.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, tokens, width) to the same; the sums are diffusers', in its order."""
        indices, weights, _ = self.gate(x)
        routed = self._routed(x.reshape(-1, x.shape[-1]), indices.flatten(), weights.reshape(-1, 1))
        mixed: Tensor = routed.view(x.shape) + self.shared_experts(x)
        return mixed

    def _routed(self, tokens: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum of each token's experts; `indices` are experts, those of one token side by side."""
        order = indices.argsort(stable=True)
        ends = indices.bincount(minlength=len(self.experts)).cumsum(0).tolist()
        result = torch.zeros_like(tokens)
        for expert, start, end in zip(self.experts, [0, *ends], ends, strict=False):
            if start == end:
                continue
            chosen = order[start:end]
            places = chosen // self.num_activated_experts
            # No token goes to one expert twice, so that no order of sums is left to chance.
            output = expert(tokens[places]) * weights[chosen]
            result = result.to(output.dtype).index_add(0, places, output)
        return result


class DispatchedAttention:
    """What `HiDreamAttnProcessor` does, by way of the dispatcher, so that `memory.attention` has an effect.

    Places of the picture that are only filled up are not masked: their keys are zeros, as the model was trained.
    """

    _attention_backend: Any = None

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        hidden_states_masks: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        image_rotary_emb: Any = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """(B, tokens, width) each, to the same shapes; without a text of its own, one stream has both."""
        query, key, value = _projected(attn, hidden_states, "")
        if hidden_states_masks is not None:
            key = key * hidden_states_masks[:, :, None, None]
        if encoder_hidden_states is not None:
            text = _projected(attn, encoder_hidden_states, "_t")
            query, key, value = (torch.cat(pair, dim=1) for pair in zip((query, key, value), text, strict=True))
        turned = 2 * image_rotary_emb.shape[-3]
        parts = apply_rope(query[..., :turned], key[..., :turned], image_rotary_emb)
        query, key = (torch.cat([a, b[..., turned:]], dim=-1) for a, b in zip(parts, (query, key), strict=True))
        mixed = dispatch_attention_fn(query, key, value, backend=self._attention_backend).flatten(2, 3)
        if encoder_hidden_states is None:
            output: Tensor = attn.to_out(mixed)
            return output
        picture, text = mixed.split([hidden_states.shape[1], encoder_hidden_states.shape[1]], dim=1)
        return attn.to_out(picture), attn.to_out_t(text)


def _projected(attn: Any, x: Tensor, stream: str) -> list[Tensor]:
    """Queries, keys and values (B, tokens, heads, width of a head) of one stream; the first two normed."""
    query = getattr(attn, f"q_rms_norm{stream}")(getattr(attn, f"to_q{stream}")(x)).to(x.dtype)
    key = getattr(attn, f"k_rms_norm{stream}")(getattr(attn, f"to_k{stream}")(x)).to(x.dtype)
    value = getattr(attn, f"to_v{stream}")(x)
    return [part.unflatten(-1, (attn.heads, -1)) for part in (query, key, value)]


class Transformer(HiDreamImageTransformer2DModel):
    """A HiDreamImageTransformer2DModel that knows its repeated blocks, for compiling them, and the sizes of its
    pictures without asking the device."""

    _repeated_blocks = ("HiDreamImageTransformerBlock", "HiDreamImageSingleTransformerBlock")

    def patchify(self, hidden_states: Tensor) -> Any:
        """As HiDreamImageTransformer2DModel; the sizes are a list."""
        tokens, masks, _, ids = super().patchify(hidden_states)
        height, width = (side // self.config.patch_size for side in hidden_states.shape[-2:])
        return tokens, masks, [(height, width)] * len(hidden_states), ids


def prepare(transformer: Any) -> None:
    """Let gradients pass the experts, and attention be chosen."""
    for module in transformer.modules():
        if isinstance(module, HiDreamAttention):
            module.set_processor(DispatchedAttention())
        if isinstance(module, MOEFeedForwardSwiGLU):
            module.__class__ = RoutedExperts


def _fit_config(settings: dict[str, Any], checkpoint: Checkpoint) -> dict[str, Any]:
    """The numbers of blocks, as the file has them; the last text is that of the last layer."""
    found = {}
    for entry, name in (("num_layers", "double_stream_blocks."), ("num_single_layers", "single_stream_blocks.")):
        numbers = [int(path.partition(name)[2].partition(".")[0]) for path in checkpoint.shapes if name in path]
        found[entry] = max(numbers, default=-1) + 1
    return settings | found | {"llama_layers": settings["llama_layers"][: sum(found.values())]}


class AnySizePipeline(HiDreamImagePipeline):
    """A HiDreamImagePipeline for pictures of the size that is asked for; diffusers' own brings every size to the area
    of 1024 x 1024."""

    def __call__(self, *arguments: Any, height: int | None = None, width: int | None = None, **named: Any) -> Any:
        """As HiDreamImagePipeline. Raises UserError for pictures that the model cannot take."""
        height, width = height or 1024, width or 1024
        factor = self.vae_scale_factor
        _check_size(self.transformer, height // factor, width // factor)
        # A little more than the side of a square of this area, since the sides found are rounded down.
        self.default_sample_size = math.sqrt(height * width) * (1 + 1e-9) / factor
        return super().__call__(*arguments, height=height, width=width, **named)


def _check_size(transformer: Any, height: int, width: int) -> None:
    """Pictures that are not square are filled up to a number of tokens, so they cannot have more."""
    patch, most = transformer.config.patch_size, transformer.max_seq
    tokens = (height // patch) * (width // patch)
    if height != width and tokens > most:
        raise UserError(
            f"HiDream-I1 takes pictures of at most {most * patch**2 * 64:,} pixels if they are not square, and this "
            f"one has {tokens * patch**2 * 64:,}; choose a smaller size."
        )


# Loading

CLIP_L_PREFIX, CLIP_G_PREFIX = "text_encoders.clip_l.transformer.", "text_encoders.clip_g.transformer."
T5_PREFIX, LLAMA_PREFIX = "text_encoders.t5xxl.transformer.", "text_encoders.llama.transformer."


def _llama_of_model(tensors: Tensors, config: dict[str, Any]) -> Tensors:
    return convert.with_prefix(tensors, (LLAMA_PREFIX,))


PARTS = (
    Part(
        "transformer",
        Transformer,
        convert.plain_denoiser,
        convert_alone=convert.plain_denoiser,
        adjust=_fit_config,
    ),
    Part("vae", vae.AnyPrecisionAutoencoder, convert.ldm_vae, convert.VAE_PREFIXES, convert.vae_file),
    Part(
        "text_encoder",
        CLIPTextModelWithProjection,
        convert.projected_clip(CLIP_L_PREFIX),
        (CLIP_L_PREFIX,),
        convert.maybe_projected_clip_file,
    ),
    Part(
        "text_encoder_2",
        CLIPTextModelWithProjection,
        convert.projected_clip(CLIP_G_PREFIX),
        (CLIP_G_PREFIX,),
        convert.maybe_projected_clip_file,
    ),
    Part("text_encoder_3", T5EncoderModel, convert.t5(T5_PREFIX), (T5_PREFIX,)),
    Part("text_encoder_4", LlamaForCausalLM, _llama_of_model, (LLAMA_PREFIX,)),
)


@dataclass
class HiDream:
    """The methods are those of `models.base.Architecture`."""

    spec: ArchitectureSpec
    components: Components
    source: Source
    precision: torch.dtype
    scheduler: Any
    text_length: int = TEXT_LENGTH
    """Tokens of a text that are read at most."""
    noise_schedule: None = None

    def encode_prompts(self, texts: Sequence[str]) -> list[Conditioning]:
        """`t5` (128, width): its last layer. `llama` (layers, 128, width): every layer's output. `pooled`: the
        projected end tokens of both CLIP encoders.

        Padded, because the transformer runs without a mask: padding is attended to and differs from text to text.
        """
        if not texts:
            return []
        pooled = torch.cat([self._clip("text_encoder", texts), self._clip("text_encoder_2", texts)], dim=-1)
        ids, mask = self._ids("tokenizer_3", texts)
        t5: Any = self.components.text_encoders["text_encoder_3"]
        long = t5(ids.to(t5.device), attention_mask=mask.to(t5.device)).last_hidden_state
        ids, mask = self._ids("tokenizer_4", texts)
        llama: Any = self.components.text_encoders["text_encoder_4"]
        output = llama.model(  # without the last layer, which would guess the next words
            ids.to(llama.device), attention_mask=mask.to(llama.device), output_hidden_states=True, use_cache=False
        )
        layers = torch.stack(output.hidden_states[1:], dim=1)
        return [{"t5": a, "llama": b, "pooled": c} for a, b, c in zip(long, layers, pooled, strict=True)]

    def _ids(self, name: str, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        tokenizer: Any = self.components.tokenizers[name]
        length = min(self.text_length, tokenizer.model_max_length)
        encoded = tokenizer(
            list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )  # fmt: skip
        return encoded.input_ids, encoded.attention_mask

    def _clip(self, name: str, texts: Sequence[str]) -> Tensor:
        """(B, width). These CLIPs were made for texts of up to 248 tokens."""
        encoder: Any = self.components.text_encoders[name]
        tokenizer: Any = self.components.tokenizers[name.replace("text_encoder", "tokenizer")]
        ids = tokenizer(
            list(texts), padding="max_length", max_length=self.text_length, truncation=True, return_tensors="pt"
        ).input_ids
        pooled: Tensor = encoder(ids.to(encoder.device)).text_embeds
        return pooled

    def collate(self, conditionings: Sequence[Conditioning]) -> Conditioning:
        """Stack; all texts have the same length."""
        return {name: torch.stack([one[name] for one in conditionings]) for name in ("t5", "llama", "pooled")}

    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """As the protocol says."""
        return vae.encode_images(self.components.vae, pixels)

    def decode(self, latents: Tensor) -> Tensor:
        """As the protocol says."""
        return vae.decode(self.components.vae, latents)

    def predict(self, noisy: Tensor, times: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """As the protocol says, `times` being sigma; `sizes` has no effect. What the net gives is picture - noise."""
        denoiser: Any = self.components.denoiser
        _check_size(denoiser, *noisy.shape[-2:])
        output: Tensor = denoiser(
            hidden_states=noisy.to(self.precision),
            # In float32, as the pipeline has it: the model's sines need more than bfloat16's steps of 4 at 1000.
            timesteps=times * 1000,
            encoder_hidden_states_t5=conditioning["t5"].to(self.precision),
            encoder_hidden_states_llama3=conditioning["llama"].to(self.precision).transpose(0, 1),
            pooled_embeds=conditioning["pooled"].to(self.precision),
            return_dict=False,
        )[0]
        return -output.float()

    def pipeline(self) -> HiDreamImagePipeline:
        """A HiDreamImagePipeline around the same modules, for any size."""
        return around(AnySizePipeline, self.components, self.scheduler)


def _scheduler(gathered: Gathered) -> Any:
    place = gathered.configs("scheduler", "scheduler_config.json")
    settings = read_json(place / "scheduler_config.json")
    name = settings.get("_class_name")
    if name not in SCHEDULERS:
        raise UserError(
            f"{place}: the scheduler {name} is not known for HiDream-I1; it may be {', '.join(SCHEDULERS)}."
        )
    return getattr(diffusers, name).from_config(settings)


def load(request: Request) -> HiDream:
    """Load from a folder in diffusers layout or a single file. Raises UserError for files that do not fit."""
    tokenizers = [CLIPTokenizer, CLIPTokenizer, T5TokenizerFast, AutoTokenizer]
    gathered = gather(request, PARTS, tokenizers, CONFIGS / "hidream")
    scheduler = _scheduler(gathered)
    components = gathered.load()
    tokenizer: Any = components.tokenizers["tokenizer_4"]
    tokenizer.pad_token = tokenizer.eos_token  # Llama's has none; the pipeline does the same
    prepare(components.denoiser)
    return HiDream(
        spec=request.spec,
        scheduler=scheduler,
        components=components,
        source=request.source,
        precision=request.precision,
    )
