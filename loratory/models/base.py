"""The interface behind which every architecture sits. Six methods and some facts; ten is the ceiling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from torch import Tensor, nn

from loratory.config.architectures.base import ArchitectureSpec

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

Conditioning = dict[str, Tensor]
"""What the denoiser is told: named tensors. For one text they have no batch axis and no padding; `collate` stacks."""


@dataclass(frozen=True)
class NoiseSchedule:
    """How a noise-prediction model mixes picture and noise. Flow models need none: they mix linearly."""

    alphas_cumprod: Tensor
    """(1000,) float32 on the CPU; the share of signal power at each timestep."""
    prediction_type: str
    """epsilon or v_prediction."""


@dataclass(frozen=True)
class Source:
    """Where weights came from, for metadata: a name to show and, for one local file, the path that is hashed."""

    title: str
    file: str | None = None
    vae_title: str | None = None
    vae_file: str | None = None
    modelspec_architecture: str | None = None
    """ModelSpec's id where the spec's own does not fit, as for Flux.1 schnell."""
    base_model_version: str | None = None
    """kohya's `ss_base_model_version` where the spec's own does not fit, as for models that predict velocity."""


@dataclass
class Components:
    """The loaded modules. Frozen, in evaluation mode; adapters are attached to them by `networks.base.inject`."""

    denoiser: nn.Module
    text_encoders: dict[str, nn.Module]
    vae: nn.Module
    tokenizers: dict[str, object] = field(default_factory=dict)
    again: dict[str, Callable[[], nn.Module]] = field(default_factory=dict)
    """By name of a text encoder: reads it from its files again, frozen, on the CPU, as they have it."""


class Architecture(Protocol):
    """One loaded model.

    Latents that go in and out are scaled as the denoiser wants them: (B, C, h, w), float32.
    """

    spec: ArchitectureSpec
    components: Components
    noise_schedule: NoiseSchedule | None
    source: Source

    def encode_prompts(self, texts: Sequence[str]) -> list[Conditioning]:
        """One conditioning per text, on the text encoders' device, unpadded where the model allows it.

        With gradients if the caller has them enabled, so that text encoders can be trained.
        """

    def collate(self, conditionings: Sequence[Conditioning]) -> Conditioning:
        """Pad and stack single conditionings to a batch (B, …), exactly as the pipeline of this model pads."""

    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the scaled latents for `pixels` (B, 3, H, W) in -1..1."""

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) in -1..1 for scaled latents."""

    def predict(self, noisy: Tensor, times: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """The denoiser's output for noisy latents (B, C, h, w), in the same shape.

        `times` (B,): integer timesteps 0..999 (ddpm) or sigma in 0..1 (flow). `sizes` (B, 6) int64: original height
        and width, crop top and left, target height and width, in pixels. The conditioning may hold `guidance` (B,), the
        scale that a model with a guidance embedding is told; others ignore it.
        """

    def pipeline(self) -> DiffusionPipeline:
        """A diffusers pipeline around the same modules, for previews."""
