"""Who computes the denoiser's attention (`memory.attention`), through the dispatcher of diffusers."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention import AttentionModuleMixin
from diffusers.models.attention_dispatch import AttentionBackendName, attention_backend, dispatch_attention_fn
from diffusers.models.attention_processor import Attention, AttnProcessor2_0, JointAttnProcessor2_0
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_lumina2 import Lumina2AttnProcessor2_0
from torch import Tensor, nn

from loratory.errors import UserError

_CARD = "it needs an NVIDIA or AMD card, and memory.precision bf16 or fp16"
_HUB = "it needs an NVIDIA card, memory.precision bf16 or fp16, `pip install kernels` and, the first time, the network"
BACKENDS = {
    "sdpa": ("native", ""),
    "math": ("_native_math", ""),
    "efficient": ("_native_efficient", "it needs an NVIDIA or AMD card"),
    "flash": ("_native_flash", _CARD),
    "cudnn": ("_native_cudnn", "it needs an NVIDIA card, and memory.precision bf16 or fp16"),
    "flash_attn": ("flash", f"{_CARD} and `pip install flash-attn`"),
    "flash_attn_3": ("_flash_3", "it needs an NVIDIA Hopper card, memory.precision bf16 or fp16, and FlashAttention 3"),
    "flash_hub": ("flash_hub", _HUB),
    "flash_3_hub": ("_flash_3_hub", _HUB),
    "xformers": ("xformers", "it needs an NVIDIA or AMD card and `pip install xformers`"),
}
"""Values of `memory.attention`, what the dispatcher calls them, and what they need. Those that cannot train (Sage) are
not here."""


class DispatchedAttention:
    """What `AttnProcessor2_0` does for the UNets of Stable Diffusion, by way of the dispatcher, which that one does not
    ask. Older forms of attention (norms and residuals inside of it) are refused by `set_attention`."""

    _attention_backend: AttentionBackendName | None = None

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """(B, tokens, width) to the same shape; reads `encoder_hidden_states` where they are given."""
        read = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            projected.unflatten(-1, (attn.heads, -1))
            for projected in (attn.to_q(hidden_states), attn.to_k(read), attn.to_v(read))
        )
        if attention_mask is not None:
            attention_mask = attn.prepare_attention_mask(attention_mask, read.shape[1], read.shape[0])
            attention_mask = attention_mask.view(read.shape[0], attn.heads, -1, attention_mask.shape[-1])
        mixed = dispatch_attention_fn(query, key, value, attn_mask=attention_mask, backend=self._attention_backend)
        output: Tensor = mixed.flatten(2, 3)
        for layer in attn.to_out:
            output = layer(output)
        return output


class DispatchedJointAttention:
    """What `JointAttnProcessor2_0` does for Stable Diffusion 3, by way of the dispatcher: picture and text, each with
    projections of its own, read both; without a text the picture reads itself."""

    _attention_backend: AttentionBackendName | None = None

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """(B, tokens, width) each, to the same shapes; the text as it was mixed where the layer does not project it.

        The model knows no mask.
        """
        sides = [_projected(attn, hidden_states, "to_{}", "norm_{}")]
        if encoder_hidden_states is not None:
            sides.append(_projected(attn, encoder_hidden_states, "add_{}_proj", "norm_added_{}"))
        query, key, value = (torch.cat(parts, dim=1) for parts in zip(*sides, strict=True))
        mixed = dispatch_attention_fn(query, key, value, backend=self._attention_backend).flatten(2, 3)
        picture, text = mixed.split([hidden_states.shape[1], mixed.shape[1] - hidden_states.shape[1]], dim=1)
        for layer in attn.to_out:
            picture = layer(picture)
        if encoder_hidden_states is None:
            return picture
        return picture, text if attn.context_pre_only else attn.to_add_out(text)


class DispatchedGroupedAttention:
    """What `Lumina2AttnProcessor2_0` does for Lumina-Image 2, by way of the dispatcher: several heads of queries share
    one of keys and values."""

    _attention_backend: AttentionBackendName | None = None

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Tensor | None = None,
    ) -> Tensor:
        """(B, tokens, width) to the same shape; `attention_mask` (B, tokens) says what is attended to."""
        query, key, value = _projected(attn, hidden_states, "to_{}", "norm_{}")
        if image_rotary_emb is not None:
            query, key = (apply_rotary_emb(each, image_rotary_emb, use_real=False) for each in (query, key))
        key, value = (each.repeat_interleave(attn.heads // each.shape[2], dim=2) for each in (key, value))
        if attention_mask is not None:
            attention_mask = attention_mask.bool()[:, None, None, :]
        mixed = dispatch_attention_fn(query, key, value, attn_mask=attention_mask, backend=self._attention_backend)
        output: Tensor = mixed.flatten(2, 3)
        for layer in attn.to_out:
            output = layer(output)
        return output


def _projected(attn: Any, x: Tensor, projection: str, norm: str) -> list[Tensor]:
    """Queries, keys and values (B, tokens, heads, width of a head); the first two normed where the model does so."""
    parts = []
    width = attn.inner_dim // attn.heads
    for name in "qkv":
        part = getattr(attn, projection.format(name))(x).unflatten(-1, (-1, width))
        normed = None if name == "v" else getattr(attn, norm.format(name))
        parts.append(part if normed is None else normed(part))
    return parts


def check_attention(name: str, device: torch.device, precision: torch.dtype, width: int = 64) -> None:
    """Compute a tiny attention and its gradients with heads of this width.

    Raises UserError where `name` is not installed, or cannot do it on this device in this number format.
    """
    backend, needs = BACKENDS[name]
    try:
        # Also looks whether the package is there, and fetches what comes from the Hub.
        with torch.enable_grad(), attention_backend(backend):
            inputs = [torch.randn(1, 32, 2, width, device=device, dtype=precision).requires_grad_() for _ in range(3)]
            dispatch_attention_fn(*inputs).float().square().sum().backward()
        usable = all(each.grad is not None and bool(each.grad.isfinite().all() & each.grad.any()) for each in inputs)
        reason = "" if usable else "it gives no gradients to train with"
    except Exception as error:  # each package has its own kinds
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if reason:
        kind = f"{device.type}, {str(precision).removeprefix('torch.')}, heads of {width}"
        advice = "; ".join(part for part in (needs, "memory.attention auto works everywhere") if part)
        raise UserError(f"memory.attention: {name} does not work ({kind}): {reason.rstrip('.')}; {advice}.")


def set_attention(denoiser: nn.Module, name: str, device: torch.device, precision: torch.dtype) -> None:
    """Let `name` compute all attention of the denoiser. Raises UserError where it cannot."""
    widths = set()
    for path, module in denoiser.named_modules():
        if not isinstance(module, Attention | AttentionModuleMixin):
            continue
        if isinstance(module, Attention) and type(module.processor) is AttnProcessor2_0 and _is_plain(module):
            module.set_processor(DispatchedAttention())
        elif isinstance(module, Attention) and type(module.processor) is JointAttnProcessor2_0:
            module.set_processor(DispatchedJointAttention())
        elif isinstance(module, Attention) and type(module.processor) is Lumina2AttnProcessor2_0:
            module.set_processor(DispatchedGroupedAttention())
        processor: Any = module.processor
        if not hasattr(processor, "_attention_backend"):
            raise UserError(f"memory.attention: {path} has an attention of its own; set memory.attention to auto.")
        # As `set_attention_backend` does it, but not for every other model of this process, too.
        processor._attention_backend = AttentionBackendName(BACKENDS[name][0])
        widths.add(int(module.inner_dim // module.heads))
    for width in sorted(widths):
        check_attention(name, device, precision, width)


def _is_plain(module: Any) -> bool:
    parts = (module.spatial_norm, module.group_norm, module.norm_cross, module.norm_q, module.norm_k)
    return not any(parts) and not module.residual_connection and module.rescale_output_factor == 1.0
