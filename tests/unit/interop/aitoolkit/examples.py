"""For every key of ai-toolkit's files a value that asks for something, and what it needs around it to do so."""

from __future__ import annotations

from typing import Any

NEEDS: dict[str, dict[str, Any]] = {
    "network.rank": {}, "network.alpha": {"network.linear_alpha": None},
    "network.conv_alpha": {"network.conv": 4}, "network.lokr_full_rank": {"network.type": "lokr"},
    "network.lokr_factor": {"network.type": "lokr"},
    "model.qtype": {"model.quantize": True}, "model.qtype_te": {"model.quantize_te": True},
    "model.quantize_kwargs": {"model.quantize": True}, "model.quantize_kwargs.exclude": {"model.quantize": True},
    "model.accuracy_recovery_adapter": {"model.quantize": True, "model.qtype": "uint4"},
    "model.layer_offloading_transformer_percent": {"model.layer_offloading": True},
    "train.ema_config.ema_decay": {"train.ema_config": {"use_ema": True}},
    "train.reg_weight": {"datasets.is_reg": True},
    "train.diff_output_preservation_multiplier": {"train.diff_output_preservation": True},
    "train.diff_output_preservation_class": {"train.diff_output_preservation": True},
    "train.blank_prompt_preservation_multiplier": {"train.blank_prompt_preservation": True},
    "train.inverted_mask_prior_multiplier": {"train.inverted_mask_prior": True},
    **{f"train.{name}": {"train.do_guidance_loss": True} for name in (
        "guidance_loss_target", "do_guidance_loss_cfg_zero", "guidance_loss_schedule", "unconditional_prompt")},
    "train.optimizer_params": {"train.optimizer": "adamw"},
    "train.lr_scheduler_params": {"train.lr_scheduler": "cosine"},
    "train.force_first_sample": {"train.skip_first_sample": True},
    "train.disable_sampling": {"sample.prompts": ["a dog"]},
    "datasets.invert_mask": {"datasets.mask_path": "/masks"},
    "datasets.mask_min_value": {"datasets.mask_path": "/masks"},
    "datasets.random_triggers_max": {"datasets.random_triggers": ["one", "two", "three"]},
    "logging.project_name": {"logging.use_wandb": True}, "logging.run_name": {"logging.use_wandb": True},
    "sample.samples.ctrl_img": {}, "meta": {},
}  # fmt: skip

UNET = {"network.conv", "network.conv_alpha", "model.is_v_pred", "train.train_text_encoder", "train.min_snr_gamma",
        "sample.guidance_rescale", "network.alpha_schedule.enabled", "network.alpha_schedule.linear_alpha",
        "network.alpha_schedule.conv_alpha_phases"}  # fmt: skip
"""Keys that say something about models with a UNet only."""

PHASE = {"alpha": 5, "min_steps": 300, "exit_criteria": {"loss_improvement_rate_below": 0.002}}
SCHEDULE: dict[str, Any] = {"enabled": True, "linear_alpha": 7, "conv_alpha_phases": {"first": PHASE}}

