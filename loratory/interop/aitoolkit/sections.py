"""Our job's settings as the sections of a process of theirs. What they cannot say is left out; `write` finds it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loratory.config.dataset import DatasetConfig
from loratory.config.network import LokrConfig, LoraConfig, RankedConfig
from loratory.config.network_preview import model_layers
from loratory.config.optimizers.arguments import OTHER_ARGUMENTS, SEVERAL
from loratory.config.optimizers.base import RatesConfig
from loratory.config.schedule import CosineWithMinRateSchedule, RampSchedule, WarmupSettings
from loratory.config.targets import blocks_of
from loratory.config.train import TrainConfig
from loratory.data.prompts import Prompt, parse_prompt
from loratory.interop.aitoolkit.architectures import Arch
from loratory.interop.aitoolkit.model import qtype_of
from loratory.interop.aitoolkit.optimizers import KINDS, OPTIMIZERS
from loratory.interop.aitoolkit.training import ATTENTION, LAST_INDEX, LOSSES

NEVER = 1_000_000
"""A number of steps or files that is not reached, where they have no word for never."""
_LONG = {"fp32": "float32", "bf16": "bf16", "fp16": "fp16"}


def network(config: TrainConfig, arch: Arch) -> dict[str, Any]:
    ours = config.network
    if isinstance(ours, LokrConfig):
        found: dict[str, Any] = {"type": "lokr", "lokr_full_rank": ours.full_matrix, "lokr_factor": ours.factor}
    else:
        found = {"type": "dora" if isinstance(ours, LoraConfig) and ours.decompose else "lora"}
    rank = getattr(ours, "rank", 4)
    found |= {"linear": rank, "linear_alpha": getattr(ours, "alpha", "auto")}
    if found["linear_alpha"] == "auto":
        found["linear_alpha"] = rank
    if isinstance(ours, RankedConfig) and ours.conv_rank is not None and arch.spec.convolution_groups:
        found |= {"conv": ours.conv_rank, "conv_alpha": ours.resolved_conv_alpha()}
    if ours.dropout:
        found["dropout"] = ours.dropout
    if ours.start_from is not None:
        found["pretrained_lora_path"] = ours.start_from
    found["network_kwargs"] = _network_kwargs(config, arch)
    schedule = _alpha_schedule(config)
    return found | ({"alpha_schedule": schedule} if schedule else {})


def _network_kwargs(config: TrainConfig, arch: Arch) -> dict[str, Any]:
    ours, targets = config.network, config.network.targets
    ignored = list(targets.ignore_if_contains)
    attention_only = targets.preset == "attn-only"
    if not attention_only and arch.more_layers not in targets.also_if_contains:
        ignored += arch.without_them
    found = {
        "ignore_if_contains": ignored,
        "only_if_contains": list(targets.only_if_contains),
        "full_if_contains": list(targets.full_if_contains),
        "attn_only": attention_only,
        "rank_dropout": ours.rank_dropout,
        "module_dropout": ours.module_dropout,
    }
    return {name: value for name, value in found.items() if value}


def _alpha_schedule(config: TrainConfig) -> dict[str, Any]:
    """Phases of convolutions beside an alpha of linear layers that stays; no more can be said (relaxis)."""
    phases = config.alpha_schedule.phases()
    linear, conv = phases.get("linear", ()), phases.get("conv", ())
    names = {phase.name for phase in conv}
    whole = all(phase.loss_slope_below is not None for phase in conv) and len(names) == len(conv)
    if len(linear) != 1 or not conv or not whole:
        return {}
    return {
        "enabled": True,
        "linear_alpha": linear[0].alpha,
        "conv_alpha_phases": {
            phase.name: {
                "alpha": phase.alpha,
                "min_steps": phase.min_steps,
                "exit_criteria": {
                    "loss_improvement_rate_below": phase.loss_slope_below,
                    "min_gradient_stability": phase.gradient_stability_above,
                    "min_loss_r2": phase.loss_r2_above,
                },
            }
            for phase in conv
        },
    }


def model(config: TrainConfig, arch: Arch) -> dict[str, Any]:
    ours, memory = config.model, config.memory
    found: dict[str, Any] = {"name_or_path": ours.path, "arch": arch.theirs}
    if not arch.is_flow:
        found["is_v_pred"] = ours.prediction_type == "v_prediction"
    named = {"extras_name_or_path": ours.components, "vae_path": ours.vae_path}
    named["unet_path"] = ours.parts.get(arch.spec.denoiser)
    if len(arch.spec.text_encoders) == 1:
        named["te_name_or_path"] = ours.parts.get(arch.spec.text_encoders[0])
    found |= {name: path for name, path in named.items() if path is not None}
    kwargs = {name: ours.parts[part] for name, part in arch.kwargs.items() if ours.parts.get(part) is not None}
    if kwargs:
        found["model_kwargs"] = kwargs
    found["vae_dtype"] = _LONG[ours.vae_precision]
    found |= _weights(config)
    for side in ours.side_adapters:
        key = {"training": "assistant_lora_path", "sampling": "inference_lora_path"}.get(side.on)
        if key is not None:
            found.setdefault(key, side.path)
    if ours.merge:
        found["lora_path"] = ours.merge[0].path
    found["low_vram"] = memory.low_vram
    if memory.compile:
        found["block_compile"] = True
    if memory.blocks_to_swap:
        blocks = len(set(blocks_of(arch.spec, model_layers(arch.spec, None)).values()))
        share = min(1.0, memory.blocks_to_swap / blocks)
        found |= {"layer_offloading": True, "layer_offloading_transformer_percent": round(share, 6)}
    return found


def _weights(config: TrainConfig) -> dict[str, Any]:
    memory = config.memory
    is_packed, texts_are_packed = memory.denoiser_weights != "full", memory.text_encoder_weights != "full"
    found: dict[str, Any] = {"quantize": is_packed, "quantize_te": texts_are_packed}
    if is_packed:
        found["qtype"] = qtype_of(memory.denoiser_weights) or "uint4"
        if memory.keep_full_if_contains:
            found["quantize_kwargs"] = {"exclude": [f"*{text}*" for text in memory.keep_full_if_contains]}
    recovery = next((side for side in config.model.side_adapters if side.recovers is not None), None)
    if is_packed and recovery is not None:
        found["qtype"] = f"{recovery.recovers}|{recovery.path}"
    if texts_are_packed:
        found["qtype_te"] = qtype_of(memory.text_encoder_weights) or "uint4"
    return found


def train(config: TrainConfig, arch: Arch, total_steps: int | None) -> dict[str, Any]:
    objective, memory = config.objective, config.memory
    steps = config.duration.steps if config.duration.steps is not None else total_steps
    found: dict[str, Any] = {} if steps is None else {"steps": steps}
    found |= {
        "batch_size": config.batching.size,
        "gradient_accumulation": config.batching.gradient_accumulation_steps,
        "train_unet": config.network.train_denoiser,
        "train_text_encoder": config.network.train_text_encoders,
        "gradient_checkpointing": memory.gradient_checkpointing != "off",
        "noise_scheduler": "flowmatch" if arch.is_flow else "ddpm",
        "dtype": _LONG[memory.precision],
        **_optimizer(config),
        **_schedule(config),
        **_times(config, arch),
        "content_or_style": objective.content_or_style,
        "loss_type": _loss(config),
        "noise_offset": objective.noise_offset,
        "skip_first_sample": not config.sampling.before_first_step,
        "cache_text_embeddings": config.caching.text_embeddings != "off",
        "attention_backend": next(name for name, ours in ATTENTION.items() if ours == _attention(config)),
        "xformers": memory.attention == "xformers",
        "sdp": memory.attention == "sdpa",
    }
    if objective.min_snr_gamma is not None and not arch.is_flow:
        found["min_snr_gamma"] = objective.min_snr_gamma
    if config.ema.decay is not None:
        found["ema_config"] = {"use_ema": True, "ema_decay": config.ema.decay}
    if any(dataset.is_regularisation for dataset in config.datasets):
        found["reg_weight"] = objective.prior_loss_weight
    return found | _extras(config, arch)


def _attention(config: TrainConfig) -> str:
    return config.memory.attention if config.memory.attention in ATTENTION.values() else "auto"


def _optimizer(config: TrainConfig) -> dict[str, Any]:
    ours = config.optimizer
    implementation = getattr(ours, "implementation", None)
    name = next(
        (name for name, each in OPTIMIZERS.items()
         if each.ours == ours.type and each.settings.get("implementation") == implementation and not each.differs),
        "adamw",
    )  # fmt: skip
    found = {"optimizer": name, "lr": ours.learning_rate, "max_grad_norm": ours.max_grad_norm}
    theirs = OPTIMIZERS[name]
    if theirs.ours != ours.type:
        return found
    usual = KINDS[ours.type](**theirs.settings)
    # What their library takes for granted may be given; what their program gives may not be given twice.
    params = _arguments(ours, usual, set(theirs.settings) - {"weight_decay"})
    return found | ({"optimizer_params": params} if params else {})


def _arguments(ours: RatesConfig, usual: Any, taken: set[str]) -> dict[str, Any]:
    """What differs from theirs, under the libraries' names. What their program sets itself cannot be given again."""
    common = set(RatesConfig.model_fields) - {"weight_decay"}
    names = [name for name in type(ours).model_fields if name not in common | taken | {"type", "learning_rate"}]
    if "arguments" in taken:
        names = [name for name in names if name not in ("implementation", "arguments")]
    differing = [name for name in names if getattr(ours, name) != getattr(usual, name)]
    found: dict[str, Any] = dict(getattr(ours, "arguments", {}))
    if "arguments" in taken:
        found = {name: value for name, value in found.items() if usual.arguments.get(name) != value}
    for given, parts in SEVERAL.items():
        held = [name for name in parts if name in names]
        if any(name in differing for name in held):
            values = [getattr(ours, name) for name in held]
            found[given] = values[0] if len(values) == 1 else values
            differing = [name for name in differing if name not in held]
    library = {field: name for name, field in OTHER_ARGUMENTS.items()} | _MAGIC
    return found | {library.get(name, name): getattr(ours, name) for name in differing if name != "arguments"}


