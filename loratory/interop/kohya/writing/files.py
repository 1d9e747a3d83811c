"""What is written while training: LoRA files, samples, logs; and what is measured."""

from __future__ import annotations

from loratory.config.saving import SavingConfig
from loratory.config.sizes import sample_size_of
from loratory.data.captions import fill_in
from loratory.data.prompts import Prompt, parse_prompt
from loratory.interop.kohya.writing.sheet import Sheet

PROMPTS_FILE = "prompts.txt"
_SAMPLERS = (
    "ddim", "pndm", "lms", "euler", "euler_a", "heun", "dpm_2", "dpm_2_a", "dpmsolver", "dpmsolver++", "dpmsingle",
    "k_lms", "k_euler", "k_euler_a", "k_dpm_2", "k_dpm_2_a",
)  # fmt: skip
_LEVELS = {"debug": "DEBUG", "info": "INFO", "warning": "WARNING"}


def write_saving(sheet: Sheet) -> None:
    saving = sheet.config.saving
    sheet.say("name", output_name=sheet.config.name)
    sheet.say("saving.output_dir", output_dir=saving.output_dir or "output")
    sheet.say("saving.file_type", save_model_as=saving.file_type)
    sheet.say("saving.precision", save_precision={"fp32": "float"}.get(saving.precision, saving.precision))
    _write_intervals(sheet, saving)
    _write_states(sheet, saving)
    sheet.say("saving.metadata", no_metadata=True if saving.metadata != "full" else None)
    if saving.metadata == "none":
        sheet.remark("saving.metadata", "sd-scripts always writes what programs need to know the network.")
    for name in ("title", "author", "description", "license"):
        sheet.say(f"saving.{name}", **{f"metadata_{name}": getattr(saving, name)})
    sheet.say("saving.tags", metadata_tags=",".join(saving.tags) or None)
    if any("," in tag for tag in saving.tags):
        sheet.remark("saving.tags", "sd-scripts parts tags at commas, so that a tag with one becomes two.")
    sheet.say("saving.comment", training_comment=saving.comment)


def _write_intervals(sheet: Sheet, saving: SavingConfig) -> None:
    every, epochs, kept = saving.export_every_n_steps, saving.export_every_n_epochs, saving.keep_last_exports
    sheet.say("saving.export_every_n_steps", save_every_n_steps=every)
    sheet.say("saving.export_every_n_epochs", save_every_n_epochs=epochs)
    sheet.done("saving.keep_last_exports")
    if kept is None:
        return
    if every is not None:
        # Their number counts steps: a file is deleted once it is older than so many.
        sheet.arguments["save_last_n_steps"] = max(1, kept * every - 1)
    if epochs is not None:
        sheet.arguments["save_last_n_epochs"] = kept
    if every is not None and epochs is not None:
        sheet.remark("saving.keep_last_exports", "sd-scripts counts files by steps and files by epochs apart.")


def _write_states(sheet: Sheet, saving: SavingConfig) -> None:
    """Theirs come with each file; the last one is what a resume begins with."""
    sheet.arguments["save_state_on_train_end"] = True
    steps = saving.checkpoint_every_n_steps
    sheet.done(("saving.checkpoint_every_n_steps", "saving.keep_last_checkpoints"))
    if steps is None:
        return
    if steps == saving.export_every_n_steps:
        sheet.arguments["save_state"] = True
        sheet.arguments["save_last_n_steps_state"] = max(1, saving.keep_last_checkpoints * steps - 1)
    else:
        sheet.remark(
            "saving.checkpoint_every_n_steps",
            "sd-scripts saves its state only with a file; make it the same as export_every_n_steps.",
        )


def write_sampling(sheet: Sheet) -> None:
    sampling = sheet.config.sampling
    wanted = bool(sampling.prompts or sampling.prompts_file)
    sheet.done(("sampling.every_n_steps", "sampling.every_n_epochs"))
    if wanted:  # without prompts it would stop at the first time
        sheet.say((), sample_every_n_steps=sampling.every_n_steps, sample_every_n_epochs=sampling.every_n_epochs)
        if sampling.every_n_steps and sampling.every_n_epochs:
            sheet.remark("sampling.every_n_steps", "sd-scripts looks at the epochs alone where both are given.")
    sheet.say("sampling.before_first_step", sample_at_first=True if sampling.before_first_step and wanted else None)
    if sampling.sampler is not None:
        if sheet.has("sample_sampler") and sampling.sampler in _SAMPLERS:
            sheet.say("sampling.sampler", sample_sampler=sampling.sampler)
        else:
            sheet.remark("sampling.sampler", "sd-scripts draws samples with a sampler of its own here.")
    if sampling.prompts:
        sheet.say(
            [f"sampling.{name}" for name in ("prompts", *_OPTIONS, "walk_seed")], sample_prompts=PROMPTS_FILE
        )  # fmt: skip
        sheet.files[PROMPTS_FILE] = "".join(f"{line}\n" for line in _lines(sheet))
        if sampling.prompts_file is not None:
            sheet.remark("sampling.prompts_file", "sd-scripts reads one file of prompts; the job's own are in it.")
    elif sampling.prompts_file is not None:
        sheet.say("sampling.prompts_file", sample_prompts=sampling.prompts_file)