VALUES: dict[str, Any] = {
    "type": "ui_trainer", "name": "other", "training_folder": "/elsewhere", "trigger_word": "lory",
    "training_seed": 7, "log_dir": "/logs", "save.save_every": 33, "save.dtype": "bf16",
    "save.max_step_saves_to_keep": 9, "logging.log_every": 3, "logging.verbose": True, "logging.use_wandb": True,
    "logging.project_name": "birds", "logging.run_name": "first",
    "sample.sampler": "euler", "sample.sample_every": 12, "sample.width": 640, "sample.height": 320,
    "sample.neg": "blurry", "sample.seed": 5, "sample.walk_seed": True, "sample.guidance_scale": 3.5,
    "sample.sample_steps": 11, "sample.network_multiplier": 0.8, "sample.guidance_rescale": 0.7,
    "sample.format": "webp", "sample.prompts": ["a dog --w 64"],
    "network.type": "dora", "network.linear": 12, "network.rank": 24, "network.conv": 4, "network.alpha": 3,
    "network.linear_alpha": 2, "network.conv_alpha": 2, "network.dropout": 0.1, "network.lokr_full_rank": False,
    "network.lokr_factor": 8, "network.pretrained_lora_path": "/loras/a.safetensors",
    "network.network_kwargs.ignore_if_contains": ["proj_out"], "network.network_kwargs.only_if_contains": ["attn"],
    "network.network_kwargs.full_if_contains": ["norm_out"], "network.network_kwargs.attn_only": True,
    "network.network_kwargs.rank_dropout": 0.2, "network.network_kwargs.module_dropout": 0.3,
    "model.name_or_path": "/models/other", "model.arch": "chroma", "model.is_v_pred": True, "model.quantize": True,
    "model.quantize_te": True, "model.qtype": "qint8", "model.qtype_te": "qint4",
    "model.quantize_kwargs": {"exclude": ["*norm*"]}, "model.quantize_kwargs.exclude": ["*norm*"],
    "model.low_vram": True, "model.assistant_lora_path": "owner/adapter", "model.inference_lora_path": "owner/fast",
    "model.lora_path": "/loras/b.safetensors", "model.accuracy_recovery_adapter": "owner/repair/one.safetensors",
    "model.extras_name_or_path": "owner/parts", "model.te_name_or_path": "owner/text", "model.vae_path": "owner/vae",
    "model.unet_path": "owner/net", "model.vae_dtype": "bf16", "model.use_flux_cfg": True,
    "model.layer_offloading": True, "model.auto_memory": True, "model.layer_offloading_transformer_percent": 0.5,
    "model.compile": True, "model.block_compile": True,
    "train.steps": 77, "train.batch_size": 3, "train.lr": 0.002, "train.optimizer": "adafactor",
    "train.optimizer_params": {"weight_decay": 0.2}, "train.lr_scheduler": "cosine",
    "train.lr_scheduler_params": {"eta_min": 1e-5}, "train.dtype": "bf16", "train.noise_scheduler": "flowmatch",
    "train.timestep_type": "weighted", "train.content_or_style": "style", "train.linear_timesteps": True,
    "train.linear_timesteps2": True, "train.min_denoising_steps": 100, "train.max_denoising_steps": 900,
    "train.gradient_accumulation": 2, "train.gradient_accumulation_steps": 4, "train.gradient_checkpointing": False,
    "train.max_grad_norm": 0.5, "train.train_unet": False, "train.train_text_encoder": True,
    "train.unload_text_encoder": True, "train.cache_text_embeddings": True, "train.bypass_guidance_embedding": True,
    "train.cfg_scale": 3.5, "train.loss_type": "mae", "train.min_snr_gamma": 5, "train.noise_offset": 0.1,
    "train.ema_config": {"use_ema": True}, "train.ema_config.use_ema": True, "train.ema_config.ema_decay": 0.9,
    "train.skip_first_sample": True, "train.force_first_sample": True, "train.disable_sampling": True,
    "train.reg_weight": 0.5, "train.diff_output_preservation": True,
    "train.diff_output_preservation_multiplier": 0.7, "train.diff_output_preservation_class": "bird",
    "train.blank_prompt_preservation": True, "train.blank_prompt_preservation_multiplier": 0.7,
    "train.inverted_mask_prior": True, "train.inverted_mask_prior_multiplier": 0.7, "train.do_guidance_loss": True,
    "train.guidance_loss_target": [2, 4], "train.do_guidance_loss_cfg_zero": True,
    "train.guidance_loss_schedule": "sigma", "train.unconditional_prompt": "bad", "train.xformers": True,
    "train.sdp": True, "train.attention_backend": "flash",
    "datasets.folder_path": "/others", "datasets.resolution": [256, 512],
    "datasets.caption_ext": "caption", "datasets.caption_type": "caption", "datasets.default_caption": "a bird",
    "datasets.trigger_word": "lory", "datasets.caption_dropout_rate": 0.1, "datasets.shuffle_tokens": True,
    "datasets.token_dropout_rate": 0.2, "datasets.keep_tokens": 1, "datasets.random_triggers": ["one"],
    "datasets.random_triggers_max": 2, "datasets.replacements": ["dog|cat"], "datasets.cache_latents": True,
    "datasets.cache_latents_to_disk": True, "datasets.cache_text_embeddings": True, "datasets.buckets": False,
    "datasets.random_crop": True, "datasets.flip_x": True, "datasets.flip_y": True, "datasets.num_repeats": 3,
    "datasets.is_reg": True, "datasets.prior_reg": True, "datasets.loss_multiplier": 2.0,
    "datasets.mask_path": "/masks", "datasets.alpha_mask": True, "datasets.invert_mask": True,
    "datasets.mask_min_value": 0.2, "meta": {"description": "birds"},
}  # fmt: skip

WITHOUT_EFFECT = {
    "job": "the only kind", "config": "the whole", "config.name": "is in the base", "config.process": "the whole",
    "type": "three names of one trainer", "train.noise_scheduler": "follows from the model",
    "datasets.dataset_path": "takes the place of folder_path; tried by itself",
    "model.te_name_or_path": "flux has two text encoders; tried by itself",
    **dict.fromkeys(("network", "train", "model", "save", "sample", "logging", "datasets"), "a section"),
    **dict.fromkeys(("sample.samples", "network.network_kwargs", "network.alpha_schedule", "datasets.augmentations",
                     "model.model_kwargs", "model.model_paths"), "tried by what is in it"),
}  # fmt: skip
"""Keys that are `made` and whose examples change nothing, or that are tried elsewhere."""

LATER = ("sample.samples.", "network.alpha_schedule.", "datasets.augmentations.", "model.is_")
"""Keys with tests of their own."""


def asking(key: str) -> Any:
    """A value that is none of those which ask for nothing."""
    if key in VALUES:
        return VALUES[key]
    return 7.5
