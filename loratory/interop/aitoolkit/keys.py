"""What becomes of every key that ai-toolkit's job files may have (its own, and those of the relaxis fork).

A key is written as its path without the numbers of lists; those of a process begin with the section, such as
`train.lr`. Where it stands for something here, `to` names our parameter; the modules beside this one do what is more
than copying.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal

Becomes = Literal["same", "made", "ignored", "dead", "unsupported", "refused"]


@dataclass(frozen=True)
class Key:
    """The decision for one key.

    same: the value is our parameter's. made: code in this package makes something of it. ignored, dead, unsupported: a
    note of this level, unless the value is one of `usual`, which asks for nothing. refused: the job is another kind of
    training than any here, and does not start, unless the value is one of `usual`.
    """

    becomes: Becomes
    to: str = ""
    reason: str = ""
    usual: tuple[Any, ...] = ()
    default: Any = None
    """Of a key that is the same here: theirs, where ours is another."""


def _same(to: str, default: Any = None) -> Key:
    return Key("same", to, default=default)


def _made(to: str) -> Key:
    return Key("made", to)


def _dead(reason: str, *usual: Any) -> Key:
    return Key("dead", reason=reason, usual=usual)


def _ignored(reason: str, *usual: Any) -> Key:
    return Key("ignored", reason=reason, usual=usual)


def _not_yet(reason: str, *usual: Any) -> Key:
    return Key("unsupported", reason=reason, usual=usual)


def _refused(reason: str, *usual: Any) -> Key:
    return Key("refused", reason=reason, usual=usual)


_MACHINERY = "belongs to their program; here the run's folder holds everything"
_LEGACY = "is read by their old kinds of job only"
_EXPERIMENT = "an experiment of theirs that is not here"
_ONE_RATE = "their LoRA takes `lr` for all of its parts"
_LOADER = "how their loader works; pictures are prepared in a thread here (runtime.prefetch)"
_FULL = "is for training whole models there, which nothing here does"
_CONTROL = "training with control pictures is not here yet"
_VIDEO = "training on video is not here yet"
_AUDIO = "training on sound is not here yet"
_NOISE = "this change of the noise is not here"
_CFG = "guidance inside the training loss is not here; contrastive guidance (guidance_loss_target) is"
_SPLIT = "no model here has two experts"
_CONDITION = "training with pictures as conditions (IP adapters) is not here yet"
_ADAPTER = "training an adapter of this kind is not here yet; only LoRA and its kin are"

_TOP = {
    "job": _made("job"),
    "config": _made("(the whole)"),
    "config.name": _made("name"),
    "config.process": _made("(one job each)"),
    "config.device": _dead(_LEGACY),
    "config.log_dir": _dead(_LEGACY),
    "config.training_folder": _dead(_LEGACY),
    "config.is_v2": _dead(_LEGACY, False),
    "config.base_model": _dead(_LEGACY),
    "config.extract_model": _dead(_LEGACY),
    "config.output_folder": _dead(_LEGACY),
    "config.dtype": _dead(_LEGACY),
    "config.extract_unet": _dead(_LEGACY),
    "config.extract_text_encoder": _dead(_LEGACY),
    "meta": _made("saving.title, saving.author, saving.description, saving.comment"),
}

_PROCESS = {
    "type": _made("job"),
    "name": _made("name"),
    "training_folder": _made("saving.output_dir"),
    "device": _dead("their trainer takes accelerate's device; here it is runtime.device"),
    "trigger_word": _made("datasets.trigger_word"),
    "training_seed": _same("seed"),
    "log_dir": _made("logging.tensorboard"),
    "performance_log_every": _ignored("times of a step are among the metrics here"),
    "sqlite_db_path": _ignored(_MACHINERY),
    "do_lorm": _refused(_EXPERIMENT, False),
    "lorm_extract_mode": _ignored("belongs to do_lorm"),
    "lorm_extract_mode_param": _ignored("belongs to do_lorm"),
    "torch_profiler": _ignored("a profile of a step is not made here", False),
    "first_sample": _not_yet("samples before the first step are the same as later ones here"),
    "adapter": _refused(_ADAPTER),
    "embedding": _refused("training textual inversion is not here yet"),
    "decorator": _refused("training a decorator is not here"),
    "slider": _refused("training sliders is not here yet"),
    "guidance": _refused("training of this kind is not here yet"),
}

_SAVE = {
    "save_every": _same("saving.export_every_n_steps", 1000),
    "dtype": _made("saving.precision"),
    "max_step_saves_to_keep": _same("saving.keep_last_exports", 5),
    "save_format": _dead("a LoRA is a .safetensors file either way"),
    "push_to_hub": _not_yet("files are not sent to the Hub yet", False),
    "hf_repo_id": _ignored("belongs to push_to_hub"),
    "hf_private": _ignored("belongs to push_to_hub", False),
}

_LOGGING = {
    "log_every": _same("logging.every_n_steps", 100),
    "verbose": _made("logging.level"),
    "use_wandb": _made("logging.wandb.mode"),
    "use_ui_logger": _ignored("the run's folder has metrics for every program"),
    "project_name": _made("logging.wandb.project"),
    "run_name": _made("logging.wandb.run_name"),
}

_SAMPLE_ITEM = {
    name: _made(f"sampling.prompts ({flag})")
    for name, flag in {
        "prompt": "text", "width": "--w", "height": "--h", "neg": "--n", "seed": "--d", "guidance_scale": "--l or --g",
        "sample_steps": "--s", "ctrl_img": "--ci", "ctrl_img_1": "--ci", "ctrl_img_2": "--ci", "ctrl_img_3": "--ci",
        "network_multiplier": "--am",
    }.items()
}  # fmt: skip
_SAMPLE_ITEM |= {
    "fps": _not_yet(_VIDEO, 0, 1, 16, 24),
    "num_frames": _not_yet(_VIDEO, 1),
    "ctrl_idx": _not_yet("there is no choice of control inputs", 0),
    "do_cfg_norm": _not_yet("no model here normalises guidance so", False),
}
_SAMPLE = {
    "sampler": _made("sampling.sampler"),
    "sample_every": _same("sampling.every_n_steps", 100),
    "sample_start_step": _not_yet("samples begin at once here", 0),
    "width": _same("sampling.width", 512),
    "height": _same("sampling.height", 512),
    "neg": _made("sampling.negative_prompt"),
    "seed": _same("sampling.seed", 0),
    "walk_seed": _same("sampling.walk_seed"),
    "guidance_scale": _made("sampling.scale, sampling.guidance"),
    "sample_steps": _same("sampling.steps", 20),
    "network_multiplier": _made("sampling.strength"),
    "guidance_rescale": _made("sampling.guidance_rescale"),
    "format": _made("sampling.format"),
    "adapter_conditioning_scale": _not_yet("no adapter is used in samples", 1),
    "refiner_start_at": _not_yet("no refiner is used in samples", 0.5),
    "extra_values": _not_yet("no model here has extra values", []),
    "num_frames": _not_yet(_VIDEO, 1),
    "fps": _not_yet(_VIDEO, 0, 1, 16, 24),
    "do_cfg_norm": _not_yet("no model here normalises guidance so", False),
    "prompts": _made("sampling.prompts"),
    "samples": _made("sampling.prompts"),
} | {f"samples.{name}": key for name, key in _SAMPLE_ITEM.items()}  # fmt: skip

_NETWORK = {
    "type": _made("network.type, network.decompose"),
    "linear": _made("network.rank"),
    "rank": _made("network.rank"),
    "conv": _made("network.conv_rank"),
    "alpha": _made("network.alpha"),
    "linear_alpha": _made("network.alpha"),
    "conv_alpha": _made("network.conv_alpha"),
    "dropout": _same("network.dropout"),
    "network_kwargs": _made("network.targets"),
    "lorm": _refused(_EXPERIMENT),
    "transformer_only": _not_yet("layers outside of the blocks are trained by network.targets.also_if_contains", True),
    "lokr_full_rank": _made("network.full_matrix"),
    "lokr_factor": _made("network.factor"),
    "old_lokr_format": _ignored("saving.format says how tensors are called; every layout is read", False),
    "split_multistage_loras": _ignored(_SPLIT, True),
    "layer_offloading": _dead("does not work there yet", False),
    "pretrained_lora_path": _made("network.start_from"),
    "all_layers": _not_yet("norms are trained by network.targets.norms, layers by full_if_contains", False),
    "alpha_schedule": _made("alpha_schedule"),
}
_NETWORK |= {
    f"network_kwargs.{name}": key
    for name, key in {
        "ignore_if_contains": _made("network.targets.ignore_if_contains"),
        "only_if_contains": _same("network.targets.only_if_contains"),
        "full_if_contains": _same("network.targets.full_if_contains"),
        "parameter_threshold": _not_yet("layers are not chosen by their size here", 0),
        "attn_only": _made("network.targets.preset"),
        "target_lin_modules": _not_yet("layers are chosen by path here (network.targets), not by class"),
        "target_conv_modules": _not_yet("layers are chosen by path here (network.targets), not by class"),
        "full_train_in_out": _not_yet("layers are trained in full by network.targets.full_if_contains", False),
        "rank_dropout": _same("network.rank_dropout"),
        "module_dropout": _same("network.module_dropout"),
        "peft_format": _ignored("saving.format says how tensors are called"),
        "use_bias": _not_yet("adapters have no bias of their own here", False),
        "block_dims": _not_yet("ranks of blocks are network.targets.block_ranks here, by name"),
        "block_alphas": _not_yet("alphas of blocks are network.targets.block_alphas here, by name"),
        "conv_block_dims": _not_yet("convolutions have one rank here"),
        "conv_block_alphas": _not_yet("convolutions have one alpha here"),
        "modules_dim": _not_yet("ranks of layers are network.targets.layer_ranks here"),
        "modules_alpha": _not_yet("layers have the alpha of their block here"),
    }.items()
}  # fmt: skip
_NETWORK |= {
    f"alpha_schedule.{name}": key
    for name, key in {
        "enabled": _made("alpha_schedule.preset"),
        "linear_alpha": _made("alpha_schedule.linear, network.alpha"),
        "conv_alpha_phases": _made("alpha_schedule.conv"),
        "per_expert": _dead("their schedule never applies it"),
        "mode": _dead("nothing reads it there"),
        "_preset": _dead("only their form reads it"),
    }.items()
}
_PHASE = {
    "alpha": "alpha", "min_steps": "min_steps", "exit_criteria": "loss_slope_below",
    "exit_criteria.loss_improvement_rate_below": "loss_slope_below",
    "exit_criteria.min_gradient_stability": "gradient_stability_above",
    "exit_criteria.min_loss_r2": "loss_r2_above",
}  # fmt: skip
_NETWORK |= {
    f"alpha_schedule.conv_alpha_phases.*.{name}": _made(f"alpha_schedule.conv.{to}") for name, to in _PHASE.items()
}
_NETWORK |= {
    f"lorm.{name}": _refused(_EXPERIMENT)
    for name in ("extract_mode", "do_conv", "extract_mode_param", "parameter_threshold", "module_settings")
}

_LEGACY_ARCH = ("is_v2", "is_v3", "is_xl", "is_flux", "is_lumina2", "is_pixart", "is_pixart_sigma", "is_auraflow",
                "is_ssd", "is_vega")  # fmt: skip
_MODEL = {
    "name_or_path": _made("model.path"),
    "arch": _made("model.architecture"),
    **dict.fromkeys(_LEGACY_ARCH, _made("model.architecture")),
    "is_v_pred": _made("model.prediction_type"),
    "dtype": _dead("train.dtype takes its place there, too"),
    "quantize": _made("memory.denoiser_weights"),
    "quantize_te": _made("memory.text_encoder_weights"),
    "qtype": _made("memory.denoiser_weights, model.side_adapters"),
    "qtype_te": _made("memory.text_encoder_weights"),
    "quantize_kwargs": _made("memory.keep_full_if_contains"),
    "quantize_kwargs.exclude": _made("memory.keep_full_if_contains"),
    "low_vram": _same("memory.low_vram"),
    "assistant_lora_path": _made("model.side_adapters (on: training)"),
    "inference_lora_path": _made("model.side_adapters (on: sampling)"),
    "unconditional_lora_path": _not_yet("no model here has a LoRA of its own for the negative prompt"),
    "lora_path": _made("model.merge"),
    "accuracy_recovery_adapter": _made("model.side_adapters (on: always)"),
    "extras_name_or_path": _made("model.components"),
    "te_name_or_path": _made("model.parts"),
    "vae_path": _made("model.vae_path"),
    "unet_path": _made("model.parts"),
    "unet_sample_size": _not_yet("the model's own size counts here"),
    "vae_device": _ignored("memory.low_vram says where parts wait"),
    "vae_dtype": _made("model.vae_precision"),
    "te_device": _ignored("memory.low_vram says where parts wait"),
    "te_dtype": _not_yet("text encoders compute in memory.precision"),
    "refiner_name_or_path": _not_yet("refiners are not trained here"),
    "refiner_start_at": _ignored("belongs to the refiner"),
    "use_text_encoder_1": _not_yet("the model needs all of its text encoders", True),
    "use_text_encoder_2": _not_yet("the model needs all of its text encoders", True),
    "experimental_xl": _not_yet(_EXPERIMENT, False),
    "latent_space_version": _ignored("caches know what was encoded by its content here"),
    "text_encoder_bits": _ignored("is for models that are not here; the format is memory.text_encoder_weights", 16),
    "use_flux_cfg": _made("objective.bypass_guidance_embedding"),
    "attn_masking": _not_yet("texts are not masked for this model", False),
    "ignore_if_contains": _dead(_FULL),
    "only_if_contains": _dead(_FULL),
    "split_model_over_gpus": _not_yet("a model is not split over several graphics cards here", False),
    "split_model_other_module_param_count_scale": _ignored("belongs to split_model_over_gpus"),
    "layer_offloading": _made("memory.blocks_to_swap"),
    "auto_memory": _made("memory.blocks_to_swap"),
    "layer_offloading_transformer_percent": _made("memory.blocks_to_swap"),
    "layer_offloading_text_encoder_percent": _ignored("memory.low_vram takes text encoders off the card", 1, 0),
    "compile": _made("memory.compile"),
    "block_compile": _made("memory.compile"),
    "compile_mode": _not_yet("blocks are compiled in the default mode", "default"),
    "compile_fullgraph": _not_yet("blocks are compiled with breaks where need be", False),
    "compile_dynamic": _ignored("each size of pictures is compiled for itself"),
    "cache_size_limit": _ignored("is set as high as the sizes need"),
    "model_kwargs": _made("(by model)"),
    "model_paths": _made("model.parts"),
    "in_context": _not_yet(_CONTROL, False),
}

_TRAIN = {
    "steps": _made("duration.steps"),
    "batch_size": _same("batching.size"),
    "lr": _made("optimizer.learning_rate"),
    **dict.fromkeys(("unet_lr", "text_encoder_lr", "refiner_lr", "embedding_lr", "adapter_lr"), _dead(_ONE_RATE)),
    "optimizer": _made("optimizer.type"),
    "optimizer_params": _made("optimizer"),
    "lr_scheduler": _made("schedule.type"),
    "lr_scheduler_params": _made("schedule"),
    "dtype": _made("memory.precision"),
    "noise_scheduler": _made("(by model)"),
    "timestep_type": _made("objective.timestep_sampling, objective.flow_shift, objective.loss_weighting"),
    "content_or_style": _same("objective.content_or_style"),
    "content_or_style_reg": _dead("a mistake there reads content_or_style in its place"),
    "linear_timesteps": _made("objective.loss_weighting"),
    "linear_timesteps2": _made("objective.loss_weighting"),
    "next_sample_timesteps": _ignored("belongs to the timestep_type next_sample", 8),
    "min_denoising_steps": _made("objective.max_timestep"),
    "max_denoising_steps": _made("objective.min_timestep"),
    "num_train_timesteps": _not_yet("times are those of the model", 1000),
    "gradient_accumulation": _made("batching.gradient_accumulation_steps"),
    "gradient_accumulation_steps": _made("batching.gradient_accumulation_steps"),
    "gradient_checkpointing": _made("memory.gradient_checkpointing"),
    "max_grad_norm": _made("optimizer.max_grad_norm"),
    "train_unet": _same("network.train_denoiser"),
    "train_text_encoder": _made("network.train_text_encoders"),
    "train_refiner": _ignored("there is no refiner here"),
    "unload_text_encoder": _made("memory.unload_text_encoders, datasets.captions"),
    "cache_text_embeddings": _made("caching.text_embeddings"),
    "bypass_guidance_embedding": _made("objective.bypass_guidance_embedding"),
    "cfg_scale": _made("objective.guidance_scale"),
    "do_cfg": _not_yet(_CFG, False),
    "do_random_cfg": _not_yet(_CFG, False),
    "max_cfg_scale": _ignored("belongs to do_random_cfg"),
    "cfg_rescale": _ignored("belongs to do_cfg"),
    "loss_type": _made("objective.loss_type, objective.loss_weighting"),
    "loss_target": _not_yet("what is learned follows from the model", "noise"),
    "min_snr_gamma": _made("objective.min_snr_gamma"),
    "snr_gamma": _not_yet("only the bounded weight, min_snr_gamma, is here"),
    "learnable_snr_gos": _not_yet(_EXPERIMENT, False),
    "noise_offset": _same("objective.noise_offset"),
    "dynamic_noise_offset": _not_yet(_NOISE, False),
    "noise_multiplier": _not_yet(_NOISE, 1),
    "target_noise_multiplier": _not_yet(_NOISE, 1),
    "img_multiplier": _not_yet(_NOISE, 1),
    "noisy_latent_multiplier": _not_yet(_NOISE, 1),
    "latent_multiplier": _not_yet(_NOISE, 1),
    "random_noise_multiplier": _not_yet(_NOISE, 0),
    "random_noise_shift": _not_yet(_NOISE, 0),
    "do_signal_correction_noise": _not_yet(_NOISE, False),
    "signal_correction_noise_scale": _ignored("belongs to do_signal_correction_noise"),
    "do_batch_noise_correction": _not_yet(_NOISE, False),
    "batch_noise_correction_scale": _ignored("belongs to do_batch_noise_correction"),
    "do_signal_amplification": _not_yet(_NOISE, False),
    "signal_amplification_strength": _ignored("belongs to do_signal_amplification"),
    "optimal_noise_pairing_samples": _not_yet("noise is not chosen by how near it is to the picture", 1),
    "force_consistent_noise": _not_yet(_NOISE, False),
    "blended_blur_noise": _not_yet(_NOISE, False),
    "match_noise_norm": _not_yet(_NOISE, False),
    "adaptive_scaling_factor": _not_yet(_NOISE, False),
    "standardize_images": _not_yet("pictures keep their brightness and contrast", False),
    "standardize_latents": _not_yet("latents keep their mean and spread", False),
    "ema_config": _made("ema"),
    "ema_config.use_ema": _made("ema.decay"),
    "ema_config.ema_decay": _made("ema.decay"),
    "ema_config.use_feedback": _not_yet("the mean has no effect on the weights that are trained", False),
    "ema_config.param_multiplier": _not_yet("weights are not multiplied", 1),
    "skip_first_sample": _made("sampling.before_first_step"),
    "force_first_sample": _made("sampling.before_first_step"),
    "disable_sampling": _made("sampling.prompts"),
    "reg_weight": _made("objective.prior_loss_weight"),
    "diff_output_preservation": _made("objective.diff_output_preservation"),
    "diff_output_preservation_multiplier": _made("objective.diff_output_preservation"),
    "diff_output_preservation_class": _made("objective.diff_output_preservation_class"),
    "blank_prompt_preservation": _made("objective.blank_prompt_preservation"),
    "blank_prompt_preservation_multiplier": _made("objective.blank_prompt_preservation"),
    "inverted_mask_prior": _made("objective.inverted_mask_prior"),
    "inverted_mask_prior_multiplier": _made("objective.inverted_mask_prior"),
    "do_prior_divergence": _not_yet("learning away from the model's own answer is not here", False),
    "do_guidance_loss": _made("objective.guidance_loss_target"),
    "guidance_loss_target": _made("objective.guidance_loss_target"),
    "do_guidance_loss_cfg_zero": _made("objective.guidance_loss_cfg_zero"),
    "guidance_loss_schedule": _made("objective.guidance_loss_schedule"),
    "unconditional_prompt": _made("objective.unconditional_prompt"),
    "do_differential_guidance": _not_yet(
        "it only multiplies the gradient, which optimizers such as Adam divide out again", False
    ),
    "differential_guidance_scale": _ignored("belongs to do_differential_guidance", 3),
    "t0_loss_target": _not_yet("this loss is not here; objective.model_prediction_type: sigma_scaled is near", False),
    "t0_velocity_equiv_weight": _ignored("belongs to t0_loss_target"),
    "do_fft_loss": _not_yet("a loss on frequencies is not here; loss_type: wavelet is near", False),
    "do_fft_velocity_equiv_weight": _ignored("belongs to do_fft_loss"),
    "pred_scaler": _not_yet("what the model predicts is compared as it is", 1),
    "target_norm_std": _not_yet("what the model predicts is compared as it is"),
    "target_norm_std_value": _ignored("belongs to target_norm_std"),
    "correct_pred_norm": _not_yet("what the model predicts is compared as it is", False),
    "correct_pred_norm_multiplier": _ignored("belongs to correct_pred_norm"),
    **{
        f"{prefix}_feature_{name}": key
        for prefix in ("latent", "diffusion")
        for name, key in {
            "extractor_path": _not_yet("a loss by another network is not here"),
            ("loss_weight" if prefix == "latent" else "extractor_weight"): _ignored(
                "belongs to the loss by another network"
            ),
        }.items()
    },
    "switch_boundary_every": _ignored(_SPLIT),
    "train_turbo": _not_yet(_EXPERIMENT, False),
    "show_turbo_outputs": _ignored("belongs to train_turbo", False),
    "free_u": _not_yet("FreeU is not here", False),
    "weight_jitter": _not_yet("weights are not shaken", 0),
    "single_item_batching": _not_yet("a batch goes through the model as one", False),
    "prompt_dropout_prob": _dead("nothing reads it there; caption_dropout_rate of a dataset does this", 0),
    "prompt_saturation_chance": _not_yet("captions are not repeated", 0),
    "negative_prompt": _ignored("belongs to do_cfg"),
    "max_negative_prompts": _ignored("belongs to do_cfg"),
    "short_and_long_captions": _not_yet("a picture has one caption at a time", False),
    "short_and_long_captions_encoder_split": _not_yet("all text encoders read the same text", False),
    "merge_network_on_save": _not_yet("the LoRA is saved as it is", False),
    "merge_network_on_save_strength": _ignored("belongs to merge_network_on_save"),
    "adapter_assist_name_or_path": _not_yet(_CONDITION),
    "adapter_assist_type": _ignored("belongs to adapter_assist_name_or_path"),
    "match_adapter_assist": _ignored("belongs to adapter_assist_name_or_path", False),
    "match_adapter_chance": _ignored("belongs to adapter_assist_name_or_path"),
    "do_paramiter_swapping": _not_yet("all weights are trained in every step", False),
    "paramiter_swapping_factor": _ignored("belongs to do_paramiter_swapping"),
    "do_blank_stabilization": _not_yet("blank_prompt_preservation does what is meant", False),
    "audio_loss_multiplier": _ignored(_AUDIO),
    "max_loss": _not_yet("losses are not cut off; loss_type: huber is near"),
    "max_loss_debug": _ignored("belongs to max_loss", False),
    "xformers": _made("memory.attention"),
    "sdp": _made("memory.attention"),
    "attention_backend": _made("memory.attention"),
    "start_step": _not_yet("a run goes on from its own checkpoint (loratory train FOLDER)"),
    "validation_config": _not_yet("validation takes a share of the pictures (validation.split) or a folder"),
    **{
        f"validation_config.{name}": _ignored("belongs to validation_config")
        for name in ("validation_items", "resolution", "validate_every_n_steps", "validation_sigmas")
    },
}

_DATASETS = {
    "folder_path": _made("datasets.path"),
    "dataset_path": _made("datasets.path"),
    "type": _refused("only plain pictures with captions can be trained here", "image"),
    "resolution": _made("datasets.resolutions"),
    "caption_ext": _made("datasets.captions.extensions"),
    "caption_type": _made("datasets.captions.extensions"),
    "default_caption": _made("datasets.captions.default"),
    "trigger_word": _made("datasets.trigger_word"),
    "caption_dropout_rate": _made("datasets.captions.dropout_rate"),
    "shuffle_tokens": _same("datasets.captions.shuffle"),
    "token_dropout_rate": _same("datasets.captions.tag_dropout_rate"),
    "keep_tokens": _made("datasets.captions.keep_tokens"),
    "random_triggers": _made("datasets.captions.random_triggers"),
    "random_triggers_max": _made("datasets.captions.random_triggers_max"),
    "replacements": _made("datasets.captions.replacements"),
    "use_short_captions": _not_yet("a picture has one caption", False),
    "cache_latents": _made("caching.latents"),
    "cache_latents_to_disk": _made("caching.latents"),
    "cache_text_embeddings": _made("caching.text_embeddings"),
    "cache_clip_vision_to_disk": _ignored(_CONDITION, False),
    "cache_tensors_to_disk": _ignored(_LOADER, False),
    "load_image_when_caching_latents": _ignored(_LOADER, False),
    "cache_latents_num_workers": _ignored(_LOADER),
    "num_workers": _ignored(_LOADER),
    "prefetch_factor": _ignored(_LOADER),
    "buckets": _made("batching.buckets.mode"),
    "bucket_tolerance": _dead("the model's own step takes its place there"),
    "scale": _not_yet("pictures are scaled to the resolution", 1),
    "random_scale": _not_yet("pictures are enlarged at random by datasets.augmentation.zoom, which needs a factor",
                             False),
    "random_crop": _same("datasets.augmentation.random_crop"),
    "square_crop": _not_yet("pictures are cut to squares by batching.buckets.mode: off, for all datasets", False),
    "flip_x": _made("datasets.augmentation.flip"),
    "flip_y": _made("datasets.augmentation.pipeline (VerticalFlip)"),
    "num_repeats": _same("datasets.num_repeats"),
    "is_reg": _same("datasets.is_regularisation"),
    "prior_reg": _same("datasets.diff_output_preservation"),
    "network_weight": _not_yet("the LoRA trains at strength 1", 1),
    "loss_multiplier": _same("datasets.loss_weight"),
    **{name: _refused(_CONTROL, "", []) for name in ("control_path", "control_path_1", "control_path_2",
                                                     "control_path_3", "inpaint_path", "unconditional_path")},
    "control_from_same_folder": _refused(_CONTROL, False),
    "num_controls_from_same_folder": _ignored("belongs to control_from_same_folder"),
    "full_size_control_images": _ignored("belongs to control_path"),
    "control_transparent_color": _ignored("belongs to control_path"),
    "controls": _refused(_CONTROL, []),
    "mask_path": _made("datasets.masks.path"),
    "alpha_mask": _same("datasets.masks.alpha"),
    "invert_mask": _made("datasets.masks.invert"),
    "mask_min_value": _made("datasets.masks.minimum"),
    "clip_image_path": _refused(_CONDITION, ""),
    "clip_image_from_same_folder": _refused(_CONDITION, False),
    "clip_image_augmentations": _ignored(_CONDITION),
    "clip_image_shuffle_augmentations": _ignored(_CONDITION, False),
    "augments": _not_yet("write them as augmentations with method and params", []),
    "augmentations": _made("datasets.augmentation.pipeline"),
    "augmentations.method": _made("datasets.augmentation.pipeline.name"),
    "augmentations.params": _made("datasets.augmentation.pipeline.arguments"),
    "shuffle_augmentations": _not_yet("steps are done in their order", False),
    "replay_transforms": _ignored("masks are moved along with their pictures here", True),
    "guidance_type": _ignored("belongs to sliders", "targeted"),
    "standardize_images": _not_yet("pictures keep their brightness and contrast", False),
    "extra_values": _not_yet("no model here has extra values", []),
    "batch_size": _not_yet("all datasets have one batch size, train.batch_size"),
    "num_frames": _refused(_VIDEO, 1),
    "shrink_video_to_frames": _ignored(_VIDEO),
    "fps": _ignored(_VIDEO),
    "auto_frame_count": _ignored(_VIDEO, False),
    "trim_auto_frame_count_tail": _ignored(_VIDEO),
    "do_i2v": _ignored(_VIDEO),
    "do_audio": _refused(_AUDIO, False),
    "audio_preserve_pitch": _ignored(_AUDIO, False),
    "audio_normalize": _ignored(_AUDIO, False),
    "fast_image_size": _ignored("sizes are read from headers here, and remembered"),
    "debug": _ignored("loratory config check says what is wrong with a dataset", False),
    "poi": _refused("stops their program, too"),
    "max_pixels_per_frame": _not_yet("the area is that of the resolution"),
    "temporal_jitter": _ignored(_VIDEO, 0),
}  # fmt: skip


def _within(section: str, keys: Mapping[str, Key]) -> dict[str, Key]:
    return {f"{section}.{name}": key for name, key in keys.items()}


SECTIONS = ("network", "train", "model", "save", "sample", "logging", "datasets")
KEYS: dict[str, Key] = (
    _TOP | _PROCESS | dict.fromkeys(SECTIONS, _made("(a section)"))
    | _within("save", _SAVE) | _within("logging", _LOGGING) | _within("sample", _SAMPLE) | _within("network", _NETWORK)
    | _within("model", _MODEL) | _within("train", _TRAIN) | _within("datasets", _DATASETS)
)  # fmt: skip

FREE = frozenset({"meta", "train.optimizer_params", "train.lr_scheduler_params", "model.model_kwargs",
                  "model.model_paths", "datasets.augmentations.params"})  # fmt: skip
"""Keys whose values have names of their own choice; what is made of them says so itself."""
INSIDE = ("adapter", "embedding", "decorator", "slider", "guidance", "first_sample")
"""Sections that are decided as a whole."""
NAMED = frozenset({"network.alpha_schedule.conv_alpha_phases"})
"""Mappings by a name of the writer's choice, which stands for the `*` in a path."""


def decision(pattern: str) -> Key | None:
    """What becomes of a key; None for one that their program does not know."""
    section = pattern.partition(".")[0]
    return KEYS.get(section if section in INSIDE else pattern)


@cache
def _names(section: str) -> tuple[str, ...]:
    begin = f"{section}." if section else ""
    found = (name.removeprefix(begin) for name in KEYS if name.startswith(begin))
    return tuple(name for name in found if "." not in name)


def nearest(pattern: str) -> str | None:
    """The key of the same section whose name is most like this one."""
    section, _, name = pattern.rpartition(".")
    return next(iter(get_close_matches(name, _names(section), n=1, cutoff=0.75)), None)


def has_keys(pattern: str) -> bool:
    """Are there keys below this one?"""
    return any(name.startswith(f"{pattern}.") for name in KEYS)
