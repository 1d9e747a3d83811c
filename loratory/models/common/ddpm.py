"""The noise schedule of models that predict noise or velocity at 1000 discrete timesteps."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import diffusers
from diffusers import DDIMScheduler

from loratory.config.architectures import Shapes
from loratory.config.identify import read_json
from loratory.config.model import ModelConfig
from loratory.errors import UserError
from loratory.models.base import NoiseSchedule

PREDICTION_TYPES = ("epsilon", "v_prediction")
_BETA_FACTS = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas",
               "rescale_betas_zero_snr")  # fmt: skip


def load_scheduler(folder: Path, config: ModelConfig, shapes: Shapes, *, seen: str | None = None) -> Any:
    """The scheduler whose config lies in `folder`, changed by what the job or a single file's marker tensors say.

    `shapes`: the tensors of the single file, else empty. `seen`: the prediction type that a single file's weights show,
    which counts where neither the job nor a marker says one. The empty tensors `v_pred` and `ztsnr` mark a model with
    v-prediction and one whose last timestep is pure noise (Lin et al. 2023). Samples are made with the same schedule.
    Raises UserError for a scheduler that cannot be used.
    """
    settings = read_json(folder / "scheduler_config.json")
    scheduler_class: Any = getattr(diffusers, str(settings.get("_class_name")), None)
    if not (inspect.isclass(scheduler_class) and issubclass(scheduler_class, diffusers.SchedulerMixin)):
        raise UserError(f"{folder} names the unknown scheduler {settings.get('_class_name')!r}; download it again.")
    changes: dict[str, Any] = {}
    prediction_type = config.prediction_type or ("v_prediction" if "v_pred" in shapes else seen)
    if prediction_type:
        changes["prediction_type"] = prediction_type
    if config.zero_terminal_snr or "ztsnr" in shapes:
        changes |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        if "rescale_betas_zero_snr" not in inspect.signature(scheduler_class).parameters:
            scheduler_class = DDIMScheduler
            changes["clip_sample"] = False  # DDIM's default is for pixels
    scheduler = scheduler_class.from_config(settings, **changes)
    if "beta_schedule" not in scheduler.config:  # EDM's schedulers and those of flow models
        raise UserError(
            f"{folder}: the model was trained with another kind of schedule ({type(scheduler).__name__}), which cannot "
            "be used here; take a model that predicts noise or velocity at 1000 timesteps."
        )
    found = scheduler.config.get("prediction_type", "epsilon")
    if found not in PREDICTION_TYPES:
        raise UserError(
            f"{folder}: the model predicts {found!r}; only {' and '.join(PREDICTION_TYPES)} can be trained."
        )
    return scheduler


def copy_scheduler(scheduler: Any) -> Any:
    """A scheduler of the same settings without the state of a sampling in progress."""
    return type(scheduler).from_config(scheduler.config)


def noise_schedule(scheduler: Any) -> NoiseSchedule:
    """Signal power at each timestep, as DDIMScheduler computes it from the scheduler's betas.

    DDIM's, whatever the scheduler's class: with a zero terminal SNR others replace the last value, 0, by a small one
    for the sake of their solvers.
    """
    facts = {name: scheduler.config[name] for name in _BETA_FACTS if name in scheduler.config}
    ddim = DDIMScheduler(**facts)
    return NoiseSchedule(ddim.alphas_cumprod.float(), scheduler.config.get("prediction_type", "epsilon"))
