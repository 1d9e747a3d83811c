"""What the model is asked to do in a training step: noise, timesteps, loss.

Five groups of fields, declared one after the other and read together as the section `objective`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import model_validator

from loratory.config.architectures import names_where
from loratory.config.base import StrictModel, param

DDPM = names_where(lambda spec: spec.objective == "ddpm")
FLOW = names_where(lambda spec: spec.objective == "flow")
GUIDED = names_where(lambda spec: "guidance" in spec.pipeline_arguments)
"""Those that are told a strength of guidance."""

TimestepSampling = Literal["uniform", "sigma", "sigmoid", "logit_normal", "mode", "cosmap", "bell", "weighted"]
LossType = Literal["mse", "mae", "huber", "smooth_l1", "pseudo_huber", "log_cosh", "wavelet"]
LossWeighting = Literal["none", "sigma_sqrt", "cosmap", "bell", "half_bell", "weighted", "stepped"]

LOSSES_WITH_THRESHOLD: tuple[LossType, ...] = ("huber", "smooth_l1", "pseudo_huber")
"""Those that huber_c, huber_scale and huber_schedule have an effect on."""

# What other trainers call things that are called otherwise here.
OTHER_WORDS: Mapping[str, Mapping[str, Mapping[str, str | int]]] = {
    "loss_type": {
        "l1": {"loss_type": "mae"},
        "l2": {"loss_type": "mse"},
        "stepped": {"loss_type": "mse", "loss_weighting": "stepped"},
        "mean_flow": {"loss_type": "mse", "mean_flow_steps": 4},
    },
    "timestep_sampling": {
        "shift": {"timestep_sampling": "sigmoid"},
        "flux_shift": {"timestep_sampling": "sigmoid", "flow_shift": "resolution"},
        "nextdit_shift": {"timestep_sampling": "uniform", "flow_shift": "resolution"},
    },
}


def _field(default: Any, **facts: Any) -> Any:
    return param(default, tab="Advanced", **facts)


class NoiseConfig(StrictModel):
    """What is mixed into the pictures."""

    noise_offset: float = _field(
        0.0, ge=0, le=1, group="Noise", level="advanced",
        help="Adds a random constant per channel to the noise, so that very dark and very bright pictures are learned. "
        "0.05 to 0.1 is usual; flow models do without.",
        kohya=("noise_offset",), aitoolkit=("train.noise_offset",),
    )  # fmt: skip
    noise_offset_random_strength: bool = _field(
        False, group="Noise", level="expert",
        help="Draw the strength of the noise offset anew for each picture, evenly from 0 to noise_offset.",
        kohya=("noise_offset_random_strength",),
    )  # fmt: skip
    adaptive_noise_scale: float = _field(
        0.0, ge=-1, le=1, group="Noise", level="expert",
        help="Adds this times the size of the channel's mean in the picture to the strength of the noise offset; it "
        "does not fall below 0.",
        kohya=("adaptive_noise_scale",),
    )  # fmt: skip
    multires_noise_iterations: int = _field(
        0, ge=0, le=64, group="Noise", level="advanced",
        help="Pyramid noise: adds so many levels of ever coarser noise; 6 to 10 is usual, 0 turns it off; "
        "flow models do without.",
        kohya=("multires_noise_iterations",),
    )  # fmt: skip
    multires_noise_discount: float = _field(
        0.3, ge=0, le=1, group="Noise", level="advanced",
        help="How strong each level of the pyramid is against the one before; 0.1 to 0.3 for small sets, 0.8 for "
        "large ones.",
        kohya=("multires_noise_discount",),
    )  # fmt: skip
    ip_noise_gamma: float = _field(
        0.0, ge=0, le=1, group="Noise", level="advanced",
        help="Input perturbation: adds so much more noise to what the model sees and not to what it shall predict, so "
        "that it gets used to its own mistakes; 0.1 is usual.",
        kohya=("ip_noise_gamma",),
    )  # fmt: skip
    ip_noise_gamma_random_strength: bool = _field(
        False, group="Noise", level="expert",
        help="Draw the strength of the input perturbation anew for each picture, evenly from 0 to ip_noise_gamma.",
        kohya=("ip_noise_gamma_random_strength",),
    )  # fmt: skip


class TimestepsConfig(StrictModel):
    """How noisy pictures are when they are learned from."""

    min_timestep: int = _field(
        0, ge=0, le=999, group="Timesteps", level="expert",
        help="Lowest timestep that is trained, of 0 (the picture) to 999 (noise). The distribution of flow times is "
        "squeezed into the range.",
        kohya=("min_timestep",), aitoolkit=("train.min_denoising_steps",),
    )  # fmt: skip
    max_timestep: int = _field(
        999, ge=0, le=999, group="Timesteps", level="expert", help="Highest timestep that is trained.",
        kohya=("max_timestep",), aitoolkit=("train.max_denoising_steps",),
    )  # fmt: skip
    content_or_style: Literal["balanced", "content", "style"] = _field(
        "balanced", group="Timesteps", level="advanced",
        help="Which times come more often: noisy ones, where the content of a picture is decided, or clean ones, where "
        "its style is.",
        aitoolkit=("train.content_or_style",),
    )  # fmt: skip
    timestep_sampling: TimestepSampling = _field(
        "sigmoid", group="Timesteps", level="advanced", architectures=FLOW,
        help="How flow time is drawn before the shift: evenly (`sigma`: in 1000 steps), or more often in the middle, "
        "in one of several ways. kohya's `shift` and `flux_shift` are understood: they are `sigmoid` with flow_shift.",
        kohya=("timestep_sampling", "weighting_scheme"), aitoolkit=("train.timestep_type",),
    )  # fmt: skip
    sigmoid_scale: float = _field(
        1.0, gt=0, le=10, group="Timesteps", level="expert", architectures=FLOW,
        help="Width of the distribution `sigmoid`.", kohya=("sigmoid_scale",),
    )  # fmt: skip
    logit_mean: float = _field(
        0.0, ge=-10, le=10, group="Timesteps", level="expert", architectures=FLOW,
        help="Where the distribution `logit_normal` lies; above 0 means more noise (in kohya's, for Flux, less).",
        kohya=("logit_mean",),
    )  # fmt: skip
    logit_std: float = _field(
        1.0, gt=0, le=10, group="Timesteps", level="expert", architectures=FLOW,
        help="Width of the distribution `logit_normal`.", kohya=("logit_std",),
    )  # fmt: skip
    mode_scale: float = _field(
        1.29, ge=-1, le=1.75, group="Timesteps", level="expert", architectures=FLOW,
        help="How much more often the distribution `mode` draws the middle; below 0 the ends.", kohya=("mode_scale",),
    )  # fmt: skip
    flow_shift: float | Literal["auto", "resolution"] = _field(
        "auto", group="Timesteps", level="advanced", architectures=FLOW,
        help="Moves flow times towards noise: sigma becomes k*s/(1+(k-1)*s). `auto` is the architecture's usual value; "
        "`resolution` grows with the picture's size as Flux does when it samples.",
        kohya=("discrete_flow_shift", "timestep_sampling"),
    )  # fmt: skip


class LossConfig(StrictModel):
    """How a miss is measured and weighed."""

    prior_loss_weight: float = _field(
        1.0, ge=0, le=1000, group="Loss", level="advanced",
        help="How much the loss of regularisation pictures (`datasets.is_regularisation`) counts.",
        kohya=("prior_loss_weight",), aitoolkit=("train.reg_weight",),
    )  # fmt: skip
    loss_type: LossType = _field(
        "mse", group="Loss", level="advanced",
        help="How a miss is measured: mse is usual; mae, huber, smooth_l1, pseudo_huber and log_cosh care less about "
        "large misses, so that single odd pictures disturb less; wavelet counts coarse and fine misses apart.",
        kohya=("loss_type",), aitoolkit=("train.loss_type",),
    )  # fmt: skip
    huber_c: float = _field(
        0.1, gt=0, le=1, group="Loss", level="advanced",
        help="Where huber, smooth_l1 and pseudo_huber turn from square to straight; the smaller, the less a large miss "
        "counts. With a schedule: the value at the noisy end.",
        kohya=("huber_c",),
    )  # fmt: skip
    huber_scale: float = _field(
        1.0, gt=0, le=100, group="Loss", level="expert", help="A factor for huber_c at every time.",
        kohya=("huber_scale",),
    )  # fmt: skip
    huber_schedule: Literal["constant", "exponential", "snr"] = _field(
        "snr", group="Loss", level="expert",
        help="How huber_c changes from 1 at the clean end to its value at the noisy end: not at all (constant), with "
        "the timestep, or with the share of noise (snr).",
        kohya=("huber_schedule",),
    )  # fmt: skip
    wavelet_detail: float = _field(
        2.0, ge=0, le=100, group="Loss", level="expert",
        help="With loss_type wavelet: how much a miss in fine detail counts against one in coarse shape; 1 is mse, "
        "above 1 sharpens.",
    )  # fmt: skip
    loss_weighting: LossWeighting = _field(
        "none", group="Loss", level="advanced", architectures=FLOW,
        help="How much each flow time counts: 1/sigma² (sigma_sqrt), the middle more (cosmap, bell), the clean half, "
        "too (half_bell), ai-toolkit's measured weights (weighted), or by what a short step changes (stepped).",
        kohya=("weighting_scheme",), aitoolkit=("train.timestep_type", "train.linear_timesteps"),
    )  # fmt: skip
    model_prediction_type: Literal["raw", "additive", "sigma_scaled"] = _field(
        "raw", group="Loss", level="expert", architectures=FLOW,
        help="What is compared: the velocity that the model predicts (raw), the picture that follows from it "
        "(sigma_scaled), or its sum with the noisy picture (additive; for models that were made so).",
        kohya=("model_prediction_type",),
    )  # fmt: skip
    masked_loss_mean: Literal["picture", "mask"] = _field(
        "picture", group="Loss", level="advanced",
        help="What the loss of a picture with a mask is the mean over: all of the picture, so that a small subject "
        "counts little, or only what the mask leaves, so that every picture counts alike.",
    )  # fmt: skip
    min_snr_gamma: float | None = _field(
        None, gt=0, le=1000, group="Loss", level="advanced", architectures=DDPM,
        help="Caps the weight of nearly clean timesteps (Min-SNR); 5 is usual, 1 for v-prediction.",
        kohya=("min_snr_gamma",), aitoolkit=("train.min_snr_gamma",),
    )  # fmt: skip
    debiased_estimation: bool = _field(
        False, group="Loss", level="advanced", architectures=DDPM,
        help="Weighs noisy timesteps more, by 1/sqrt(SNR); for v-prediction by 1/(SNR+1).",
        kohya=("debiased_estimation_loss",),
    )  # fmt: skip
    scale_v_pred_loss_like_noise_pred: bool = _field(
        False, group="Loss", level="expert", architectures=DDPM,
        help="With a v-prediction model: weigh the timesteps as a noise-prediction model would.",
        kohya=("scale_v_pred_loss_like_noise_pred",),
    )  # fmt: skip
    v_pred_like_loss: float = _field(
        0.0, ge=0, le=10, group="Loss", level="expert", architectures=DDPM,
        help="With a noise-prediction model: adds so much of the loss weighed as a v-prediction model would; 0.5 is "
        "usual.",
        kohya=("v_pred_like_loss",),
    )  # fmt: skip


class TargetConfig(StrictModel):
    """What takes the place of the usual target."""

    guidance_loss_target: float | tuple[float, float] | None = _field(
        None, group="Target", level="expert",
        help="Contrastive guidance: learn what the bare model would say with guidance of this scale, and not the plain "
        "target. For models with guidance trained in (Flux.1 dev; it is told the scale), or to train it in; 3 is "
        "usual, [low, high] draws one for each picture. One more forward pass.",
        aitoolkit=("train.do_guidance_loss", "train.guidance_loss_target"),
    )  # fmt: skip
    guidance_loss_schedule: Literal["constant", "sigma"] = _field(
        "constant", group="Target", level="expert",
        help="The scale of contrastive guidance at every time (constant), or falling to 1 at the clean end (sigma), "
        "where it would mostly enlarge noise.",
        aitoolkit=("train.guidance_loss_schedule",),
    )  # fmt: skip
    guidance_loss_cfg_zero: bool = _field(
        False, group="Target", level="expert",
        help="Contrastive guidance: scale the prediction without caption to fit the target first (CFG-Zero*).",
        aitoolkit=("train.do_guidance_loss_cfg_zero",),
    )  # fmt: skip
    unconditional_prompt: str = _field(
        "", group="Target", level="expert",
        help="The text that contrastive guidance leads away from; usually empty.",
        aitoolkit=("train.unconditional_prompt",), affects_cache=True,
        owner="subject",
    )  # fmt: skip
    mean_flow_steps: int = _field(
        0, ge=0, le=100, group="Target", level="expert", architectures=FLOW,
        help="MeanFlow: learn average velocities, for pictures made in just so many steps (Euler, usual shift); with "
        "more steps they come out worse than before. 0: off. Wants many pictures; one more forward pass.",
        aitoolkit=("train.loss_type",),
    )  # fmt: skip
    mean_flow_distance: float = _field(
        0.1, gt=0, le=0.9, group="Target", level="expert", architectures=FLOW,
        help="How far back MeanFlow looks to see how velocities change, as a share of the way to the end of a step. "
        "Smaller is more exact, until rounding takes over.",
    )  # fmt: skip


class PreservationConfig(StrictModel):
    """What the model shall not forget: it is held to what it said before, which is what it says without the adapter."""

    diff_output_preservation: float = _field(
        0.0, ge=0, le=1000, group="Preservation", level="advanced",
        help="How much it counts that captions with the class in place of the trigger word (a dog, not your dog) give "
        "what they gave before. 0: off, 1 is usual. Two more forward passes and a backward pass: two to three times "
        "the time.",
        aitoolkit=("train.diff_output_preservation", "train.diff_output_preservation_multiplier"),
    )  # fmt: skip
    diff_output_preservation_class: str = _field(
        "", group="Preservation", level="advanced",
        help="What the trigger word is one of, such as dog or woman.",
        aitoolkit=("train.diff_output_preservation_class",), affects_cache=True,
        owner="subject",
    )  # fmt: skip
    blank_prompt_preservation: float = _field(
        0.0, ge=0, le=1000, group="Preservation", level="advanced",
        help="How much it counts that the empty caption gives what it gave before. 0: off, 1 is usual. Two more "
        "forward passes and a backward pass: two to three times the time.",
        aitoolkit=("train.blank_prompt_preservation", "train.blank_prompt_preservation_multiplier"),
    )  # fmt: skip
    inverted_mask_prior: float = _field(
        0.0, ge=0, le=1000, group="Preservation", level="advanced",
        help="With masks: how much it counts that the model predicts what it predicted before where a mask is black. "
        "0: off, 0.5 is usual. One more forward pass.",
        aitoolkit=("train.inverted_mask_prior", "train.inverted_mask_prior_multiplier"),
    )  # fmt: skip


class ObjectiveConfig(PreservationConfig, TargetConfig, LossConfig, TimestepsConfig, NoiseConfig):
    """All of it, and what stays the same in every step."""

    guidance_scale: float = _field(
        1.0, ge=0, le=100, group="Conditioning", level="expert", architectures=GUIDED,
        help="Value given to the guidance embedding in training (Flux.1 dev). 1 is right for LoRA.",
        kohya=("guidance_scale",),
    )  # fmt: skip
    bypass_guidance_embedding: bool = _field(
        False, group="Conditioning", level="expert", architectures=GUIDED,
        help="Leave the guidance embedding out in training, as Flex.1 and de-distilled models were trained. Samples "
        "have it.",
        aitoolkit=("train.bypass_guidance_embedding",),
    )  # fmt: skip

    @model_validator(mode="before")
    @classmethod
    def _words_of_other_trainers(cls, given: Any) -> Any:
        """`loss_type: l2` is mse, `timestep_sampling: flux_shift` is sigmoid with flow_shift resolution."""
        if not isinstance(given, Mapping):
            return given
        translated = dict(given)
        for field, words in OTHER_WORDS.items():
            word = given.get(field)
            for name, value in (words.get(word, {}) if isinstance(word, str) else {}).items():
                if name != field and given.get(name, value) != value:
                    raise ValueError(f"{field}: {word} means {name}: {value}, but {name} is {given[name]}; keep one")
                translated[name] = value
        return translated