_OPTIONS = {
    "seed": "d", "steps": "s", "scale": "l", "guidance": "g", "negative_prompt": "n", "width": "w", "height": "h",
}  # fmt: skip
"""Our usual values for all prompts, and the flag that says each of a single one."""


def _lines(sheet: Sheet) -> list[str]:
    """Each prompt with all that is usual for it here, since the usual values there are others."""
    config = sheet.config
    sampling, spec = config.sampling, sheet.spec
    trigger = next((each.trigger_word for each in config.datasets if each.trigger_word), "")
    size = sample_size_of(config, spec)
    lines = []
    for i, line in enumerate(config.sampling.prompts):
        prompt = parse_prompt(line)
        values = {
            "n": prompt.negative if prompt.negative is not None else sampling.negative_prompt,
            "w": prompt.width or size[0],
            "h": prompt.height or size[1],
            "d": prompt.seed if prompt.seed is not None else sampling.seed + i * sampling.walk_seed,
            "s": prompt.steps or sampling.steps or spec.sample_steps,
            "l": _first(prompt.scale, sampling.scale, spec.sample_scale),
            "g": _first(prompt.guidance, sampling.guidance),
            "ss": prompt.sampler if prompt.sampler in _SAMPLERS and sheet.has("sample_sampler") else None,
            "fs": prompt.flow_shift,
        }
        text = fill_in(prompt.text, trigger) if trigger else prompt.text
        flags = [f"--{flag} {value}" for flag, value in values.items() if value not in (None, "")]
        lines.append(" ".join([text, *flags]))
        _tell_losses(sheet, prompt, i)
    return lines


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _tell_losses(sheet: Sheet, prompt: Prompt, number: int) -> None:
    lost = [
        name for name, value in (("strength", prompt.strength), ("rescale", prompt.rescale),
                                 ("control_images", prompt.control_images)) if value not in (None, (), 1.0)
    ]  # fmt: skip
    if lost:
        sheet.remark("sampling.prompts", f"sd-scripts has no {', '.join(lost)} in prompt {number + 1}.")


def write_logging(sheet: Sheet) -> None:
    logging = sheet.config.logging
    wandb = logging.wandb
    online = wandb.mode == "online"
    if wandb.mode == "offline":
        sheet.remark(
            "logging.wandb.mode", "sd-scripts sends what Weights & Biases gets; set WANDB_MODE=offline for it."
        )
        online = True
    tracker = {(True, True): "all", (True, False): "tensorboard", (False, True): "wandb"}
    sheet.say(
        ("logging.tensorboard", "logging.wandb.mode"),
        log_with=tracker.get((logging.tensorboard, online)),
        logging_dir="logs" if logging.tensorboard or online else None,
    )
    if online:
        sheet.say("logging.wandb.project", log_tracker_name=wandb.project)
        sheet.say("logging.wandb.run_name", wandb_run_name=wandb.run_name)
    if logging.level != "info":
        sheet.say("logging.level", console_log_level=_LEVELS[logging.level])


def write_validation(sheet: Sheet) -> None:
    validation = sheet.config.validation
    if not validation.is_on:
        sheet.done([f"validation.{name}" for name in type(validation).model_fields])
        return
    if validation.path is not None:
        sheet.cannot("validation.path", "sd-scripts takes pictures for validation from the training folders only.")
    if not validation.split:
        sheet.done([f"validation.{name}" for name in type(validation).model_fields])
        return
    sheet.say(
        ("validation.split", "validation.seed"),
        validation_split=validation.split,
        validation_seed=validation.seed % 2**32,
    )
    sheet.remark("validation.split", "sd-scripts shuffles the pictures to choose, so that others are kept back.")
    sheet.say("validation.every_n_steps", validate_every_n_steps=validation.every_n_steps)
    sheet.say("validation.every_n_epochs", validate_every_n_epochs=validation.every_n_epochs)
    if validation.max_pictures is not None:
        batches = -(-validation.max_pictures // sheet.config.batching.size)
        sheet.say("validation.max_pictures", max_validation_steps=batches)
    if validation.timesteps != 4:
        sheet.cannot("validation.timesteps", "sd-scripts measures at four times.")