_MAGIC = {"min_learning_rate": "min_lr", "max_learning_rate": "max_lr", "rate_bump": "lr_bump"}


def _schedule(config: TrainConfig) -> dict[str, Any]:
    ours = config.schedule
    if isinstance(ours, RampSchedule):
        params = {"start_factor": ours.start_ratio, "end_factor": ours.end_ratio}
        return {"lr_scheduler": "linear", "lr_scheduler_params": params}
    if isinstance(ours, CosineWithMinRateSchedule):
        least = ours.min_rate_ratio * config.optimizer.learning_rate
        return {"lr_scheduler": "cosine", "lr_scheduler_params": {"eta_min": least}}
    if ours.type in ("constant", "constant_with_warmup") and isinstance(ours, WarmupSettings) and ours.warmup_steps:
        params = {"num_warmup_steps": ours.warmup_steps}
        return {"lr_scheduler": "constant_with_warmup", "lr_scheduler_params": params}
    falling = ("cosine", "cosine_with_restarts", "linear", "polynomial", "rex", "one_cycle", "warmup_stable_decay")
    return {"lr_scheduler": "cosine" if ours.type in falling else "constant"}


def _times(config: TrainConfig, arch: Arch) -> dict[str, Any]:
    ours = config.objective
    found: dict[str, Any] = {}
    if ours.max_timestep < LAST_INDEX:
        found["min_denoising_steps"] = LAST_INDEX - ours.max_timestep
    if ours.min_timestep > 0:
        found["max_denoising_steps"] = LAST_INDEX + 1 - ours.min_timestep
    if not arch.is_flow:
        return found
    if ours.timestep_sampling == "uniform":
        shifted = ours.flow_shift != 1
        kind = "shift" if shifted else "weighted" if ours.loss_weighting == "weighted" else "linear"
    else:
        kind = "sigmoid"
    found["timestep_type"] = kind
    key = {"bell": "linear_timesteps", "half_bell": "linear_timesteps2"}.get(ours.loss_weighting)
    return found | ({key: True} if key else {})


