"""A job of ours as the two files that sd-scripts reads: config.toml and dataset.toml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.train import TrainConfig
from loratory.interop.exported import Exported, Facts
from loratory.interop.kohya.scripts import script_of
from loratory.interop.kohya.writing.caching import write_caching
from loratory.interop.kohya.writing.datasets import write_batching, write_datasets
from loratory.interop.kohya.writing.files import write_logging, write_sampling, write_saving, write_validation
from loratory.interop.kohya.writing.model import write_memory, write_model
from loratory.interop.kohya.writing.network import write_network
from loratory.interop.kohya.writing.objective import write_objective
from loratory.interop.kohya.writing.optimizer import write_optimizer
from loratory.interop.kohya.writing.schedule import write_schedule
from loratory.interop.kohya.writing.sheet import Sheet

CONFIG_FILE, DATASET_FILE = "config.toml", "dataset.toml"


def export(config: TrainConfig, spec: ArchitectureSpec, facts: Facts) -> Exported:
    """The files of sd-scripts for this job, and notes on what they cannot say.

    Raises UserError for an architecture that sd-scripts does not train.
    """
    sheet = Sheet(config, spec, script_of(spec), facts)
    _write_job(sheet)
    write_model(sheet)
    write_network(sheet)
    write_batching(sheet)
    dataset = write_datasets(sheet)
    write_caching(sheet)
    _write_text(sheet)
    write_objective(sheet)
    write_optimizer(sheet)
    write_schedule(sheet)
    write_memory(sheet)
    write_validation(sheet)
    write_sampling(sheet)
    write_saving(sheet)
    write_logging(sheet)
    sheet.leftovers()
    sheet.arguments["dataset_config"] = DATASET_FILE
    if sheet.network_arguments:
        sheet.arguments["network_args"] = [f"{name}={value}" for name, value in sheet.network_arguments.items()]
    files = {CONFIG_FILE: _config_text(sheet), DATASET_FILE: _dataset_text(dataset), **sheet.files}
    return Exported(files, tuple(dict.fromkeys(sheet.notes)))


def _write_job(sheet: Sheet) -> None:
    config = sheet.config
    sheet.done(("version", "job"))
    sheet.say("seed", seed=config.seed % 2**32)
    if config.seed >= 2**32:
        sheet.remark("seed", f"sd-scripts takes no number above 2**32 - 1; {config.seed % 2**32} is written.")
    _write_duration(sheet)
    if config.runtime.device != "auto":
        sheet.remark("runtime.device", "sd-scripts leaves the device to `accelerate config`.")


def _write_duration(sheet: Sheet) -> None:
    duration, total = sheet.config.duration, sheet.facts.total_steps
    paths = ("duration.steps", "duration.epochs")
    if duration.epochs is not None and duration.steps is None:
        sheet.say(paths, max_train_epochs=duration.epochs)
    elif duration.steps is not None and duration.epochs is None:
        sheet.say(paths, max_train_steps=duration.steps)
    elif total is not None:
        sheet.say(paths, max_train_steps=total)
        both = "the first of steps and epochs to be reached" if duration.steps else "the usual length"
        sheet.remark("duration", f"{both} is {total} steps with the pictures that are there now.")
    else:
        sheet.cannot("duration", "the steps cannot be counted without the pictures; sd-scripts takes 1600.")
        sheet.say(paths, max_train_steps=duration.steps)


def _write_text(sheet: Sheet) -> None:
    text = sheet.config.text
    sheet.optional("text.clip_skip", "clip_skip", text.clip_skip, None, unset=True)
    sheet.optional("text.max_token_length", "max_token_length", text.max_token_length, 75, unset=True)
    length = "gemma2_max_token_length" if sheet.has("gemma2_max_token_length") else "t5xxl_max_token_length"
    sheet.optional("text.max_tokens", length, text.max_tokens, None, unset=True)
    sheet.optional("text.weighted", "weighted_captions", text.weighted, False, unset=True)


# --- TOML ---


def _config_text(sheet: Sheet) -> str:
    head = (
        f"# A training of {sheet.spec.title} for kohya's sd-scripts. Start it in the folder of these files, with the "
        "path of the script:\n"
        f"# accelerate launch {sheet.script.name} --config_file {CONFIG_FILE}\n\n"
    )
    return head + _lines(sheet.arguments)


def _dataset_text(dataset: Mapping[str, Any]) -> str:
    parts = []
    for each in dataset["datasets"]:
        parts.append("[[datasets]]\n" + _lines({key: value for key, value in each.items() if key != "subsets"}))
        parts += ["[[datasets.subsets]]\n" + _lines(subset) for subset in each["subsets"]]
    return "\n".join(parts)


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {_value(value)}\n" for key, value in table.items())


def _value(value: Any) -> str:
    """A TOML value, such as the reader that sd-scripts has understands, too."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)
