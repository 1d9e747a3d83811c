"""Rules across the fields of noise, timesteps and loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.objective import LOSSES_WITH_THRESHOLD, ObjectiveConfig
from loratory.config.problems import Problem, rule
from loratory.config.train import TrainConfig


@rule
def timestep_range(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    low, high = config.objective.min_timestep, config.objective.max_timestep
    if low > high:
        yield Problem(
            "error",
            ("objective.min_timestep", "objective.max_timestep"),
            f"the lowest timestep ({low}) is above the highest ({high})",
            {"objective.min_timestep": high, "objective.max_timestep": low},
        )


@rule
def shift_is_positive(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    shift = config.objective.flow_shift
    if isinstance(shift, (int, float)) and shift <= 0:
        yield Problem(
            "error", ("objective.flow_shift",), "must be above 0; 1 means no shift", {"objective.flow_shift": "auto"}
        )


# option -> does it have an effect here, and what that takes
NEEDS: dict[str, tuple[Callable[[ObjectiveConfig], bool], str]] = {
    "noise_offset_random_strength": (lambda config: config.noise_offset > 0, "noise_offset is above 0"),
    "adaptive_noise_scale": (lambda config: config.noise_offset > 0, "noise_offset is above 0"),
    "multires_noise_discount": (
        lambda config: config.multires_noise_iterations > 1, "multires_noise_iterations is above 1",
    ),
    "ip_noise_gamma_random_strength": (lambda config: config.ip_noise_gamma > 0, "ip_noise_gamma is above 0"),
    "sigmoid_scale": (lambda config: config.timestep_sampling == "sigmoid", "timestep_sampling is sigmoid"),
    "logit_mean": (lambda config: config.timestep_sampling == "logit_normal", "timestep_sampling is logit_normal"),
    "logit_std": (lambda config: config.timestep_sampling == "logit_normal", "timestep_sampling is logit_normal"),
    "mode_scale": (lambda config: config.timestep_sampling == "mode", "timestep_sampling is mode"),
    "huber_c": (
        lambda config: config.loss_type in LOSSES_WITH_THRESHOLD, f"loss_type is {' or '.join(LOSSES_WITH_THRESHOLD)}",
    ),
    "huber_scale": (
        lambda config: config.loss_type in LOSSES_WITH_THRESHOLD, f"loss_type is {' or '.join(LOSSES_WITH_THRESHOLD)}",
    ),
    "huber_schedule": (
        lambda config: config.loss_type in LOSSES_WITH_THRESHOLD, f"loss_type is {' or '.join(LOSSES_WITH_THRESHOLD)}",
    ),
    "wavelet_detail": (lambda config: config.loss_type == "wavelet", "loss_type is wavelet"),
    "guidance_loss_schedule": (
        lambda config: config.guidance_loss_target is not None, "guidance_loss_target is set",
    ),
    "guidance_loss_cfg_zero": (
        lambda config: config.guidance_loss_target is not None, "guidance_loss_target is set",
    ),
    "unconditional_prompt": (
        lambda config: config.guidance_loss_target is not None, "guidance_loss_target is set",
    ),
    "mean_flow_distance": (lambda config: config.mean_flow_steps > 0, "mean_flow_steps is above 0"),
    "diff_output_preservation_class": (
        lambda config: config.diff_output_preservation > 0, "diff_output_preservation is above 0",
    ),
}  # fmt: skip


@rule
def options_of_the_objective_that_do_nothing(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    objective = config.objective
    for name, (holds, words) in NEEDS.items():
        default = ObjectiveConfig.model_fields[name].default
        if getattr(objective, name) != default and not holds(objective):
            field = f"objective.{name}"
            yield Problem("warning", (field,), f"has no effect unless {words}", {field: default})


@rule
def wavelet_of_equal_weights(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    if config.objective.loss_type == "wavelet" and config.objective.wavelet_detail == 1:
        yield Problem(
            "warning",
            ("objective.wavelet_detail",),
            "1 makes the loss equal to mse, since the wavelet's bands are orthogonal",
            {"objective.loss_type": "mse", "objective.wavelet_detail": 2.0},
        )


@rule
def what_the_model_predicts(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    """Where the job says it; else it is known, and said, when the model is loaded."""
    objective, predicts = config.objective, config.model.prediction_type
    if objective.scale_v_pred_loss_like_noise_pred and predicts == "epsilon":
        field = "objective.scale_v_pred_loss_like_noise_pred"
        yield Problem("warning", (field,), "has no effect, because the model predicts noise", {field: False})
    if objective.v_pred_like_loss and predicts == "v_prediction":
        field = "objective.v_pred_like_loss"
        yield Problem("warning", (field,), "has no effect, because the model predicts velocity", {field: 0.0})
    if config.model.zero_terminal_snr and predicts == "epsilon":
        field = "model.zero_terminal_snr"
        yield Problem(
            "warning",
            (field, "model.prediction_type"),
            "a model that predicts noise cannot learn from a last timestep that is pure noise; it is meant for "
            "v-prediction",
            {field: False},
        )


@rule
def compared_as_the_model_was_made(config: TrainConfig, spec: ArchitectureSpec) -> Iterator[Problem]:
    field = "objective.model_prediction_type"
    if spec.objective == "flow" and config.objective.model_prediction_type == "additive":
        yield Problem(
            "warning", (field,), f"{spec.title} predicts the velocity itself and would unlearn it; raw is right",
            {field: "raw"},
        )  # fmt: skip
