"""Timesteps and loss."""

from __future__ import annotations

from loratory.errors import UserError
from loratory.interop.kohya.reading import DDPM, FLUX, Reading

_LOSSES = {"l2": "mse", "l1": "mae", "huber": "huber", "smooth_l1": "smooth_l1"}
_SAMPLINGS = ("sigma", "uniform", "sigmoid", "shift", "flux_shift", "nextdit_shift")
_SCHEMES = ("sigma_sqrt", "logit_normal", "mode", "cosmap", "none", "uniform")
_USUAL = {"flux1": ("sigma", 3.0), "chroma": ("sigma", 3.0), "lumina2": ("shift", 6.0)}
"""timestep_sampling and discrete_flow_shift of each trainer."""


def read_objective(reading: Reading) -> None:
    _loss(reading)
    _multires(reading)
    if reading.architecture in DDPM:
        _range(reading)
    elif reading.architecture == "sd3":
        _range(reading)
        _stable_diffusion_3(reading)
    else:
        _flow(reading)
    if reading.architecture == "flux1":
        reading.set("objective.guidance_scale", reading.take("guidance_scale", 3.5))
    elif reading.architecture == "chroma" and reading.take("guidance_scale", 0.0):
        reading.note("dead", "guidance_scale", "Chroma is told no guidance")


def _choice(reading: Reading, name: str, known: tuple[str, ...], default: str) -> str:
    found = reading.take(name, default) or default
    if found not in known:
        raise UserError(f"{reading.where(name)} is {found!r}; known are {', '.join(known)}.")
    return str(found)


def _loss(reading: Reading) -> None:
    loss = _choice(reading, "loss_type", tuple(_LOSSES), "l2")
    if loss != "l2":
        reading.set("objective.loss_type", _LOSSES[loss])
    for name in ("huber_c", "huber_scale", "huber_schedule"):
        value = reading.take(name)
        if value is None:
            continue
        if loss in ("l1", "l2"):
            reading.note("default", name)  # nothing to say: web forms always write them
        elif name == "huber_scale" and reading.peek("huber_schedule", "snr") == "snr":
            if value != 1:
                reading.note("dead", name, "has no effect with huber_schedule snr in sd-scripts")
        else:
            reading.set(f"objective.{name}", value)


def _multires(reading: Reading) -> None:
    discount = reading.take("multires_noise_discount")
    if discount is None:
        return
    if reading.architecture in DDPM and reading.peek("multires_noise_iterations", 0):
        reading.set("objective.multires_noise_discount", discount)
    else:
        reading.note("default", "multires_noise_discount")


def _range(reading: Reading) -> None:
    """The end is not trained there, and is here."""
    first, end = reading.take("min_timestep"), reading.take("max_timestep")
    if first:
        reading.set("objective.min_timestep", first)
    if end is not None and end != 1000:
        reading.set("objective.max_timestep", end - 1)


def _stable_diffusion_3(reading: Reading) -> None:
    """The picture that follows from a prediction is compared, at times of a density that is shifted."""
    scheme = _choice(reading, "weighting_scheme", _SCHEMES, "uniform")
    reading.set("objective.timestep_sampling", scheme if scheme in ("logit_normal", "mode") else "uniform")
    reading.set("objective.flow_shift", reading.take("training_shift", 1.0))
    reading.set("objective.model_prediction_type", "sigma_scaled")
    if scheme in ("sigma_sqrt", "cosmap"):
        reading.set("objective.loss_weighting", scheme)
    _density(reading, scheme, sign=1.0)


def _density(reading: Reading, scheme: str, sign: float) -> None:
    """The parameters of a density, where it is used."""
    mean, std, scale = (reading.take(name) for name in ("logit_mean", "logit_std", "mode_scale"))
    if scheme == "logit_normal":
        if mean:
            reading.set("objective.logit_mean", sign * mean)
        if std is not None:
            reading.set("objective.logit_std", std)
    elif mean or std not in (None, 1.0):
        _without_effect(reading, "logit_mean" if mean else "logit_std", "weighting_scheme logit_normal")
    if scheme == "mode" and scale is not None:
        reading.set("objective.mode_scale", scale)
    elif scale not in (None, 1.29):
        _without_effect(reading, "mode_scale", "weighting_scheme mode")


def _without_effect(reading: Reading, name: str, needed: str) -> None:
    reading.note("dead", name, f"has no effect without {needed}")


def _flow(reading: Reading) -> None:
    for name in ("min_timestep", "max_timestep"):
        if reading.take(name) not in (None, 0, 1000):
            reading.note("dead", name, f"has no effect on {reading.trainer} in sd-scripts")
    usual, usual_shift = _USUAL[str(reading.architecture)]
    sampling = _choice(reading, "timestep_sampling", _SAMPLINGS, usual)
    shift = reading.take("discrete_flow_shift", usual_shift)
    scheme = _choice(reading, "weighting_scheme", _SCHEMES, "uniform")
    drawn = scheme if sampling == "sigma" and scheme in ("logit_normal", "mode") else sampling
    ours = {"shift": "sigmoid", "flux_shift": "sigmoid", "nextdit_shift": "uniform"}.get(drawn, drawn)
    reading.set("objective.timestep_sampling", ours)
    by_size = sampling in ("flux_shift", "nextdit_shift")
    shifted = sampling in ("sigma", "shift")
    reading.set("objective.flow_shift", "resolution" if by_size else float(shift) if shifted else 1.0)
    if not shifted and reading.has("discrete_flow_shift") and shift not in (1.0, usual_shift):
        _without_effect(reading, "discrete_flow_shift", "timestep_sampling sigma or shift")
    scale = reading.take("sigmoid_scale", 1.0)
    if scale != 1.0 and ours == "sigmoid":
        reading.set("objective.sigmoid_scale", scale)
    elif scale != 1.0:
        _without_effect(reading, "sigmoid_scale", "timestep_sampling sigmoid, shift or flux_shift")
    # The table of sigma runs from noise to picture there, so that a larger number means less noise.
    _density(reading, scheme if sampling == "sigma" else "", sign=-1.0)
    _compared(reading, sampling, scheme)


def _compared(reading: Reading, sampling: str, scheme: str) -> None:
    kinds = ("raw", "additive", "sigma_scaled")
    compared = _choice(
        reading, "model_prediction_type", kinds, "sigma_scaled" if reading.architecture in FLUX else "raw"
    )
    weighs = scheme in ("sigma_sqrt", "cosmap")
    if compared == "sigma_scaled":
        reading.note("mapped", "model_prediction_type",
                     "became raw: sigma_scaled (sd-scripts' default) compares a picture with a velocity there, which "
                     "teaches nothing of use")  # fmt: skip
        if weighs:
            reading.note("unsupported", "weighting_scheme", "weighs that comparison; with raw nothing is weighed")
    elif compared == "additive":
        reading.set("objective.model_prediction_type", "additive")
    if compared != "sigma_scaled" and weighs:
        _without_effect(reading, "weighting_scheme", "model_prediction_type sigma_scaled")
    if scheme in ("logit_normal", "mode") and sampling != "sigma":
        _without_effect(reading, "weighting_scheme", "timestep_sampling sigma")
