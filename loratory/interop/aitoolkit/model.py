"""Their `model` section: the base model, how its weights are kept, and LoRAs beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from loratory.config.network_preview import model_layers
from loratory.config.targets import blocks_of
from loratory.config.weight_formats import AITOOLKIT, BESIDE_RECOVERED, Recovered
from loratory.interop.aitoolkit.context import Making, precision
from loratory.interop.aitoolkit.notes import Section


def read_model(job: Making) -> None:
    model = job.process.section("model")
    path = model.get("name_or_path")
    if path is None:
        job.notes.refuse(f"{model.path}.name_or_path", "is missing: say which base model")
        return
    spec = job.arch.spec
    job.put("model.architecture", spec.name)
    job.put("model.path", job.place(str(path), may_be_id=True))
    if ":" in str(model.get("arch", "")):
        model.say("mapped", "arch", "what stands behind the colon names files in their form; name_or_path says them")
    components = model.get("extras_name_or_path")
    if components is not None and components != path:
        job.put("model.components", job.place(str(components), may_be_id=True))
    if "vae_path" in model:
        job.put("model.vae_path", job.place(str(model.get("vae_path")), may_be_id=True))
    _parts(job, model)
    if model.flag("is_v_pred"):
        if job.arch.is_flow:
            model.say("ignored", "is_v_pred", f"{spec.title} predicts a velocity anyway")
        else:
            job.put("model.prediction_type", "v_prediction")
    # Theirs is that of the arithmetic, which train.dtype says.
    usual = str(job.process.section("train").get("dtype", "fp32"))
    job.put("model.vae_precision", precision(model, "vae_dtype", usual if usual in _KNOWN else "fp32"))
    _weights(job, model)
    _side_adapters(job, model)
    _swapping(job, model)
    job.put("memory.low_vram", bool(model.given.get("low_vram")))
    if model.flag("compile") or model.flag("block_compile"):
        job.put("memory.compile", True)
        if model.flag("compile"):
            model.say("mapped", "compile", "block by block, which is the same and compiles faster")
    if model.flag("use_flux_cfg"):
        job.put("objective.bypass_guidance_embedding", True)


_KNOWN = ("fp16", "float16", "bf16", "bfloat16", "fp32", "float32", "float")


def _parts(job: Making, model: Section) -> None:
    """Parts of the model that come from elsewhere."""
    spec, parts = job.arch.spec, {}
    if "unet_path" in model:
        parts[spec.denoiser] = model.get("unet_path")
    if "te_name_or_path" in model:
        if len(spec.text_encoders) == 1:
            parts[spec.text_encoders[0]] = model.get("te_name_or_path")
        else:
            encoders = ", ".join(spec.text_encoders)
            model.say("unsupported", "te_name_or_path", f"{spec.title} has several text encoders; say which as "
                      f"model.parts ({encoders})")  # fmt: skip
    for key in ("model_kwargs", "model_paths"):
        for name, value in model.section(key).given.items():
            path, component = f"{model.path}.{key}.{name}", _component(job, name)
            if component is None:
                job.notes.say("unsupported", path, f"means nothing for {spec.title} here")
            elif component == "vae":
                job.put("model.vae_path", job.place(str(value), may_be_id=True))
                job.notes.say("mapped", path)
            else:
                parts[component] = value
                job.notes.say("mapped", path)
    if parts:
        job.put("model.parts", {name: job.place(str(path), may_be_id=True) for name, path in parts.items()})


def _component(job: Making, name: str) -> str | None:
    """The component that one of their free keys gives: a known one, or `text_encoder_path`."""
    known = ("vae", job.arch.spec.denoiser, *job.arch.spec.text_encoders)
    plain = re.sub(r"_(name_or_)?path$", "", name)
    return job.arch.kwargs.get(name) or (plain if plain in known else None)


def _weights(job: Making, model: Section) -> None:
    """How frozen weights are kept. Text encoders follow the denoiser where the file does not say otherwise."""
    quantize = model.flag("quantize")
    recovers = ""
    if quantize:
        kept, recovers = _format(job, model, "qtype")
        job.put("memory.denoiser_weights", kept)
    else:
        _say_unused(model, "qtype", "quantize")
    if model.flag("quantize_te", quantize):
        kept, _ = _format(job, model, "qtype_te")
        job.put("memory.text_encoder_weights", kept)
    else:
        _say_unused(model, "qtype_te", "quantize_te")
    if quantize:
        kept_full = [_substring(job, model, glob) for glob in model.section("quantize_kwargs").texts("exclude")]
        if any(kept_full):
            job.put("memory.keep_full_if_contains", [text for text in kept_full if text])
    else:
        _say_unused(model, "quantize_kwargs", "quantize")
    if recovers:
        path = model.get("accuracy_recovery_adapter") or str(model.get("qtype")).partition("|")[2]
        _add_side(job, str(path), on="always", recovers=recovers)


def _say_unused(model: Section, key: str, switch: str) -> None:
    model.say("dead", key, f"has no effect while {switch} is off")


def _format(job: Making, model: Section, key: str) -> tuple[str, str]:
    """Our format for a qtype, and what an accuracy-recovery adapter was trained to undo, if there is one."""
    name, bar, _ = str(model.get(key, "qfloat8")).partition("|")
    if key == "qtype" and (bar or "accuracy_recovery_adapter" in model):
        if name in get_args(Recovered):
            return BESIDE_RECOVERED, name
        job.notes.refuse(f"{model.path}.{key}", f"an accuracy-recovery adapter needs one of "
                         f"{', '.join(get_args(Recovered))}, not {name}")  # fmt: skip
    foreign = AITOOLKIT.get(name)
    if foreign is None:
        job.notes.refuse(f"{model.path}.{key}", f"{name!r} is no format of ai-toolkit; it has {', '.join(AITOOLKIT)}")
        return "full", ""
    if foreign.refused:
        model.say("unsupported", key, f"{name} {foreign.refused}; {foreign.ours} takes its place")
    elif foreign.ours != name:
        model.say("mapped", key, f"is {foreign.ours} here")
    return foreign.ours, ""


def _substring(job: Making, model: Section, glob: str) -> str:
    """A glob pattern as a text that paths contain; nothing, said, for one that is more than that."""
    plain = glob.strip("*")
    if re.search(r"[*?\[]", plain):
        job.notes.say("unsupported", f"{model.path}.quantize_kwargs.exclude", f"{glob!r} is more than a text within "
                      "stars, so it is left out; write memory.keep_full_if_contains")  # fmt: skip
        return ""
    return plain


def _add_side(job: Making, path: str, **facts: Any) -> None:
    sides = job.data.setdefault("model", {}).setdefault("side_adapters", [])
    sides.append({"path": job.place(path, may_be_id=True), **facts})


def _side_adapters(job: Making, model: Section) -> None:
    if "assistant_lora_path" in model:
        _add_side(job, str(model.get("assistant_lora_path")), on="training")
        model.say("mapped", "assistant_lora_path", "works in training, not in samples, as there")
    if "inference_lora_path" in model:
        _add_side(job, str(model.get("inference_lora_path")), on="sampling")
    if "lora_path" in model:
        job.put("model.merge", [{"path": job.place(str(model.get("lora_path")))}])
    recovery = "accuracy_recovery_adapter"
    if recovery in model and "assistant_lora_path" in model:
        job.notes.refuse(f"{model.path}.{recovery}", "cannot be had together with assistant_lora_path, there neither")
    if recovery in model and not model.flag("quantize"):
        _say_unused(model, recovery, "quantize")


def _swapping(job: Making, model: Section) -> None:
    """Layers that wait in the computer's memory: here whole blocks, as many as theirs in share."""
    keys = [key for key in ("layer_offloading", "auto_memory") if model.flag(key)]
    share = "layer_offloading_transformer_percent"
    if not keys:
        _say_unused(model, share, "layer_offloading")
        return
    spec = job.arch.spec
    blocks = len(set(blocks_of(spec, model_layers(spec, None)).values()))
    count = min(blocks - 1, round(model.number(share, 1.0) * blocks))
    job.put("memory.blocks_to_swap", count)
    model.say("mapped", keys[0], f"as {count} of {blocks} blocks that come in turn, instead of layers chosen by a draw")


def qtype_of(weights: str) -> str | None:
    """Their name of our format; None for one that they have not."""
    usual: Mapping[str, str] = {"fp8_e4m3": "qfloat8", "fp8_e5m2": "qfloat8_e5m2", "int8": "qint8"}
    return usual.get(weights) or (weights if weights in AITOOLKIT else None)
