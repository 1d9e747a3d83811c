"""Models of true size on the meta device: shapes without numbers, in which memory can be counted on any machine."""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, get_type_hints

import diffusers
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from loratory.config.architectures.base import ArchitectureSpec
from loratory.models import hidream
from loratory.models.base import Architecture, Components, Conditioning
from loratory.models.common import chroma, vae
from loratory.models.common.qwen_vae import FrameAutoencoder
from scripts.module_tables import CONFIGS, from_config

HALF = torch.bfloat16


class Fused(torch.autograd.Function):
    """As much of a fused kernel of attention as there is to count: it keeps its inputs, its output and one number for
    each query."""

    results: ClassVar[Callable[[int], None]] = staticmethod(lambda size: None)
    """Told the bytes of each result: output and numbers."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output = torch.empty_like(query)
        sums = torch.empty(query.shape[:-1], dtype=torch.float32, device=query.device)
        ctx.save_for_backward(query, key, value, output, sums)
        Fused.results(output.nbytes + sums.nbytes)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        query, key, value, _, _ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _routed_evenly(self: Any, tokens: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """HiDream's experts with an even share of the tokens for each, as nobody can tell without numbers."""
    result = torch.zeros_like(tokens)
    each = tokens.shape[0] * self.num_activated_experts // len(self.experts)
    for number, expert in enumerate(self.experts):
        part = slice(number * each, (number + 1) * each)
        places = torch.arange(each, device=tokens.device)
        result = result.index_add(0, places, expert(tokens[places]) * weights[part])
    return result


_attention = F.scaled_dot_product_attention


def _fused(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    if not query.is_meta:
        return _attention(query, key, value, *args, **kwargs)
    return Fused.apply(query, key, value)  # type: ignore[no-any-return]


@contextmanager
def without_content() -> Iterator[None]:
    """Within the block the meta device does what it lacks."""
    changes: list[tuple[Any, str, Any]] = [
        (F, "scaled_dot_product_attention", _fused),
        (torch, "is_autocast_enabled", lambda *_: False),
        (hidream.RoutedExperts, "_routed", _routed_evenly),
    ]
    before = [getattr(place, name) for place, name, _ in changes]
    for place, name, stand_in in changes:
        setattr(place, name, stand_in)
    try:
        yield
    finally:
        for (place, name, _), original in zip(changes, before, strict=True):
            setattr(place, name, original)


class Live(TorchDispatchMode):
    """Counts the bytes of tensors that are made within it, and how many there were at the most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {each.untyped_storage()._cdata for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        output = operator(*args, **kwargs or {})
        for each in tree_leaves(output):
            if isinstance(each, Tensor) and each.untyped_storage()._cdata not in given:
                self._note(each.untyped_storage())
        return output

    def _note(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _class_of(spec: ArchitectureSpec) -> type:
    module, _, name = spec.code.partition(":")
    load: Callable[..., Any] = getattr(importlib.import_module(module), name)
    found: type = get_type_hints(load)["return"]
    return found


def architecture(spec: ArchitectureSpec, config: str | None = None) -> Architecture:
    """The architecture in its true sizes on the meta device: denoiser in bf16, autoencoder in fp32, no text encoders.

    `config` is one of its `other_true_configs`.
    """
    folder = CONFIGS / (config or spec.true_config)
    index = diffusers.DiffusionPipeline.load_config(folder)
    with torch.device("meta"):
        denoiser: Any = from_config(folder / spec.denoiser, *index[spec.denoiser])
        autoencoder: Any = nn.Module() if spec.pixel_space else from_config(folder / "vae", *index["vae"])
    if isinstance(autoencoder, diffusers.AutoencoderKLQwenImage):
        autoencoder.__class__ = FrameAutoencoder
    elif type(autoencoder) is diffusers.AutoencoderKL:
        autoencoder.__class__ = vae.AnyPrecisionAutoencoder
    if isinstance(denoiser, diffusers.HiDreamImageTransformer2DModel):
        denoiser.__class__ = hidream.Transformer
        hidream.prepare(denoiser)
    if isinstance(denoiser, diffusers.ChromaTransformer2DModel):
        chroma.use_key_masks(denoiser)
    nn.Module.to(denoiser, HALF)
    found = object.__new__(_class_of(spec))
    facts = {
        "spec": spec, "components": Components(denoiser, {}, autoencoder), "precision": HALF, "guidance": 1.0,
        "noise_schedule": None,
    }  # fmt: skip
    for name, value in facts.items():
        object.__setattr__(found, name, value)
    for module in (denoiser, autoencoder):
        module.eval().requires_grad_(False)
    return found  # type: ignore[no-any-return]


def empty(*shape: int, dtype: torch.dtype = HALF) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def conditioning(architecture: Architecture, tokens: int, batch: int = 1) -> Conditioning:
    """What the denoiser is told of a text of so many tokens, by what its config says of widths."""
    config: Any = architecture.components.denoiser.config  # type: ignore[union-attr]
    if "caption_channels" in config and "llama_layers" in config:
        t5, llama = config["caption_channels"]
        layers = len(config["llama_layers"])
        return {
            "t5": empty(batch, tokens, t5), "llama": empty(batch, layers, tokens, llama),
            "pooled": empty(batch, config["text_emb_dim"]),
        }  # fmt: skip
    names = ("cross_attention_dim", "joint_attention_dim", "cap_feat_dim", "text_feat_dim")
    width = next(config[name] for name in names if config.get(name))
    told = {"hidden_states": empty(batch, tokens, width)}
    pooled = config.get("pooled_projection_dim")
    if config.get("addition_embed_type") == "text_time":
        pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
    if pooled:
        told["pooled"] = empty(batch, pooled)
    if "sys_caption" not in config and hasattr(architecture.components.denoiser, "rope_embedder"):
        # Read on the host: how long each text is.
        told["mask"] = torch.ones(batch, tokens, dtype=torch.bool)
    return told


def latent_layout(architecture: Architecture) -> tuple[int, int]:
    """Channels of a latent, and pixels along its side."""
    if architecture.spec.pixel_space:
        return 3, 1
    config: Any = architecture.components.vae.config  # type: ignore[union-attr]
    return int(config.get("latent_channels") or config["z_dim"]), 8
