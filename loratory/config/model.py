"""Which weights are trained."""

from __future__ import annotations

from typing import Literal

from loratory.config.architectures import names_where
from loratory.config.base import StrictModel, param
from loratory.config.weight_formats import Recovered

Precision = Literal["fp32", "bf16", "fp16"]

NOISE_PREDICTION = names_where(lambda spec: spec.objective == "ddpm")


class MergeConfig(StrictModel):
    """A LoRA that becomes part of the base model before training."""

    path: str = param(
        path=True, min_length=1, tab="Setup", group="Model", level="expert", on_resume="forbid", affects_cache=True,
        help="A LoRA file (.safetensors) of any layout.", kohya=("base_weights",),
        owner="subject",
    )  # fmt: skip
    strength: float = param(
        1.0, ge=-10, le=10, tab="Setup", group="Model", level="expert", on_resume="forbid", affects_cache=True,
        help="How strongly it is merged.", kohya=("base_weights_multiplier",),
        owner="subject",
    )  # fmt: skip


class SideAdapterConfig(StrictModel):
    """A frozen LoRA beside the base model: it works along and is not part of what is exported."""

    path: str = param(
        path=True, min_length=1, tab="Setup", group="Model", level="expert", on_resume="forbid",
        help="A LoRA file of any layout: a path, a Hub id that holds one, or owner/name/file.safetensors.",
        aitoolkit=("model.assistant_lora_path", "model.inference_lora_path", "model.accuracy_recovery_adapter"),
        owner="subject",
    )  # fmt: skip
    strength: float = param(
        1.0, ge=-10, le=10, tab="Setup", group="Model", level="expert", on_resume="forbid",
        help="How strongly it works.",
        owner="subject",
    )  # fmt: skip
    on: Literal["training", "sampling", "always"] = param(
        "training", tab="Setup", group="Model", level="expert", on_resume="forbid",
        help="When it works: `training` for one that undoes a distillation (FLUX.1-schnell, Z-Image-Turbo), which "
        "samples do without; `sampling` for one that samples are made faster with; `always` for one that belongs to "
        "the base model.",
        owner="subject",
    )  # fmt: skip
    recovers: Recovered | None = param(
        None, tab="Setup", group="Model", level="expert", on_resume="forbid",
        help="For an accuracy-recovery adapter: the number format whose loss it was trained to undo. The layers that "
        "it sits on are kept in it; all others of the denoiser need memory.denoiser_weights: uint8.",
        aitoolkit=("model.qtype",),
        owner="subject",
    )  # fmt: skip


