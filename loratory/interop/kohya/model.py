"""The base model, its precision and memory, and what is kept of encoded pictures and captions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from loratory.config.architectures import get_spec
from loratory.config.identify import identify
from loratory.config.model import ModelConfig
from loratory.errors import UserError
from loratory.interop.kohya.names import number
from loratory.interop.kohya.reading import DDPM, DIT, FLUX, Given, Reading

SCRIPTS: Mapping[str, str | None] = {
    "train_network": None,
    "sdxl_train_network": "sdxl",
    "flux_train_network": "flux1",
    "sd3_train_network": "sd3",
    "lumina_train_network": "lumina2",
}
_MODULES = {"lora_flux": "flux1", "oft_flux": "flux1", "lora_sd3": "sd3", "lora_lumina": "lumina2"}
_MISSING = {"hunyuan_image": "HunyuanImage-2.1", "anima": "Anima"}
_PARTS: Mapping[str | None, Mapping[str, str]] = {
    "flux1": {"clip_l": "text_encoder", "t5xxl": "text_encoder_2"},
    "chroma": {"t5xxl": "text_encoder"},
    "sd3": {"clip_l": "text_encoder", "clip_g": "text_encoder_2", "t5xxl": "text_encoder_3"},
    "lumina2": {"gemma2": "text_encoder"},
}
"""Our component for each of their files."""
PRECISIONS = {"no": "fp32", "fp16": "fp16", "bf16": "bf16", "float": "fp32", "fp32": "fp32"}
_SWAPPED_BY_TWO = FLUX


def architecture_of(given: Given) -> str | None:
    """The architecture that a file is for, from the script's name or from arguments that only one trainer has; None
    where the model itself must tell (Stable Diffusion 1.5 or SDXL). Raises UserError for one that is not here."""
    script, values = given.script, given.values
    for name, title in _MISSING.items():
        if (script or "").startswith(name) or str(values.get("network_module")).endswith(f"lora_{name}"):
            raise UserError(f"{given.source}: {title} cannot be trained here; `loratory models` lists what can.")
    if script is not None and script not in SCRIPTS:
        raise UserError(
            f"{given.source}: {script}.py trains whole models, embeddings or ControlNets, and here adapters (LoRA and "
            f"its kin) are trained, as by {', '.join(f'{name}.py' for name in SCRIPTS)}."
        )
    found = SCRIPTS.get(script or "") or _by_arguments(given)
    if found == "flux1" and values.get("model_type") == "chroma":
        return "chroma"
    if found is None and values.get("v2"):
        return "sd2"
    return found or _by_file(given)


def _by_arguments(given: Given) -> str | None:
    values = given.values
    if values.get("qwen3") or values.get("byt5"):
        missing = _MISSING["anima" if values.get("qwen3") else "hunyuan_image"]
        raise UserError(f"{given.source}: {missing} cannot be trained here; `loratory models` lists what can.")
    module = str(values.get("network_module", "")).rpartition(".")[2]
    if module in _MODULES:
        return _MODULES[module]
    if values.get("gemma2"):
        return "lumina2"
    if values.get("clip_g"):
        return "sd3"
    if values.get("model_type") or (values.get("ae") and (values.get("t5xxl") or values.get("clip_l"))):
        return "flux1"
    return "sdxl" if values.get("sdxl") else None


def _by_file(given: Given) -> str | None:
    """What a local model is by its header; None for one of the Hub, or one that only the training can look into."""
    path = Reading(given, None).model_path(str(given.values.get("pretrained_model_name_or_path", "")))
    if not Path(path).exists() or Path(path).suffix in (".ckpt", ".pt"):
        return None
    try:
        return identify(ModelConfig(path=path), lambda text, **_: Path(text))
    except UserError:
        return None  # said again, with the model's path, when the job is checked


def read_model(reading: Reading) -> None:
    _weights(reading)
    _precision(reading)
    _memory(reading)
    _attention(reading)
    _texts(reading)
    _caches(reading)


def _weights(reading: Reading) -> None:
    for name in ("v2", "model_type", "sdxl"):
        reading.take(name)
    if reading.architecture is not None:
        reading.set("model.architecture", reading.architecture)
    path = reading.take("pretrained_model_name_or_path")
    if path:
        reading.set("model.path", reading.model_path(str(path)))
    else:
        reading.note(
            "unsupported", "pretrained_model_name_or_path", "is not given: name the model there, or in model.path"
        )
    own, other = ("vae", "ae") if reading.architecture in (*DDPM, "sd3") else ("ae", "vae")
    if reading.has(own) and reading.peek(own):
        reading.set("model.vae_path", reading.model_path(str(reading.take(own))))
    if reading.has(other) and reading.peek(other):
        reading.note("dead", other, f"has no effect on {reading.trainer} in sd-scripts, where {own} names the file")
    for name, component in _PARTS.get(reading.architecture, {}).items():
        if reading.peek(name):
            reading.set(f"model.parts.{component}", reading.model_path(str(reading.take(name))))
    _prediction(reading)
    _merged(reading)


def _prediction(reading: Reading) -> None:
    velocity = reading.peek("v_parameterization", False)
    if reading.architecture in DDPM:
        reading.take("v_parameterization")
        # Here the model's own settings say it; there only this switch does.
        reading.set("model.prediction_type", "v_prediction" if velocity else "epsilon")
    elif velocity:
        reading.note("dead", "v_parameterization", f"has no effect on {reading.trainer} in sd-scripts")


def _merged(reading: Reading) -> None:
    paths, strengths = reading.take("base_weights", []), reading.take("base_weights_multiplier", [])
    where = reading.where("base_weights_multiplier")
    merged = [
        {"path": reading.path(str(path)), "strength": number(strengths[i], where) if i < len(strengths) else 1.0}
        for i, path in enumerate(paths)
    ]
    if merged:
        reading.set("model.merge", merged)


def _precision(reading: Reading) -> None:
    mixed = reading.take("mixed_precision") or "no"
    precision = PRECISIONS.get(mixed)
    if precision is None:
        raise UserError(f"{reading.where('mixed_precision')} is {mixed!r}; no, fp16 or bf16 was expected.")
    reading.set("memory.precision", precision)
    if reading.take("full_bf16", False) or reading.take("full_fp16", False):
        reading.set("memory.adapter_precision", "bf16" if reading.peek("full_bf16") else "fp16")
        reading.set("optimizer.stochastic_rounding", False)
    else:
        reading.take("full_fp16")
    full_vae = reading.take("no_half_vae", False) if reading.architecture in DDPM else False
    reading.set("model.vae_precision", "fp32" if full_vae else precision)
    tf32 = reading.take("cuda_allow_tf32", False)
    if tf32:
        reading.set("memory.tf32", "on")


def _memory(reading: Reading) -> None:
    flags = ("gradient_checkpointing", "cpu_offload_checkpointing", "unsloth_offload_checkpointing")
    on, offload, also_offload = [reading.take(name, False) for name in flags]
    if on or also_offload:
        reading.set("memory.gradient_checkpointing", "offload" if offload or also_offload else "on")
    elif offload:
        reading.note("dead", flags[1], "has no effect without gradient_checkpointing")
    if reading.take("fp8_base", False) or reading.take("fp8_base_unet", False):
        reading.take("fp8_base_unet")
        reading.set("memory.denoiser_weights", "fp8_e4m3")
        if reading.peek("fp8_base") and not reading.peek("fp8_base_unet"):
            reading.set("memory.text_encoder_weights", "fp8_e4m3")
    blocks = reading.peek("blocks_to_swap", 0)
    if reading.take("split_mode", False):
        blocks = 18
        reading.note("mapped", "split_mode", "became blocks_to_swap 18, as in sd-scripts")
    if reading.architecture in DIT:
        reading.take("blocks_to_swap")
        if blocks:
            reading.set("memory.blocks_to_swap", _own_count(blocks, reading.architecture))


def _own_count(blocks: int, architecture: str | None) -> int:
    """Flux and Chroma count half of the number in double blocks, and of the rest each as two single ones."""
    return blocks // 2 + 2 * (blocks - blocks // 2) if architecture in _SWAPPED_BY_TWO else blocks


def _attention(reading: Reading) -> None:
    if reading.take("sdpa", False):
        reading.set("memory.attention", "sdpa")
    for name in ("xformers", "mem_eff_attn", "use_flash_attn"):
        if reading.take(name, False):
            reading.note("default", name, "PyTorch's own attention is as sparing; for a package see memory.attention")


def _texts(reading: Reading) -> None:
    skip, length = reading.peek("clip_skip", 0), reading.peek("max_token_length", 75)
    if reading.architecture in (None, "sd15"):
        reading.take("clip_skip")
        if skip:
            reading.set("text.clip_skip", skip)
    elif skip == 1:
        reading.note("default", "clip_skip")
    elif skip:
        known = reading.architecture == "sd2"
        reading.note(
            "unsupported" if known else "dead", "clip_skip",
            "Stable Diffusion 2 always uses the layer that it was made with" if known
            else f"has no effect on the training of {reading.trainer} in sd-scripts",
        )  # fmt: skip
    if reading.architecture in DDPM:
        reading.take("max_token_length")
        if length != 75:
            reading.set("text.max_token_length", length)
    elif reading.has("max_token_length"):
        reading.note("dead", "max_token_length", f"has no effect on {reading.trainer} in sd-scripts")
    _token_lengths(reading)
    if reading.architecture == "lumina2":
        given = reading.take("system_prompt", "")
        words = "the prompt that the model was made with is put in front of each caption"
        reading.note("unsupported", "system_prompt", f"{words}, not {given!r}")


LEAST_TOKENS = 32


def _token_lengths(reading: Reading) -> None:
    name = {"lumina2": "gemma2_max_token_length"}.get(str(reading.architecture), "t5xxl_max_token_length")
    if reading.architecture not in DIT or not reading.has(name):
        return
    spec = get_spec(str(reading.architecture))
    length, most = int(reading.take(name)), spec.most_text_tokens or spec.text_tokens or 0
    if length == spec.text_tokens:
        reading.note("default", name)
    elif length < LEAST_TOKENS or length > most:
        reading.note("unsupported", name, f"{LEAST_TOKENS} to {most} tokens can be read, not {length}")
    else:
        reading.set("text.max_tokens", length)


def _caches(reading: Reading) -> None:
    latents, on_disk = reading.take("cache_latents", False), reading.take("cache_latents_to_disk", False)
    if latents or on_disk:
        reading.set("caching.latents", "disk" if on_disk else "memory")
    if caches_texts(reading):
        on_disk = reading.take("cache_text_encoder_outputs_to_disk", False)
        reading.take("cache_text_encoder_outputs")
        reading.set("caching.text_embeddings", "disk" if on_disk else "memory")


def caches_texts(reading: Reading) -> bool:
    """Are captions encoded once, in sd-scripts too? Stable Diffusion 1.5 and 2 always encode them anew there."""
    flags = ("cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk")
    on = any(reading.peek(name, False) for name in flags)
    return on and reading.architecture not in ("sd15", "sd2")
