"""Noise, times and loss."""

from __future__ import annotations

from loratory.config.objective import ObjectiveConfig
from loratory.interop.kohya.writing.sheet import Sheet

_LOSSES = {"mse": "l2", "mae": "l1", "huber": "huber", "smooth_l1": "smooth_l1"}
_NEEDS_NOISE_OFFSET = ("noise_offset_random_strength", "adaptive_noise_scale")
_SAME = {
    "noise_offset": 0.0,
    "multires_noise_iterations": 0,
    "multires_noise_discount": 0.3,
    "ip_noise_gamma": 0.0,
    "ip_noise_gamma_random_strength": False,
    "scale_v_pred_loss_like_noise_pred": False,
    "v_pred_like_loss": 0.0,
    "min_snr_gamma": None,
}
"""Options with the same name and meaning, and our value that means that nothing is done."""


def write_objective(sheet: Sheet) -> None:
    objective = sheet.config.objective
    for name, usual in _SAME.items():
        sheet.optional(f"objective.{name}", name, getattr(objective, name), usual, unset=True)
    sheet.optional(
        "objective.debiased_estimation", "debiased_estimation_loss", objective.debiased_estimation, False, unset=True
    )
    for name in _NEEDS_NOISE_OFFSET:
        # They change nothing without it, and one of them is refused.
        if objective.noise_offset:
            sheet.optional(f"objective.{name}", name, getattr(objective, name), 0, unset=True)
        else:
            sheet.done(f"objective.{name}")
    sheet.say("objective.prior_loss_weight", prior_loss_weight=objective.prior_loss_weight)
    _write_loss(sheet)
    _write_range(sheet)
    if sheet.script.times == "flow":
        _write_flow(sheet)
    elif sheet.script.times == "sd3":
        _write_sd3(sheet)
    if sheet.has("guidance_scale") and "guidance_scale" not in sheet.script.always:
        sheet.say("objective.guidance_scale", guidance_scale=objective.guidance_scale)


def _write_loss(sheet: Sheet) -> None:
    objective = sheet.config.objective
    sheet.done("objective.loss_type")
    if objective.loss_type in _LOSSES:
        sheet.say("objective.loss_type", loss_type=_LOSSES[objective.loss_type])
    else:
        sheet.cannot("objective.loss_type", f"sd-scripts has no {objective.loss_type}; without it it takes l2.")
    schedule = objective.huber_schedule
    if schedule == "snr" and sheet.spec.objective == "flow":
        # It is theirs by default, too, and stops a flow model in its first step.
        sheet.say("objective.huber_schedule", huber_schedule="constant")
        if objective.loss_type in ("huber", "smooth_l1"):
            sheet.cannot("objective.huber_schedule", "sd-scripts has no snr for flow models; constant is written.")
    else:
        sheet.say("objective.huber_schedule", huber_schedule=schedule)
    sheet.say("objective.huber_c", huber_c=objective.huber_c)
    sheet.say("objective.huber_scale", huber_scale=objective.huber_scale)
    if objective.huber_scale != 1 and schedule == "snr" and objective.loss_type in ("huber", "smooth_l1"):
        sheet.cannot("objective.huber_scale", "sd-scripts leaves it out with huber_schedule snr.")


def _write_range(sheet: Sheet) -> None:
    """Their highest timestep is one more than the last that comes."""
    objective = sheet.config.objective
    for name, value, usual, theirs in (
        ("min_timestep", objective.min_timestep, 0, objective.min_timestep),
        ("max_timestep", objective.max_timestep, 999, objective.max_timestep + 1),
    ):
        sheet.optional(f"objective.{name}", name, None if value == usual else theirs, None, unset=True)


def _shift(sheet: Sheet, objective: ObjectiveConfig) -> float | str:
    if objective.flow_shift != "auto":
        return objective.flow_shift
    usual = sheet.spec.default_flow_shift
    return "resolution" if usual is None else usual


_FLOW_FIELDS = ("timestep_sampling", "flow_shift", "sigmoid_scale", "logit_mean", "logit_std", "mode_scale")


