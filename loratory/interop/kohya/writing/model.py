"""The base model, precision and memory."""

from __future__ import annotations

from pathlib import PurePath

from loratory.interop.kohya.writing.sheet import Sheet

_ONE_FILE = (".safetensors", ".sft", ".ckpt", ".pt", ".bin")


def write_model(sheet: Sheet) -> None:
    model, script = sheet.config.model, sheet.script
    sheet.say("model.architecture", **script.always)
    sheet.say("model.path", pretrained_model_name_or_path=model.path)
    if script.single_file and PurePath(model.path).suffix.lower() not in _ONE_FILE:
        sheet.cannot("model.path", f"{script.name} reads one .safetensors file only; give that one.")
    if model.revision is not None:
        sheet.cannot("model.revision", "sd-scripts takes the newest version of a repository.")
    sheet.done(("model.allow_pickle", "model.components"))
    sheet.optional("model.disable_mmap", "disable_mmap_load_safetensors", model.disable_mmap, False)
    _write_parts(sheet)
    _write_prediction(sheet)
    sheet.done("model.merge")
    if model.merge:
        sheet.say(
            [f"model.merge.{i}.{name}" for i in range(len(model.merge)) for name in ("path", "strength")],
            base_weights=[each.path for each in model.merge],
            base_weights_multiplier=[each.strength for each in model.merge],
        )


def _write_parts(sheet: Sheet) -> None:
    model, script = sheet.config.model, sheet.script
    given = {}
    for part, path in model.parts.items():
        argument = script.parts.get(part)
        if argument is None or path is None:
            what = "can do without" if path is None else "has no argument for"
            sheet.cannot(
                "model.parts", f"sd-scripts {what} {part}." if path else f"sd-scripts cannot leave out {part}."
            )
        else:
            given[argument] = path
    sheet.say("model.parts", **given)
    argument = next((name for name in ("ae", "vae") if sheet.has(name)), None)
    if argument is not None:
        given[argument] = model.vae_path or ""
        sheet.say("model.vae_path", **{argument: model.vae_path})
    missing = [name for name in script.needs if not given.get(name)]
    if missing:
        sheet.cannot(
            "model.components" if model.components else "model.parts",
            f"{script.name} needs {', '.join(missing)}, each as one .safetensors file; add them to config.toml.",
        )
    elif model.components is not None:
        sheet.remark("model.components", "sd-scripts brings its own configs and tokenizers.")


def _write_prediction(sheet: Sheet) -> None:
    model = sheet.config.model
    if sheet.spec.objective != "ddpm":
        sheet.done(("model.prediction_type", "model.zero_terminal_snr"))
        return
    velocity = model.prediction_type == "v_prediction"
    sheet.say("model.prediction_type", v_parameterization=velocity or None)
    if model.prediction_type is None:
        sheet.remark(
            "model.prediction_type",
            "the model's files say it here; sd-scripts takes epsilon. Add v_parameterization = true for a v-prediction "
            "model.",
        )
    sheet.say("model.zero_terminal_snr", zero_terminal_snr=model.zero_terminal_snr or None)


def write_memory(sheet: Sheet) -> None:
    memory, model = sheet.config.memory, sheet.config.model
    sheet.say("memory.precision", mixed_precision={"fp32": "no"}.get(memory.precision, memory.precision))
    if memory.adapter_precision == "fp32":
        sheet.done("memory.adapter_precision")
    elif memory.adapter_precision == memory.precision:
        sheet.say("memory.adapter_precision", **{f"full_{memory.precision}": True})
    else:
        sheet.cannot(
            "memory.adapter_precision",
            f"sd-scripts keeps the adapter in {memory.adapter_precision} only where memory.precision is that, too.",
        )
    if sheet.has("no_half_vae"):
        sheet.say("model.vae_precision", no_half_vae=model.vae_precision == "fp32" or None)
    if model.vae_precision != memory.precision and not (sheet.has("no_half_vae") and model.vae_precision == "fp32"):
        sheet.remark("model.vae_precision", f"sd-scripts runs the autoencoder in {memory.precision}, as all else.")
    _write_formats(sheet)
    _write_speed(sheet)


def _write_formats(sheet: Sheet) -> None:
    memory = sheet.config.memory
    denoiser, texts = memory.denoiser_weights, memory.text_encoder_weights
    sheet.done(("memory.denoiser_weights", "memory.text_encoder_weights"))
    if memory.precision == "fp32" and "fp8_e4m3" in (denoiser, texts):
        sheet.cannot("memory.denoiser_weights", "sd-scripts has fp8 only beside mixed precision.")
    elif denoiser == "fp8_e4m3":
        both = texts == "fp8_e4m3"
        sheet.say("memory.denoiser_weights", **{"fp8_base" if both else "fp8_base_unet": True})
        sheet.remark("memory.denoiser_weights", "sd-scripts cuts weights to fp8 without factors, which loses more.")
        if texts not in ("full", "fp8_e4m3"):
            sheet.cannot("memory.text_encoder_weights", f"sd-scripts knows no {texts}; it keeps them in full.")
        return
    elif denoiser != "full":
        sheet.cannot("memory.denoiser_weights", f"sd-scripts knows no {denoiser}; the denoiser is kept in full there.")
    if texts != "full":
        sheet.cannot("memory.text_encoder_weights", f"sd-scripts keeps the text encoders in full here, not in {texts}.")


def _write_speed(sheet: Sheet) -> None:
    memory = sheet.config.memory
    sheet.done("memory.attention")
    if sheet.has("sdpa"):
        # Without one of these its own attention is used, which takes far more memory.
        sheet.say("memory.attention", **{"xformers" if memory.attention == "xformers" else "sdpa": True})
    sheet.say("memory.compile", torch_compile=memory.compile or None)
    checkpointing = memory.gradient_checkpointing
    sheet.say("memory.gradient_checkpointing", gradient_checkpointing=checkpointing != "off")
    if checkpointing == "offload" and sheet.has("cpu_offload_checkpointing") and not memory.blocks_to_swap:
        sheet.say("memory.gradient_checkpointing", cpu_offload_checkpointing=True)
    elif checkpointing in ("selective", "offload"):
        sheet.remark("memory.gradient_checkpointing", f"{checkpointing} is on there; it changes no number.")
    if memory.blocks_to_swap:
        if sheet.has("blocks_to_swap"):
            theirs, swapped = _their_count(sheet, memory.blocks_to_swap)
            sheet.say("memory.blocks_to_swap", blocks_to_swap=theirs)
            if swapped != memory.blocks_to_swap:
                sheet.remark("memory.blocks_to_swap", f"sd-scripts cannot swap so many; it swaps {swapped}.")
        else:
            sheet.remark("memory.blocks_to_swap", f"{sheet.script.name} swaps no blocks; it takes more memory.")
    if memory.checkpoint_every != 1:
        sheet.remark("memory.checkpoint_every", "sd-scripts computes every block a second time; it changes no number.")


def _their_count(sheet: Sheet, blocks: int) -> tuple[int, int]:
    """Their number for so many blocks, and how many it swaps: at least so many.

    Of Flux and Chroma half of theirs are double blocks, and each of the rest stands for two single ones.
    """
    if sheet.script.name != "flux_train_network.py":
        return blocks, blocks
    theirs = next(number for number in range(blocks + 1) if number // 2 + 2 * (number - number // 2) >= blocks)
    return theirs, theirs // 2 + 2 * (theirs - theirs // 2)
