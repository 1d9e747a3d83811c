"""The metadata of a LoRA file as a job: what it was trained with, as far as it says.

Ours tell every parameter that differs from the defaults (`loratory_config`). kohya's tell their arguments (`ss_…`),
which are read as a file of arguments is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loratory.config.architectures.header import header_of
from loratory.drafts.draft import changed
from loratory.errors import UserError
from loratory.files import home
from loratory.interop.imported import Imported, Note
from loratory.interop.kohya.read import read_given
from loratory.interop.kohya.reading import Given

_SAME = (
    "learning_rate", "unet_lr", "text_encoder_lr", "lr_warmup_steps", "lr_scheduler", "network_module", "network_dim",
    "network_alpha", "network_dropout", "mixed_precision", "full_fp16", "v2", "clip_skip", "max_token_length", "seed",
    "gradient_checkpointing", "gradient_accumulation_steps", "max_grad_norm", "cache_latents", "min_snr_gamma",
    "scale_weight_norms", "noise_offset", "multires_noise_iterations", "multires_noise_discount",
    "adaptive_noise_scale", "zero_terminal_snr", "ip_noise_gamma", "ip_noise_gamma_random_strength",
    "debiased_estimation",
    "caption_dropout_rate", "caption_dropout_every_n_epochs", "caption_tag_dropout_rate", "face_crop_aug_range",
    "prior_loss_weight", "min_timestep", "max_timestep", "loss_type", "huber_schedule", "huber_c", "huber_scale",
    "output_name", "max_train_steps", "training_comment", "timestep_sampling", "discrete_flow_shift",
    "guidance_scale", "model_prediction_type", "sigmoid_scale", "weighting_scheme", "logit_mean", "logit_std",
    "mode_scale", "noise_offset_random_strength",
)  # fmt: skip
"""Keys that are an argument with `ss_` before it."""
_OF_PICTURES = ("shuffle_caption", "keep_tokens", "flip_aug", "color_aug", "random_crop", "bucket_no_upscale",
                "min_bucket_reso", "max_bucket_reso", "enable_bucket")  # fmt: skip
_BASES = {"sdxl": "sdxl_train_network", "flux": "flux_train_network", "chroma": "flux_train_network",
          "sd3": "sd3_train_network", "lumina": "lumina_train_network", "sd_v": "train_network"}  # fmt: skip
"""Beginnings of `ss_base_model_version`, and the script that trains it."""


def from_header(content: bytes, name: str) -> Imported:
    """The job of a LoRA file, of which `content` is the beginning with the whole header. Raises UserError."""
    _, metadata = header_of(content, name)
    return from_metadata(metadata, name)


def from_metadata(metadata: Mapping[str, str], source: str) -> Imported:
    """Raises UserError where nothing is said about a training."""
    if "loratory_config" in metadata:
        return _ours(metadata, source)
    if not any(key.startswith("ss_") for key in metadata):
        said = "its metadata say nothing about a training" if metadata else "it has no metadata"
        raise UserError(f"{source}: {said}; only files of this program and of kohya's trainer tell how they were made.")
    values: dict[str, Any] = {name: metadata[f"ss_{name}"] for name in _SAME if _is_given(metadata.get(f"ss_{name}"))}
    values |= _optimizer(metadata.get("ss_optimizer", ""))
    if arguments := _mapping(metadata.get("ss_network_args")):
        values["network_args"] = [f"{key}={value}" for key, value in arguments.items()]
    model = metadata.get("ss_sd_model_name")
    if _is_given(model):
        values["pretrained_model_name_or_path"] = model
    keys = {name: f"ss_{name}" for name in values} | {"pretrained_model_name_or_path": "ss_sd_model_name"}
    script = next((script for begin, script in _BASES.items()
                   if metadata.get("ss_base_model_version", "").startswith(begin)), None)  # fmt: skip
    given = Given(values, source, home(), keys, script, _pictures(metadata), ())
    job = read_given(given)
    note = Note("mapped", "ss_sd_model_name", "names the model without its folder; choose where it lies here")
    folders = Note("mapped", "ss_dataset_dirs", "names folders of pictures without where they lie; choose them here")
    unknown = {each.key for each in job.notes if each.level == "unknown"}
    kept = tuple(each for each in job.notes if each.key not in unknown)
    return Imported(job.data, (*kept, *([note] if model else []), folders), source)


def _is_given(value: str | None) -> bool:
    return value not in (None, "", "None", "null")


def _mapping(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _optimizer(text: str) -> dict[str, Any]:
    """`torch.optim.adamw.AdamW(weight_decay=0.01,betas=(0.9, 0.99))` as its type and arguments."""
    match = re.fullmatch(r"(?:[\w.]+\.)?(\w+)(?:\((.*)\))?", text.strip(), re.DOTALL)
    if match is None or not match[1]:
        return {}
    found: dict[str, Any] = {"optimizer_type": match[1]}
    arguments = re.findall(r"(\w+)\s*=\s*((?:\([^)]*\)|\[[^\]]*\]|[^,])+)", match[2] or "")
    if arguments:
        found["optimizer_args"] = [f"{name}={value.strip()}" for name, value in arguments]
    return found


def _pictures(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The datasets as kohya's description of pictures has them: only the last part of each folder is known."""
    common = {name: value for name in _OF_PICTURES if _is_given(text := metadata.get(f"ss_{name}"))
              if (value := _value(str(text))) is not False}  # fmt: skip
    subsets = []
    for key, regular in (("ss_dataset_dirs", False), ("ss_reg_dataset_dirs", True)):
        for folder, facts in _mapping(metadata.get(key)).items():
            repeats = facts.get("n_repeats", 1) if isinstance(facts, dict) else 1
            subset = {"image_dir": str(home() / "datasets" / Path(str(folder)).name), "num_repeats": repeats}
            subsets.append(subset | ({"is_reg": True} if regular else {}))
    dataset: dict[str, Any] = {"subsets": subsets or [{"image_dir": str(home() / "datasets")}]}
    sides = [int(side) for side in re.findall(r"\d+", metadata.get("ss_resolution", ""))[:2]]
    if sides:
        dataset["resolution"] = sides
    if (metadata.get("ss_batch_size_per_device") or "").isdigit():
        dataset["batch_size"] = int(metadata["ss_batch_size_per_device"])
    return {"general": common, "datasets": [dataset]}


def _value(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    return int(text) if re.fullmatch(r"\d+", text) else text


def _ours(metadata: Mapping[str, str], source: str) -> Imported:
    config = _mapping(metadata["loratory_config"])
    if not config or not all(re.fullmatch(r"[A-Za-z_]\w*(\.\w+){0,8}", path) for path in config):
        raise UserError(f"{source}: its loratory_config cannot be read; the file was changed by another program.")
    first = [path for path in config if path.endswith(".type")]
    ordered = {path: config[path] for path in (*first, *(path for path in config if path not in first))}
    if any(int(number) > 999 for path in config for number in re.findall(r"\.(\d+)", path)):
        raise UserError(f"{source}: its loratory_config cannot be read; the file was changed by another program.")
    data = changed({"job": "train", "name": metadata.get("ss_output_name") or Path(source).stem}, ordered)
    data.setdefault("datasets", [{}])
    for each in data["datasets"] if isinstance(data["datasets"], list) else ():
        if isinstance(each, dict):
            each.setdefault("path", str(home() / "datasets"))
    note = Note("mapped", "loratory_config", "names model and folders without where they lie; choose them here")
    return Imported(data, (note,), source)
