"""Settings that kohya_ss' web form saves (JSON): its own names, and values that it drops before it writes a file."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loratory.errors import UserError
from loratory.interop.imported import Note
from loratory.interop.kohya.names import ALL, number, truth
from loratory.interop.kohya.reading import Given
from loratory.interop.kohya.shell import arguments

MARKS = ("LoRA_type", "LyCORIS_preset", "max_resolution", "stop_text_encoder_training")
"""Names that only this form has."""

_CHECKBOXES = {
    "sdxl": "sdxl_train_network", "flux1_checkbox": "flux_train_network", "sd3_checkbox": "sd3_train_network",
    "lumina_checkbox": "lumina_train_network", "hunyuan_image_checkbox": "hunyuan_image_train_network",
    "anima_checkbox": "anima_train_network",
}  # fmt: skip
_PREFIXES = {
    "sdxl_train_network": "sdxl_", "flux_train_network": "flux1_", "sd3_train_network": "sd3_",
    "lumina_train_network": "lumina_",
}  # fmt: skip
"""What stands before names that count for one trainer alone."""
_RENAMED = {"max_resolution": "resolution", "optimizer": "optimizer_type", "lora_network_weights": "network_weights"}

_LYCORIS = {
    "BOFT": "boft", "Diag-OFT": "diag-oft", "DyLoRA": "dylora", "GLoRA": "glora", "iA3": "ia3", "LoCon": "locon",
    "LoHa": "loha", "LoKr": "lokr", "Native Fine-Tuning": "full",
}  # fmt: skip
_MODULES = {
    "Standard": "networks.lora", "Kohya LoCon": "networks.lora", "LoRA-FA": "networks.lora_fa",
    "Kohya DyLoRA": "networks.dylora", "Flux1": "networks.lora_flux", "Flux1 OFT": "networks.oft_flux",
    "Kohya LoHa": "networks.loha", "Kohya LoKr": "networks.lokr", "Lumina": "networks.lora_lumina",
}  # fmt: skip
_BLOCKS = ("down_lr_weight", "mid_lr_weight", "up_lr_weight", "block_lr_zero_threshold", "block_dims", "block_alphas",
           "conv_block_dims", "conv_block_alphas")  # fmt: skip
_DROPOUTS = ("rank_dropout", "module_dropout")
_CONV = ("conv_dim", "conv_alpha")
_FLUX = ("img_attn_dim", "img_mlp_dim", "img_mod_dim", "single_dim", "txt_attn_dim", "txt_mlp_dim", "txt_mod_dim",
         "single_mod_dim", "in_dims", "train_double_block_indices", "train_single_block_indices", "split_qkv",
         "train_t5xxl")  # fmt: skip
_LORA_PLUS = ("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio")
_TAKES: Mapping[str, tuple[str, ...]] = {
    "Standard": (*_BLOCKS, *_DROPOUTS),
    "LoRA-FA": (*_BLOCKS, *_DROPOUTS),
    "Kohya LoCon": (*_BLOCKS, *_DROPOUTS, *_CONV),
    "Kohya DyLoRA": (*_BLOCKS, *_DROPOUTS, *_CONV, "unit"),
    "Flux1": (*_FLUX, *_DROPOUTS),
    "Flux1 OFT": ("enable_all_linear",),
    "Kohya LoHa": (*_CONV, *_DROPOUTS, "use_tucker"),
    "Kohya LoKr": (*_CONV, *_DROPOUTS, "use_tucker", "factor"),
    "Lumina": _DROPOUTS,
    "boft": (*_CONV, *_DROPOUTS, "use_tucker", "rank_dropout_scale", "train_norm"),
    "diag-oft": (*_CONV, *_DROPOUTS, "use_tucker", "rank_dropout_scale", "train_norm", "rescaled"),
    "dylora": (*_CONV, *_DROPOUTS, "use_tucker", "train_norm"),
    "glora": (*_CONV, *_DROPOUTS, "use_tucker", "rank_dropout_scale", "train_norm"),
    "ia3": ("train_on_input",),
    "locon": (*_CONV, *_DROPOUTS, "use_tucker", "bypass_mode", "dora_wd", "use_scalar", "rank_dropout_scale",
              "train_norm"),
    "loha": (*_CONV, *_DROPOUTS, "use_tucker", "bypass_mode", "dora_wd", "use_scalar", "rank_dropout_scale",
             "train_norm"),
    "lokr": (*_CONV, *_DROPOUTS, "use_cp", "factor", "bypass_mode", "dora_wd", "use_scalar", "decompose_both",
             "rank_dropout_scale", "train_norm"),
    "full": (*_DROPOUTS, "rank_dropout_scale", "train_norm"),
}  # fmt: skip
"""What each type's network_args are made of."""

