"""How long it trains, which files are written, samples, logs, and validation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loratory.errors import UserError
from loratory.interop.kohya.model import PRECISIONS
from loratory.interop.kohya.reading import DDPM, Reading

_SAMPLES: Mapping[str | None, tuple[int, int, float]] = {
    "flux1": (512, 20, 1.0),
    "chroma": (512, 20, 1.0),
    "lumina2": (1024, 36, 3.5),
}
"""Side, steps and guidance of prompts that say nothing, in each trainer."""
_USUAL_SAMPLES = (512, 30, 7.5)


def read_saving(reading: Reading) -> None:
    _name(reading)
    _duration(reading)
    _files(reading)
    _states(reading)
    _metadata(reading)
    _samples(reading)
    _logs(reading)
    _validation(reading)


def _name(reading: Reading) -> None:
    given = reading.take("output_name") or Path(reading.given.source).stem
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]+', "_", str(given)).strip(" .")[:100] or "last"
    if reading.has("output_name") and name != given:
        reading.note("mapped", "output_name", f"became {name}, for it is the name of a folder")
    reading.set("name", name)
    folder = reading.take("output_dir")
    if folder:
        reading.set("saving.output_dir", reading.path(str(folder)))


def _duration(reading: Reading) -> None:
    steps, epochs = reading.take("max_train_steps"), reading.take("max_train_epochs")
    if epochs:
        reading.set("duration.epochs", epochs)
        if steps:
            reading.note("dead", "max_train_steps", "does not count beside max_train_epochs")
        return
    reading.set("duration.steps", steps or 1600)
    if not steps:
        reading.note("mapped", "max_train_steps", "is not given, which means 1600 steps in sd-scripts")


def _files(reading: Reading) -> None:
    precision = str(reading.take("save_precision") or "none")
    if precision not in ("none", "float", "fp16", "bf16"):
        raise UserError(f"{reading.where('save_precision')} is {precision!r}; float, fp16 or bf16 was expected.")
    trained = reading.data["memory"].get("adapter_precision", "fp32")
    reading.set("saving.precision", PRECISIONS.get(precision, trained))
    kind = str(reading.take("save_model_as") or "safetensors")
    if kind in ("ckpt", "pt"):
        reading.set("saving.file_type", kind)
    elif kind not in ("safetensors", "none"):
        reading.note("unsupported", "save_model_as", f"{kind} is for whole models; a .safetensors file is written")
    steps, epochs = reading.take("save_every_n_steps"), reading.take("save_every_n_epochs")
    ratio, all_epochs = reading.take("save_n_epoch_ratio"), reading.data["duration"].get("epochs")
    if ratio and all_epochs:
        epochs = max(1, all_epochs // ratio)
    elif ratio:
        reading.note(
            "unsupported", "save_n_epoch_ratio", "needs max_train_epochs here; see saving.export_every_n_epochs"
        )
    reading.set("saving.export_every_n_steps", steps or None)
    if epochs:
        reading.set("saving.export_every_n_epochs", epochs)
    kept = _kept(reading, steps, epochs)
    if steps or epochs:
        reading.set("saving.keep_last_exports", kept)


def _kept(reading: Reading, steps: int | None, epochs: int | None) -> int | None:
    """How many files are kept. save_last_n_steps counts steps: those at most so many steps old stay."""
    last_epochs, last_steps = reading.take("save_last_n_epochs"), reading.take("save_last_n_steps")
    by_epochs = last_epochs if epochs and last_epochs else None
    by_steps = last_steps // steps + 1 if steps and last_steps else None
    if by_epochs and by_steps and by_epochs != by_steps:
        reading.note("mapped", "save_last_n_steps", "files of steps and epochs are counted together here")
    kept = [each for each in (by_epochs, by_steps) if each]
    return max(kept) if kept and not (steps and epochs and len(kept) == 1) else None


def _states(reading: Reading) -> None:
    """A checkpoint is written here anyway, every ten minutes and at the end."""
    steps = reading.peek("save_every_n_steps")
    last_epochs, last_steps = reading.take("save_last_n_epochs_state"), reading.take("save_last_n_steps_state")
    if not reading.take("save_state", False):
        return
    if steps:
        reading.set("saving.checkpoint_every_n_steps", steps)
    kept = last_steps // steps + 1 if steps and last_steps else last_epochs
    if kept:
        reading.set("saving.keep_last_checkpoints", kept)


def _metadata(reading: Reading) -> None:
    if reading.take("no_metadata", False):
        reading.set("saving.metadata", "minimum")
    tags = [tag.strip() for tag in str(reading.take("metadata_tags") or "").split(",")]
    if any(tags):
        reading.set("saving.tags", [tag for tag in tags if tag])


def _samples(reading: Reading) -> None:
    prompts = reading.take("sample_prompts")
    steps, epochs = reading.take("sample_every_n_steps"), reading.take("sample_every_n_epochs")
    first, sampler = reading.take("sample_at_first", False), reading.take("sample_sampler", "ddim")
    if not prompts:
        if (steps and steps > 0) or (epochs and epochs > 0):
            reading.note("mapped", "sample_every_n_epochs" if epochs else "sample_every_n_steps",
                         "without sample_prompts nothing is sampled; sd-scripts would stop at the first")  # fmt: skip
        return
    if isinstance(prompts, list):
        reading.set("sampling.prompts", [str(each) for each in prompts])
    else:
        reading.set("sampling.prompts_file", reading.path(str(prompts)))
    if epochs and epochs > 0:
        reading.set("sampling.every_n_epochs", epochs)
        if steps:
            reading.note("dead", "sample_every_n_steps", "does not count beside sample_every_n_epochs")
    elif steps and steps > 0:
        reading.set("sampling.every_n_steps", steps)
    reading.set("sampling.before_first_step", first)
    side, sample_steps, scale = _SAMPLES.get(reading.architecture, _USUAL_SAMPLES)
    for field, value in (("width", side), ("height", side), ("steps", sample_steps), ("scale", scale)):
        reading.set(f"sampling.{field}", value)
    if reading.architecture == "flux1":
        reading.set("sampling.guidance", 3.5)
    if reading.architecture in DDPM:
        reading.set("sampling.sampler", sampler)
    elif reading.has("sample_sampler"):
        reading.note("dead", "sample_sampler", f"{reading.trainer} is always sampled with Euler in sd-scripts")


def _logs(reading: Reading) -> None:
    folder, where = reading.take("logging_dir"), reading.take("log_with")
    if where and where not in ("tensorboard", "wandb", "all"):
        raise UserError(f"{reading.where('log_with')} is {where!r}; tensorboard, wandb or all was expected.")
    if where in ("tensorboard", "all") or (folder and not where):
        reading.set("logging.tensorboard", True)
        if folder:
            reading.note("mapped", "logging_dir", "turned TensorBoard on; its files are in the run's own folder")
    if where in ("wandb", "all"):
        reading.set("logging.wandb.mode", "online")
        reading.set("logging.wandb.project", reading.peek("log_tracker_name") or "network_train")
        if reading.peek("wandb_run_name"):
            reading.set("logging.wandb.run_name", reading.peek("wandb_run_name"))
    reading.take("log_tracker_name"), reading.take("wandb_run_name")
    level = str(reading.take("console_log_level") or "info").lower()
    if level in ("debug", "warning"):
        reading.set("logging.level", level)
    elif level in ("error", "critical"):
        reading.set("logging.level", "warning")


def _validation(reading: Reading) -> None:
    """Each epoch unless steps are said, on all pictures that were kept back, and not before the first step."""
    steps, epochs = reading.take("validate_every_n_steps"), reading.take("validate_every_n_epochs")
    batches = reading.take("max_validation_steps")
    section: dict[str, Any] = reading.data.get("validation", {})
    reading.take("validation_seed")
    if not section.get("split"):
        reading.data.pop("validation", None)  # a seed alone does nothing
        return
    reading.data["validation"] = section | {
        "every_n_steps": steps or None,
        "every_n_epochs": epochs or (None if steps else 1),
        "before_first_step": False,
        "max_pictures": batches * reading.data["batching"]["size"] if batches else None,
    }
    reading.note("mapped", "validation_split", "pictures are kept back by what they hold, not by lot, and measured at "
                 "fixed times")  # fmt: skip