class ModelConfig(StrictModel):
    """The base model: what it is and where its files are."""

    architecture: str | None = param(
        None,
        help="The kind of model, for example sd15, sdxl or flux1. Left out, it is recognised from the files.",
        tab="Setup",
        group="Model",
        kohya=("v2", "model_type"),
        aitoolkit=("model.arch",),
        on_resume="forbid",
        owner="subject",
    )
    path: str = param(
        path=True,
        help="A folder in diffusers layout, a Hub id such as stabilityai/stable-diffusion-xl-base-1.0, or one "
        ".safetensors file. `demo` is the small model that comes with Loratory.",
        tab="Setup",
        group="Model",
        min_length=1,
        kohya=("pretrained_model_name_or_path",),
        aitoolkit=("model.name_or_path",),
        on_resume="forbid",
        affects_cache=True,
        owner="subject",
    )
    revision: str | None = param(
        None,
        help="A branch, tag or commit of a Hub repository.",
        tab="Setup",
        group="Model",
        level="advanced",
        on_resume="forbid",
        affects_cache=True,
        owner="subject",
    )
    components: str | None = param(
        None,
        path=True,
        help="With a single file: the folder in diffusers layout or the Hub id that gives what the file lacks "
        "(tokenizers; for Flux also the text encoders and the autoencoder). Left out, the architecture's usual "
        "repository.",
        tab="Setup",
        group="Model",
        level="advanced",
        aitoolkit=("model.extras_name_or_path",),
        on_resume="forbid",
        affects_cache=True,
        owner="subject",
    )
    vae_path: str | None = param(
        None,
        path=True,
        help="A replacement autoencoder: a folder, a Hub id or a .safetensors file.",
        tab="Setup",
        group="Model",
        level="advanced",
        kohya=("vae", "ae"),
        aitoolkit=("model.vae_path",),
        on_resume="forbid",
        affects_cache=True,
        owner="subject",
    )
    parts: dict[str, str | None] = param(
        {},
        path=True,
        help="Other single parts, by component name (transformer, text_encoder, text_encoder_2, …): for each a folder, "
        "a Hub id or a .safetensors file; null to do without it, where the model can (T5 of Stable Diffusion 3).",
        tab="Setup",
        group="Model",
        level="advanced",
        kohya=("clip_l", "clip_g", "t5xxl"),
        aitoolkit=("model.te_name_or_path",),
        on_resume="forbid",
        affects_cache=True,
        owner="subject",
    )
    prediction_type: Literal["epsilon", "v_prediction"] | None = param(
        None,
        help="What a noise-prediction model was trained to predict. Left out, the model's scheduler settings say it; "
        "a single file is recognised by its marker tensors, otherwise epsilon.",
        tab="Setup",
        group="Model",
        level="advanced",
        architectures=NOISE_PREDICTION,
        kohya=("v_parameterization",),
        on_resume="forbid",
        owner="subject",
    )
    zero_terminal_snr: bool = param(
        False,
        help="Make the last timestep pure noise, so that very dark and very bright pictures are learned and made; for "
        "v-prediction models. Those that say in their files that they are so need it not.",
        tab="Setup",
        group="Model",
        level="advanced",
        architectures=NOISE_PREDICTION,
        kohya=("zero_terminal_snr",),
        on_resume="forbid",
    )
    allow_pickle: bool = param(
        False,
        help="Also load .ckpt, .pt and .bin files (weights only), of models and of LoRAs. They can carry code; prefer "
        ".safetensors.",
        tab="Setup",
        group="Model",
        level="expert",
        owner="job",
        on_resume="free",
    )
    disable_mmap: bool = param(
        False,
        help="Read .safetensors files whole instead of mapping them into memory, which is faster from network drives "
        "and under WSL. One file at a time is in the computer's memory twice for a moment.",
        tab="Setup",
        group="Model",
        level="advanced",
        owner="job",
        kohya=("disable_mmap_load_safetensors",),
        on_resume="free",
    )
    vae_precision: Precision = param(
        "fp32",
        help="Number format of the autoencoder. Pictures that leave the range of a narrower one (in fp16 SDXL's first "
        "autoencoder is known for it) are done again in fp32 by themselves.",
        tab="Advanced",
        group="Precision",
        level="advanced",
        kohya=("no_half_vae",),
        aitoolkit=("model.vae_dtype",),
        affects_cache=True,
    )
    merge: tuple[MergeConfig, ...] = param(
        (), tab="Setup", group="Model", level="expert", on_resume="forbid", affects_cache=True,
        help="LoRA files that are merged into the base model, in memory, before training.",
    )  # fmt: skip
    side_adapters: tuple[SideAdapterConfig, ...] = param(
        (), tab="Setup", group="Model", level="expert", on_resume="forbid",
        help="Frozen LoRA files that work beside the base model while it is trained, in samples, or both; such as the "
        "training adapters of FLUX.1-schnell and Z-Image-Turbo.",
    )  # fmt: skip

    def replaced(self) -> dict[str, tuple[str, str]]:
        """Where parts come from that are not the model's own: path and field, by component name."""
        found = {name: (path, f"model.parts.{name}") for name, path in self.parts.items() if path is not None}
        return found if self.vae_path is None else found | {"vae": (self.vae_path, "model.vae_path")}

    def left_out(self) -> set[str]:
        """Parts that the job does without."""
        return {name for name, path in self.parts.items() if path is None}