_ACCELERATE = ("num_cpu_threads_per_process", "num_processes", "num_machines", "multi_gpu", "gpu_ids",
               "main_process_port", "dynamo_mode", "dynamo_use_fullgraph", "dynamo_use_dynamic",
               "extra_accelerate_launch_args")  # fmt: skip
_FORM = ("model_list", "save_as_bool", "headless", "print_only", "lowvram", "use_latent_files", "folder_format",
         "weighted_captions_", "noise_offset_type", "LoRA_type", "LyCORIS_preset", "epoch", "lr_warmup",
         "additional_parameters", "t5xxl_lr", "train_lora_ggpo", "use_wandb", *_CHECKBOXES)  # fmt: skip
_NETWORK_NAMES = {name for names in _TAKES.values() for name in names} | {
    *_LORA_PLUS, "constrain", "unit", "train_blocks", "ggpo_sigma", "ggpo_beta", "train_on_input",
}  # fmt: skip


def is_gui(data: Mapping[str, Any]) -> bool:
    return any(name in data for name in MARKS)


def from_gui(data: Mapping[str, Any], path: Path) -> Given:
    """What the form would hand to sd-scripts. Raises UserError."""
    source = str(path)
    if "LoRA_type" not in data:
        raise UserError(
            f"{source} has no LoRA_type, so it is of a page of kohya_ss that trains whole models or embeddings; "
            "here adapters (LoRA and its kin) are trained."
        )
    form = _Form(data, source)
    script = next((name for box, name in _CHECKBOXES.items() if form.on(box)), "train_network")
    values: dict[str, Any] = {}
    keys: dict[str, str] = {}
    notes: list[Note] = []
    for name, value in data.items():
        argument = _argument(name, script)
        if name in _FORM or name in _NETWORK_NAMES:
            continue
        if name in _ACCELERATE:
            level, words = ("default", "") if _nothing(value) else ("ignored", "is about starting several processes")
            notes.append(Note(level, name, words))  # type: ignore[arg-type]
        elif _nothing(value):
            notes.append(Note("default", name))
            if name in ("max_grad_norm", "guidance_scale") and value not in ("", None):
                notes[-1] = Note("dead", name, "0 is dropped by the form, so that sd-scripts' own default counts")
        elif argument is None:
            notes.append(Note("default", name))  # of another trainer's page of the form
        else:
            values[argument], keys[argument] = value, name
    _composed(form, values, keys, script)
    entries = values.get("network_args", {})
    used = {keys.get(name, name) for name in values}
    used |= {keys[f"network_args.{name}"] for name in entries} | {note.key for note in notes}
    notes += [Note("default", name) for name in data if name not in used]  # not of use with what is chosen
    extra = arguments(shlex.split(str(data.get("additional_parameters") or "")), source)
    return Given(
        {**values, **extra}, source, path.absolute().parent, {**keys, **dict.fromkeys(extra, "additional_parameters")},
        script, None, tuple(notes),
    )  # fmt: skip


class _Form:
    def __init__(self, data: Mapping[str, Any], source: str) -> None:
        self.data, self.source = data, source

    def on(self, name: str) -> bool:
        return truth(self.data.get(name) or False, f"{self.source}: {name}")

    def number(self, name: str) -> float:
        value = self.data.get(name)
        return 0.0 if value in (None, "") else number(value, f"{self.source}: {name}")


def _nothing(value: Any) -> bool:
    """The form drops these; 0 is among them, since it equals False."""
    return value is None or value in ("", False, 0, "0", "0.0")


def _argument(name: str, script: str) -> str | None:
    """sd-scripts' name for one of the form; None for one that belongs to another trainer."""
    for other, prefix in _PREFIXES.items():
        if name.startswith(prefix) and name.removeprefix(prefix) in ALL:
            return name.removeprefix(prefix) if other == script else None
    if name.startswith(("hunyuan_", "anima_")):
        return None
    if script == "sd3_train_network" and name in ("clip_l", "t5xxl"):
        return None
    return _RENAMED.get(name, name)


def _composed(form: _Form, values: dict[str, Any], keys: dict[str, str], script: str) -> None:
    attention = values.pop("xformers", None)
    if attention in ("xformers", "sdpa", True):
        kind = "sdpa" if attention == "sdpa" else "xformers"
        values[kind], keys[kind] = True, "xformers"
    if form.on("use_wandb"):
        values.setdefault("log_with", "wandb")
    _rates(form, values)
    _noise(form, values)
    _network(form, values, keys, script)
    _lengths(form, values)
    for name in ("optimizer_args", "lr_scheduler_args"):
        if isinstance(values.get(name), str):
            values[name] = values[name].replace('"', "").split()
    prompts = values.get("sample_prompts")
    if isinstance(prompts, str):
        lines = [line.strip() for line in prompts.splitlines()]
        values["sample_prompts"] = [line for line in lines if line and not line.startswith("#")]
    if script == "flux_train_network":
        values.pop("max_token_length", None)


