"""What each training script of sd-scripts trains, and which of its options have an effect there.

Facts of sd-scripts 0.10.1 (February 2026), from its parsers and its documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from loratory.config.architectures.base import ArchitectureSpec
from loratory.errors import UserError

DDPM_OPTIONS = frozenset({
    "noise_offset", "noise_offset_random_strength", "adaptive_noise_scale", "multires_noise_iterations",
    "multires_noise_discount", "ip_noise_gamma", "ip_noise_gamma_random_strength", "zero_terminal_snr",
    "min_timestep", "max_timestep", "min_snr_gamma", "scale_v_pred_loss_like_noise_pred", "v_pred_like_loss",
    "debiased_estimation_loss", "v_parameterization", "weighted_captions", "max_token_length", "no_half_vae",
    "sample_sampler", "vae", "sdpa", "xformers", "conv_dim",
})  # fmt: skip
DIT_OPTIONS = frozenset({
    "cache_text_encoder_outputs", "text_encoder_batch_size", "blocks_to_swap", "disable_mmap_load_safetensors",
    "split_qkv",
})  # fmt: skip
_FLUX_OPTIONS = DIT_OPTIONS | {
    "ip_noise_gamma", "ip_noise_gamma_random_strength", "cpu_offload_checkpointing", "guidance_scale", "ae",
    "model_prediction_type", "blocks", "train_t5xxl", "t5xxl_max_token_length",
}  # fmt: skip


@dataclass(frozen=True)
class Script:
    """How sd-scripts trains one architecture."""

    name: str
    times: Literal["ddpm", "flow", "sd3"]
    """How times are said: timesteps; timestep_sampling and its kin; or, of Stable Diffusion 3, a density alone."""
    options: frozenset[str]
    """Options that have an effect, of those that not all scripts have."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Argument for each part of the model that is a file of its own, by our component name."""
    always: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that this architecture needs."""
    needs: tuple[str, ...] = ()
    """Arguments without which it does not start."""
    single_file: bool = True
    """The model has to be one file."""
    step: int = 64
    """Sides of buckets must be multiples of this."""
    logit_sign: int = 1
    """-1: a larger draw means less noise, so that logit_mean has the other sign."""


_T5 = {"text_encoder": "clip_l", "text_encoder_2": "t5xxl"}
SCRIPTS: Mapping[str, Script] = {
    "sd15": Script("train_network.py", "ddpm", DDPM_OPTIONS | {"clip_skip", "dylora"}, single_file=False),
    "sd2": Script("train_network.py", "ddpm", DDPM_OPTIONS | {"dylora"}, always={"v2": True}, single_file=False),
    "sdxl": Script(
        "sdxl_train_network.py", "ddpm",
        DDPM_OPTIONS | {"cache_text_encoder_outputs", "disable_mmap_load_safetensors", "dylora"},
        single_file=False, step=32,
    ),
    "flux1": Script(
        "flux_train_network.py", "flow", _FLUX_OPTIONS, _T5, {"model_type": "flux"}, ("clip_l", "t5xxl", "ae"),
        logit_sign=-1,
    ),
    "chroma": Script(
        "flux_train_network.py", "flow", _FLUX_OPTIONS, {"text_encoder": "t5xxl"},
        {"model_type": "chroma", "apply_t5_attn_mask": True, "guidance_scale": 0.0}, ("t5xxl", "ae"),
        logit_sign=-1,
    ),
    "sd3": Script(
        "sd3_train_network.py", "sd3",
        DIT_OPTIONS | {"min_timestep", "max_timestep", "vae", "sd3_blocks", "train_t5xxl", "t5xxl_max_token_length"},
        {"text_encoder": "clip_l", "text_encoder_2": "clip_g", "text_encoder_3": "t5xxl"}, step=32,
    ),
    "lumina2": Script(
        "lumina_train_network.py", "flow",
        DIT_OPTIONS | {"ip_noise_gamma", "ip_noise_gamma_random_strength", "cpu_offload_checkpointing", "ae",
                       "model_prediction_type", "gemma2_max_token_length"},
        {"text_encoder": "gemma2"}, needs=("gemma2", "ae"), logit_sign=-1,
    ),
}  # fmt: skip


def script_of(spec: ArchitectureSpec) -> Script:
    """Raises UserError for an architecture that sd-scripts does not train."""
    found = SCRIPTS.get(spec.name)
    if found is None:
        known = ", ".join(SCRIPTS)
        raise UserError(f"sd-scripts does not train {spec.title}, so there is nothing to export; it knows {known}.")
    return found