def _loss(config: TrainConfig) -> str:
    ours = config.objective
    if ours.mean_flow_steps:
        return "mean_flow"
    if ours.loss_weighting == "stepped":
        return "stepped"
    return ours.loss_type if ours.loss_type in LOSSES and ours.loss_type != "wavelet" else "mse"


def _extras(config: TrainConfig, arch: Arch) -> dict[str, Any]:
    """Preservation, guidance, and what is told about it."""
    ours = config.objective
    found: dict[str, Any] = {}
    for name in ("diff_output_preservation", "blank_prompt_preservation", "inverted_mask_prior"):
        if weight := getattr(ours, name):
            found |= {name: True, f"{name}_multiplier": weight}
    if ours.diff_output_preservation:
        found["diff_output_preservation_class"] = ours.diff_output_preservation_class
    if ours.guidance_loss_target is not None:
        target = ours.guidance_loss_target
        found |= {
            "do_guidance_loss": True,
            "guidance_loss_target": list(target) if isinstance(target, tuple) else target,
            "guidance_loss_schedule": ours.guidance_loss_schedule,
            "do_guidance_loss_cfg_zero": ours.guidance_loss_cfg_zero,
            "unconditional_prompt": ours.unconditional_prompt,
        }
    if arch.guidance_field == "guidance":
        found["bypass_guidance_embedding"] = ours.bypass_guidance_embedding
        found["cfg_scale"] = ours.guidance_scale
    if config.memory.unload_text_encoders and config.caching.text_embeddings != "disk":
        found["unload_text_encoder"] = False  # there it would take the captions along
    return found