def _write_flow(sheet: Sheet) -> None:
    """timestep_sampling says how times are drawn; `sigma` leaves it to weighting_scheme, in a shifted table."""
    objective, shift = sheet.config.objective, _shift(sheet, sheet.config.objective)
    sampling = objective.timestep_sampling
    sheet.say(
        [f"objective.{name}" for name in _FLOW_FIELDS],
        sigmoid_scale=objective.sigmoid_scale,
        logit_mean=sheet.script.logit_sign * objective.logit_mean or 0.0,
        logit_std=objective.logit_std,
        mode_scale=objective.mode_scale,
        weighting_scheme="none",
        discrete_flow_shift=1.0 if shift == "resolution" else float(shift),
    )
    by_size = {"sigmoid": "flux_shift"} | ({"uniform": "nextdit_shift"} if "gemma2" in sheet.script.needs else {})
    if shift == "resolution" and sampling in by_size:
        sheet.arguments["timestep_sampling"] = by_size[sampling]
    elif shift == "resolution":
        sheet.arguments["timestep_sampling"] = "flux_shift"
        sheet.cannot(
            "objective.timestep_sampling",
            f"sd-scripts joins a shift by the picture's size with {' or '.join(by_size)} only; flux_shift is written.",
        )
    elif sampling == "sigmoid":
        sheet.arguments["timestep_sampling"] = "shift"
    elif sampling == "uniform" and shift == 1:
        sheet.arguments["timestep_sampling"] = "uniform"
    else:
        _write_table(sheet, sampling)
    _write_weight(sheet)


def _write_table(sheet: Sheet, sampling: str) -> None:
    """What only the table of 1000 times has."""
    sheet.arguments["timestep_sampling"] = "sigma"
    if sampling in ("logit_normal", "mode"):
        sheet.arguments["weighting_scheme"] = sampling
    if sampling in ("logit_normal", "mode", "uniform"):
        sheet.remark("objective.timestep_sampling", "sd-scripts takes one of 1000 times, not any.")
    elif sampling != "sigma":
        sheet.cannot("objective.timestep_sampling", f"sd-scripts has no {sampling}; times are drawn evenly there.")


def _write_weight(sheet: Sheet) -> None:
    objective = sheet.config.objective
    sheet.done(("objective.model_prediction_type", "objective.loss_weighting"))
    kind = objective.model_prediction_type
    sheet.arguments["model_prediction_type"] = "raw" if kind == "sigma_scaled" else kind
    if kind == "sigma_scaled":
        sheet.cannot(
            "objective.model_prediction_type",
            "sd-scripts compares the picture that follows from the prediction with a velocity, which is another thing; "
            "raw is written.",
        )
    if objective.loss_weighting != "none":
        sheet.cannot(
            "objective.loss_weighting", "sd-scripts weighs times only where it predicts wrongly (sigma_scaled)."
        )


def _write_sd3(sheet: Sheet) -> None:
    """One scheme gives the density or the weight; what is measured there is the picture, not the velocity."""
    objective, shift = sheet.config.objective, _shift(sheet, sheet.config.objective)
    sampling, weight = objective.timestep_sampling, objective.loss_weighting
    sheet.say(
        [f"objective.{name}" for name in (*_FLOW_FIELDS, "model_prediction_type", "loss_weighting")],
        logit_mean=0.0 if sampling == "sigmoid" else objective.logit_mean,
        logit_std=objective.sigmoid_scale if sampling == "sigmoid" else objective.logit_std,
        mode_scale=objective.mode_scale,
        training_shift=1.0 if shift == "resolution" else float(shift),
    )
    if shift == "resolution":
        sheet.cannot(
            "objective.flow_shift", "sd-scripts has no shift by the picture's size for this model; 1 is written."
        )
    if sampling == "uniform":
        sheet.remark("objective.timestep_sampling", "sd-scripts takes one of 1000 times, not any.")
    density = {"sigmoid": "logit_normal", "logit_normal": "logit_normal", "mode": "mode"}.get(sampling)
    if density is None and sampling not in ("uniform", "sigma"):
        sheet.cannot("objective.timestep_sampling", f"sd-scripts has no {sampling}; times are drawn evenly there.")
    # In weights of the picture's error, which is sigma times that of the velocity.
    wanted = {
        ("raw", "none"): "sigma_sqrt",
        ("sigma_scaled", "none"): None,
        ("sigma_scaled", "sigma_sqrt"): "sigma_sqrt",
        ("sigma_scaled", "cosmap"): "cosmap",
    }
    what = (objective.model_prediction_type, weight)
    scheme = wanted.get(what)
    sheet.arguments["weighting_scheme"] = density or scheme or "uniform"
    if what not in wanted:
        sheet.cannot("objective.loss_weighting", f"sd-scripts has no {weight} with {what[0]} for this model.")
    elif density is not None and scheme is not None:
        sheet.cannot(
            "objective.model_prediction_type",
            f"sd-scripts has one option for how times are drawn ({density}) and how they count ({scheme}); the first "
            "is written, so that noisy times count more there.",
        )