def _rates(form: _Form, values: dict[str, Any]) -> None:
    texts, t5, denoiser = (form.number(name) for name in ("text_encoder_lr", "t5xxl_lr", "unet_lr"))
    values.pop("text_encoder_lr", None)
    if texts:
        values["text_encoder_lr"] = [texts, t5 or texts]
    if texts and not denoiser:
        values["network_train_text_encoder_only"] = True
    if denoiser and not texts:
        values["network_train_unet_only"] = True


def _noise(form: _Form, values: dict[str, Any]) -> None:
    kind = form.data.get("noise_offset_type")
    original = ("noise_offset", "noise_offset_random_strength", "adaptive_noise_scale")
    pyramid = ("multires_noise_iterations", "multires_noise_discount")
    for name in pyramid if kind == "Original" else original if kind == "Multires" else ():
        values.pop(name, None)


def _network(form: _Form, values: dict[str, Any], keys: dict[str, str], script: str) -> None:
    chosen = str(form.data.get("LoRA_type") or "Standard")
    word = chosen.removeprefix("LyCORIS/")
    is_lycoris = chosen.startswith("LyCORIS/") or chosen == "LoCon"
    kind = _LYCORIS.get(word, "") if is_lycoris else chosen
    if kind not in _TAKES:
        raise UserError(
            f"{form.source}: LoRA_type {chosen!r} is not here; there are {', '.join(_MODULES)} and LyCORIS'."
        )
    module = "lycoris.kohya" if is_lycoris else _MODULES[kind]
    if chosen == "Standard" and script == "sd3_train_network":
        module = "networks.lora_sd3"
    values["network_module"], keys["network_module"] = module, "LoRA_type"
    given = {name: form.data[name] for name in _TAKES[kind] if name in form.data}
    if not is_lycoris:
        given = {name: value for name, value in given.items() if not _nothing(value)}
    if is_lycoris:
        given |= {"algo": kind, "preset": form.data.get("LyCORIS_preset") or "full"}
    if kind == "diag-oft" and form.number("constrain"):
        given["constraint"] = form.data["constrain"]
    if kind == "dylora":
        given["block_size"] = form.data.get("unit", 1)
    if kind == "Flux1":
        blocks = "single" if form.on("split_mode") else form.data.get("train_blocks")
        given |= {"train_blocks": blocks} if blocks and form.on("split_mode") else {}
        if form.on("train_lora_ggpo"):
            given |= {name: form.data[name] for name in ("ggpo_sigma", "ggpo_beta") if form.data.get(name)}
    given |= {name: form.data[name] for name in _LORA_PLUS if not _nothing(form.data.get(name))}
    if given:
        values["network_args"] = {name: value for name, value in given.items() if value not in (None, "")}
        keys["network_args"] = "network_args"
        keys |= {f"network_args.{name}": name for name in given}


def _lengths(form: _Form, values: dict[str, Any]) -> None:
    """Steps out of epochs, by the form's own arithmetic, and the warm-up as a share."""
    percent = form.number("lr_warmup")
    with_file = bool(values.get("dataset_config"))
    if not (with_file and form.number("lr_warmup_steps")):
        values.pop("lr_warmup_steps", None)
        if percent:
            values["lr_warmup_steps"] = percent / 100
    else:
        values["lr_warmup_steps"] = int(form.number("lr_warmup_steps"))
    epoch = int(form.number("epoch")) or 1
    if str(values.get("lr_scheduler")) == "cosine_with_restarts":
        values.setdefault("lr_scheduler_num_cycles", epoch)
    if with_file or values.get("max_train_steps") or values.get("max_train_epochs"):
        return
    pictures = _uses(Path(str(values.get("train_data_dir", ""))).expanduser())
    if not pictures:
        values["max_train_epochs"] = epoch
        return
    batch = int(form.number("train_batch_size") or 1) * int(form.number("gradient_accumulation_steps") or 1)
    values["max_train_steps"] = math.ceil(pictures / batch * epoch * (2 if values.get("reg_data_dir") else 1))


def _uses(parent: Path) -> int:
    """How often pictures are used in an epoch, as the form counts; 0 where there are none to be seen."""
    if not parent.is_dir():
        return 0
    total = 0
    for folder in parent.iterdir():
        repeats = re.match(r"(\d+)(_|$)", folder.name)
        if folder.is_dir() and repeats:
            found = [each for each in folder.iterdir() if each.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp")]
            total += int(repeats[1]) * len(found)
    return total