def dataset(config: TrainConfig, ours: DatasetConfig, arch: Arch) -> dict[str, Any]:
    captions, masks = ours.captions, ours.masks
    sizes = ours.resolutions or (resolution(config, arch),)
    sides = [round((each[0] * each[1]) ** 0.5) if isinstance(each, tuple) else each for each in sizes]
    found: dict[str, Any] = {
        "folder_path": ours.path,
        "resolution": sides[0] if len(sides) == 1 else sides,
        "buckets": config.batching.buckets.mode != "off",
        "num_repeats": ours.num_repeats,
        "is_reg": ours.is_regularisation,
        "prior_reg": ours.diff_output_preservation,
        "loss_multiplier": ours.loss_weight,
        "caption_ext": captions.extensions[0].lstrip(".") if captions.extensions else "txt",
        "caption_dropout_rate": captions.dropout_rate,
        "shuffle_tokens": captions.shuffle,
        "keep_tokens": captions.keep_tokens,
        "token_dropout_rate": captions.tag_dropout_rate,
        "cache_latents": config.caching.latents == "memory",
        "cache_latents_to_disk": config.caching.latents == "disk",
        "flip_x": ours.augmentation.flip,
        "random_crop": ours.augmentation.random_crop,
        "alpha_mask": masks.alpha,
    }
    if ours.trigger_word and not ours.is_regularisation:
        found["trigger_word"] = ours.trigger_word
    if captions.default:
        found["default_caption"] = captions.default
    if captions.random_triggers:
        found |= {
            "random_triggers": list(captions.random_triggers),
            "random_triggers_max": captions.random_triggers_max,
        }
    if captions.replacements:
        found["replacements"] = [f"{old}|{new}" for old, new in captions.replacements.items()]
    if masks.path is not None:
        found["mask_path"] = masks.path
    if masks.path is not None or masks.alpha:
        found |= {"invert_mask": masks.invert, "mask_min_value": masks.minimum}
    steps = [{"method": step.name, "params": _plain(step.arguments)} for step in ours.augmentation.pipeline]
    return found | ({"augmentations": steps} if steps else {})


def _plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in arguments.items()}


def resolution(config: TrainConfig, arch: Arch) -> int | tuple[int, int]:
    """The job's size, or the model's own."""
    return config.batching.buckets.resolution or arch.spec.default_resolution


def sample(config: TrainConfig, arch: Arch) -> dict[str, Any]:
    ours = config.sampling
    size = resolution(config, arch)
    width, height = size if isinstance(size, tuple) else (size, size)
    scale = getattr(ours, arch.guidance_field)
    found: dict[str, Any] = {
        "sampler": ours.sampler or ("flowmatch" if arch.is_flow else "ddpm"),
        "sample_every": ours.every_n_steps or NEVER,
        "width": ours.width or width,
        "height": ours.height or height,
        "neg": ours.negative_prompt,
        "seed": ours.seed,
        "walk_seed": ours.walk_seed,
        "guidance_scale": arch.usual_scale if scale is None else scale,
        "sample_steps": ours.steps or arch.spec.sample_steps,
        "network_multiplier": ours.strength,
        "format": ours.format,
    }
    if ours.guidance_rescale:
        found["guidance_rescale"] = ours.guidance_rescale
    return found | {"samples": [_item(parse_prompt(line), arch) for line in ours.prompts]}


def _item(prompt: Prompt, arch: Arch) -> dict[str, Any]:
    named = {
        "prompt": prompt.text if prompt.rescale is None else f"{prompt.text} --gr {prompt.rescale}".strip(),
        "neg": prompt.negative,
        "width": prompt.width,
        "height": prompt.height,
        "seed": prompt.seed,
        "guidance_scale": getattr(prompt, arch.guidance_field),
        "sample_steps": prompt.steps,
        "network_multiplier": prompt.strength,
    }
    named |= {f"ctrl_img_{number}": path for number, path in enumerate(prompt.control_images[:3], 1)}
    return {name: value for name, value in named.items() if value is not None}


def save(config: TrainConfig) -> dict[str, Any]:
    ours = config.saving
    return {
        "dtype": _LONG[ours.precision],
        "save_every": ours.export_every_n_steps or NEVER,
        "max_step_saves_to_keep": ours.keep_last_exports or NEVER,
    }


def logging(config: TrainConfig) -> dict[str, Any]:
    ours = config.logging
    found: dict[str, Any] = {"log_every": ours.every_n_steps, "verbose": ours.level == "debug"}
    if ours.wandb.mode != "off":
        found |= {"use_wandb": True, "project_name": ours.wandb.project}
        if ours.wandb.run_name is not None:
            found["run_name"] = ours.wandb.run_name
    return found


def meta(config: TrainConfig) -> dict[str, Any]:
    ours = config.saving
    named = {"name": ours.title, "description": ours.description, "comment": ours.comment}
    found: dict[str, Any] = {name: text for name, text in named.items() if text is not None}
    return found | ({} if ours.author is None else {"creator": {"name": ours.author}})
