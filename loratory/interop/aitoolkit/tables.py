"""The tables behind `keys`: a decision for every key of ai-toolkit's job files, section by section."""

from __future__ import annotations

from collections.abc import Mapping

from loratory.interop.aitoolkit.decisions import Key, dead, ignored, made, not_yet, refused, same

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
    "job": made("job"),
    "config": made("(the whole)"),
    "config.name": made("name"),
    "config.process": made("(one job each)"),
    "config.device": dead(_LEGACY),
    "config.log_dir": dead(_LEGACY),
    "config.training_folder": dead(_LEGACY),
    "config.is_v2": dead(_LEGACY, False),
    "config.base_model": dead(_LEGACY),
    "config.extract_model": dead(_LEGACY),
    "config.output_folder": dead(_LEGACY),
    "config.dtype": dead(_LEGACY),
    "config.extract_unet": dead(_LEGACY),
    "config.extract_text_encoder": dead(_LEGACY),
    "meta": made("saving.title, saving.author, saving.description, saving.comment"),
}

_PROCESS = {
    "type": made("job"),
    "name": made("name"),
    "training_folder": made("saving.output_dir"),
    "device": dead("their trainer takes accelerate's device; here it is runtime.device"),
    "trigger_word": made("datasets.trigger_word"),
    "training_seed": same("seed"),
    "log_dir": made("logging.tensorboard"),
    "performance_log_every": ignored("times of a step are among the metrics here"),
    "sqlite_db_path": ignored(_MACHINERY),
    "do_lorm": refused(_EXPERIMENT, False),
    "lorm_extract_mode": ignored("belongs to do_lorm"),
    "lorm_extract_mode_param": ignored("belongs to do_lorm"),
    "torch_profiler": ignored("a profile of a step is not made here", False),
    "first_sample": not_yet("samples before the first step are the same as later ones here"),
    "adapter": refused(_ADAPTER),
    "embedding": refused("training textual inversion is not here yet"),
    "decorator": refused("training a decorator is not here"),
    "slider": refused("training sliders is not here yet"),
    "guidance": refused("training of this kind is not here yet"),
}

_SAVE = {
    "save_every": same("saving.export_every_n_steps", 1000),
    "dtype": made("saving.precision"),
    "max_step_saves_to_keep": same("saving.keep_last_exports", 5),
    "save_format": dead("a LoRA is a .safetensors file either way"),
    "push_to_hub": not_yet("files are not sent to the Hub yet", False),
    "hf_repo_id": ignored("belongs to push_to_hub"),
    "hf_private": ignored("belongs to push_to_hub", False),
}

_LOGGING = {
    "log_every": same("logging.every_n_steps", 100),
    "verbose": made("logging.level"),
    "use_wandb": made("logging.wandb.mode"),
    "use_ui_logger": ignored("the run's folder has metrics for every program"),
    "project_name": made("logging.wandb.project"),
    "run_name": made("logging.wandb.run_name"),
}

_SAMPLE_ITEM = {
    name: made(f"sampling.prompts ({flag})")
    for name, flag in {
        "prompt": "text", "width": "--w", "height": "--h", "neg": "--n", "seed": "--d", "guidance_scale": "--l or --g",
        "sample_steps": "--s", "ctrl_img": "--ci", "ctrl_img_1": "--ci", "ctrl_img_2": "--ci", "ctrl_img_3": "--ci",
        "network_multiplier": "--am",
    }.items()
}  # fmt: skip
_SAMPLE_ITEM |= {
    "fps": not_yet(_VIDEO, 0, 1, 16, 24),
    "num_frames": not_yet(_VIDEO, 1),
    "ctrl_idx": not_yet("there is no choice of control inputs", 0),
    "do_cfg_norm": not_yet("no model here normalises guidance so", False),
}
_SAMPLE = {
    "sampler": made("sampling.sampler"),
    "sample_every": same("sampling.every_n_steps", 100),
    "sample_start_step": not_yet("samples begin at once here", 0),
    "width": same("sampling.width", 512),
    "height": same("sampling.height", 512),
    "neg": made("sampling.negative_prompt"),
    "seed": same("sampling.seed", 0),
    "walk_seed": same("sampling.walk_seed"),
    "guidance_scale": made("sampling.scale, sampling.guidance"),
    "sample_steps": same("sampling.steps", 20),
    "network_multiplier": made("sampling.strength"),
    "guidance_rescale": made("sampling.guidance_rescale"),
    "format": made("sampling.format"),
    "adapter_conditioning_scale": not_yet("no adapter is used in samples", 1),
    "refiner_start_at": not_yet("no refiner is used in samples", 0.5),
    "extra_values": not_yet("no model here has extra values", []),
    "num_frames": not_yet(_VIDEO, 1),
    "fps": not_yet(_VIDEO, 0, 1, 16, 24),
    "do_cfg_norm": not_yet("no model here normalises guidance so", False),
    "prompts": made("sampling.prompts"),
    "samples": made("sampling.prompts"),
} | {f"samples.{name}": key for name, key in _SAMPLE_ITEM.items()}  # fmt: skip

_NETWORK = {
    "type": made("network.type, network.decompose"),
    "linear": made("network.rank"),
    "rank": made("network.rank"),
    "conv": made("network.conv_rank"),
    "alpha": made("network.alpha"),
    "linear_alpha": made("network.alpha"),
    "conv_alpha": made("network.conv_alpha"),
    "dropout": same("network.dropout"),
    "network_kwargs": made("network.targets"),
    "lorm": refused(_EXPERIMENT),
    "transformer_only": not_yet("layers outside of the blocks are trained by network.targets.also_if_contains", True),
    "lokr_full_rank": made("network.full_matrix"),
    "lokr_factor": made("network.factor"),
    "old_lokr_format": ignored("saving.format says how tensors are called; every layout is read", False),
    "split_multistage_loras": ignored(_SPLIT, True),
    "layer_offloading": dead("does not work there yet", False),
    "pretrained_lora_path": made("network.start_from"),
    "all_layers": not_yet("norms are trained by network.targets.norms, layers by full_if_contains", False),
    "alpha_schedule": made("alpha_schedule"),
}
_NETWORK |= {
    f"network_kwargs.{name}": key
    for name, key in {
        "ignore_if_contains": made("network.targets.ignore_if_contains"),
        "only_if_contains": same("network.targets.only_if_contains"),
        "full_if_contains": same("network.targets.full_if_contains"),
        "parameter_threshold": not_yet("layers are not chosen by their size here", 0),
        "attn_only": made("network.targets.preset"),
        "target_lin_modules": not_yet("layers are chosen by path here (network.targets), not by class"),
        "target_conv_modules": not_yet("layers are chosen by path here (network.targets), not by class"),
        "full_train_in_out": not_yet("layers are trained in full by network.targets.full_if_contains", False),
        "rank_dropout": same("network.rank_dropout"),
        "module_dropout": same("network.module_dropout"),
        "peft_format": ignored("saving.format says how tensors are called"),
        "use_bias": not_yet("adapters have no bias of their own here", False),
        "block_dims": not_yet("ranks of blocks are network.targets.block_ranks here, by name"),
        "block_alphas": not_yet("alphas of blocks are network.targets.block_alphas here, by name"),
        "conv_block_dims": not_yet("convolutions have one rank here"),
        "conv_block_alphas": not_yet("convolutions have one alpha here"),
        "modules_dim": not_yet("ranks of layers are network.targets.layer_ranks here"),
        "modules_alpha": not_yet("layers have the alpha of their block here"),
    }.items()
}  # fmt: skip
_NETWORK |= {
    f"alpha_schedule.{name}": key
    for name, key in {
        "enabled": made("alpha_schedule.preset"),
        "linear_alpha": made("alpha_schedule.linear, network.alpha"),
        "conv_alpha_phases": made("alpha_schedule.conv"),
        "per_expert": dead("their schedule never applies it"),
        "mode": dead("nothing reads it there"),
        "_preset": dead("only their form reads it"),
    }.items()
}
_PHASE = {
    "alpha": "alpha", "min_steps": "min_steps", "exit_criteria": "loss_slope_below",
    "exit_criteria.loss_improvement_rate_below": "loss_slope_below",
    "exit_criteria.min_gradient_stability": "gradient_stability_above",
    "exit_criteria.min_loss_r2": "loss_r2_above",
}  # fmt: skip
_NETWORK |= {
    f"alpha_schedule.conv_alpha_phases.*.{name}": made(f"alpha_schedule.conv.{to}") for name, to in _PHASE.items()
}
_NETWORK |= {
    f"lorm.{name}": refused(_EXPERIMENT)
    for name in ("extract_mode", "do_conv", "extract_mode_param", "parameter_threshold", "module_settings")
}

_LEGACY_ARCH = ("is_v2", "is_v3", "is_xl", "is_flux", "is_lumina2", "is_pixart", "is_pixart_sigma", "is_auraflow",
                "is_ssd", "is_vega")  # fmt: skip
_MODEL = {
    "name_or_path": made("model.path"),
    "arch": made("model.architecture"),
    **dict.fromkeys(_LEGACY_ARCH, made("model.architecture")),
    "is_v_pred": made("model.prediction_type"),
    "dtype": dead("train.dtype takes its place there, too"),
    "quantize": made("memory.denoiser_weights"),
    "quantize_te": made("memory.text_encoder_weights"),
    "qtype": made("memory.denoiser_weights, model.side_adapters"),
    "qtype_te": made("memory.text_encoder_weights"),
    "quantize_kwargs": made("memory.keep_full_if_contains"),
    "quantize_kwargs.exclude": made("memory.keep_full_if_contains"),
    "low_vram": same("memory.low_vram"),
    "assistant_lora_path": made("model.side_adapters (on: training)"),
    "inference_lora_path": made("model.side_adapters (on: sampling)"),
    "unconditional_lora_path": not_yet("no model here has a LoRA of its own for the negative prompt"),
    "lora_path": made("model.merge"),
    "accuracy_recovery_adapter": made("model.side_adapters (on: always)"),
    "extras_name_or_path": made("model.components"),
    "te_name_or_path": made("model.parts"),
    "vae_path": made("model.vae_path"),
    "unet_path": made("model.parts"),
    "unet_sample_size": not_yet("the model's own size counts here"),
    "vae_device": ignored("memory.low_vram says where parts wait"),
    "vae_dtype": made("model.vae_precision"),
    "te_device": ignored("memory.low_vram says where parts wait"),
    "te_dtype": not_yet("text encoders compute in memory.precision"),
    "refiner_name_or_path": not_yet("refiners are not trained here"),
    "refiner_start_at": ignored("belongs to the refiner"),
    "use_text_encoder_1": not_yet("the model needs all of its text encoders", True),
    "use_text_encoder_2": not_yet("the model needs all of its text encoders", True),
    "experimental_xl": not_yet(_EXPERIMENT, False),
    "latent_space_version": ignored("caches know what was encoded by its content here"),
    "text_encoder_bits": ignored("is for models that are not here; the format is memory.text_encoder_weights", 16),
    "use_flux_cfg": made("objective.bypass_guidance_embedding"),
    "attn_masking": not_yet("texts are not masked for this model", False),
    "ignore_if_contains": dead(_FULL),
    "only_if_contains": dead(_FULL),
    "split_model_over_gpus": not_yet("a model is not split over several graphics cards here", False),
    "split_model_other_module_param_count_scale": ignored("belongs to split_model_over_gpus"),
    "layer_offloading": made("memory.blocks_to_swap"),
    "auto_memory": made("memory.blocks_to_swap"),
    "layer_offloading_transformer_percent": made("memory.blocks_to_swap"),
    "layer_offloading_text_encoder_percent": ignored("memory.low_vram takes text encoders off the card", 1, 0),
    "compile": made("memory.compile"),
    "block_compile": made("memory.compile"),
    "compile_mode": not_yet("blocks are compiled in the default mode", "default"),
    "compile_fullgraph": not_yet("blocks are compiled with breaks where need be", False),
    "compile_dynamic": ignored("each size of pictures is compiled for itself"),
    "cache_size_limit": ignored("is set as high as the sizes need"),
    "model_kwargs": made("(by model)"),
    "model_paths": made("model.parts"),
    "in_context": not_yet(_CONTROL, False),
}

_TRAIN = {
    "steps": made("duration.steps"),
    "batch_size": same("batching.size"),
    "lr": made("optimizer.learning_rate"),
    **dict.fromkeys(("unet_lr", "text_encoder_lr", "refiner_lr", "embedding_lr", "adapter_lr"), dead(_ONE_RATE)),
    "optimizer": made("optimizer.type"),
    "optimizer_params": made("optimizer"),
    "lr_scheduler": made("schedule.type"),
    "lr_scheduler_params": made("schedule"),
    "dtype": made("memory.precision"),
    "noise_scheduler": made("(by model)"),
    "timestep_type": made("objective.timestep_sampling, objective.flow_shift, objective.loss_weighting"),
    "content_or_style": same("objective.content_or_style"),
    "content_or_style_reg": dead("a mistake there reads content_or_style in its place"),
    "linear_timesteps": made("objective.loss_weighting"),
    "linear_timesteps2": made("objective.loss_weighting"),
    "next_sample_timesteps": ignored("belongs to the timestep_type next_sample", 8),
    "min_denoising_steps": made("objective.max_timestep"),
    "max_denoising_steps": made("objective.min_timestep"),
    "num_train_timesteps": not_yet("times are those of the model", 1000),
    "gradient_accumulation": made("batching.gradient_accumulation_steps"),
    "gradient_accumulation_steps": made("batching.gradient_accumulation_steps"),
    "gradient_checkpointing": made("memory.gradient_checkpointing"),
    "max_grad_norm": made("optimizer.max_grad_norm"),
    "train_unet": same("network.train_denoiser"),
    "train_text_encoder": made("network.train_text_encoders"),
    "train_refiner": ignored("there is no refiner here"),
    "unload_text_encoder": made("memory.unload_text_encoders, datasets.captions"),
    "cache_text_embeddings": made("caching.text_embeddings"),
    "bypass_guidance_embedding": made("objective.bypass_guidance_embedding"),
    "cfg_scale": made("objective.guidance_scale"),
    "do_cfg": not_yet(_CFG, False),
    "do_random_cfg": not_yet(_CFG, False),
    "max_cfg_scale": ignored("belongs to do_random_cfg"),
    "cfg_rescale": ignored("belongs to do_cfg"),
    "loss_type": made("objective.loss_type, objective.loss_weighting"),
    "loss_target": not_yet("what is learned follows from the model", "noise"),
    "min_snr_gamma": made("objective.min_snr_gamma"),
    "snr_gamma": not_yet("only the bounded weight, min_snr_gamma, is here"),
    "learnable_snr_gos": not_yet(_EXPERIMENT, False),
    "noise_offset": same("objective.noise_offset"),
    "dynamic_noise_offset": not_yet(_NOISE, False),
    "noise_multiplier": not_yet(_NOISE, 1),
    "target_noise_multiplier": not_yet(_NOISE, 1),
    "img_multiplier": not_yet(_NOISE, 1),
    "noisy_latent_multiplier": not_yet(_NOISE, 1),
    "latent_multiplier": not_yet(_NOISE, 1),
    "random_noise_multiplier": not_yet(_NOISE, 0),
    "random_noise_shift": not_yet(_NOISE, 0),
    "do_signal_correction_noise": not_yet(_NOISE, False),
    "signal_correction_noise_scale": ignored("belongs to do_signal_correction_noise"),
    "do_batch_noise_correction": not_yet(_NOISE, False),
    "batch_noise_correction_scale": ignored("belongs to do_batch_noise_correction"),
    "do_signal_amplification": not_yet(_NOISE, False),
    "signal_amplification_strength": ignored("belongs to do_signal_amplification"),
    "optimal_noise_pairing_samples": not_yet("noise is not chosen by how near it is to the picture", 1),
    "force_consistent_noise": not_yet(_NOISE, False),
    "blended_blur_noise": not_yet(_NOISE, False),
    "match_noise_norm": not_yet(_NOISE, False),
    "adaptive_scaling_factor": not_yet(_NOISE, False),
    "standardize_images": not_yet("pictures keep their brightness and contrast", False),
    "standardize_latents": not_yet("latents keep their mean and spread", False),
    "ema_config": made("ema"),
    "ema_config.use_ema": made("ema.decay"),
    "ema_config.ema_decay": made("ema.decay"),
    "ema_config.use_feedback": not_yet("the mean has no effect on the weights that are trained", False),
    "ema_config.param_multiplier": not_yet("weights are not multiplied", 1),
    "skip_first_sample": made("sampling.before_first_step"),
    "force_first_sample": made("sampling.before_first_step"),
    "disable_sampling": made("sampling.prompts"),
    "reg_weight": made("objective.prior_loss_weight"),
    "diff_output_preservation": made("objective.diff_output_preservation"),
    "diff_output_preservation_multiplier": made("objective.diff_output_preservation"),
    "diff_output_preservation_class": made("objective.diff_output_preservation_class"),
    "blank_prompt_preservation": made("objective.blank_prompt_preservation"),
    "blank_prompt_preservation_multiplier": made("objective.blank_prompt_preservation"),
    "inverted_mask_prior": made("objective.inverted_mask_prior"),
    "inverted_mask_prior_multiplier": made("objective.inverted_mask_prior"),
    "do_prior_divergence": not_yet("learning away from the model's own answer is not here", False),
    "do_guidance_loss": made("objective.guidance_loss_target"),
    "guidance_loss_target": made("objective.guidance_loss_target"),
    "do_guidance_loss_cfg_zero": made("objective.guidance_loss_cfg_zero"),
    "guidance_loss_schedule": made("objective.guidance_loss_schedule"),
    "unconditional_prompt": made("objective.unconditional_prompt"),
    "do_differential_guidance": not_yet(
        "it only multiplies the gradient, which optimizers such as Adam divide out again", False
    ),
    "differential_guidance_scale": ignored("belongs to do_differential_guidance", 3),
    "t0_loss_target": not_yet("this loss is not here; objective.model_prediction_type: sigma_scaled is near", False),
    "t0_velocity_equiv_weight": ignored("belongs to t0_loss_target"),
    "do_fft_loss": not_yet("a loss on frequencies is not here; loss_type: wavelet is near", False),
    "do_fft_velocity_equiv_weight": ignored("belongs to do_fft_loss"),
    "pred_scaler": not_yet("what the model predicts is compared as it is", 1),
    "target_norm_std": not_yet("what the model predicts is compared as it is"),
    "target_norm_std_value": ignored("belongs to target_norm_std"),
    "correct_pred_norm": not_yet("what the model predicts is compared as it is", False),
    "correct_pred_norm_multiplier": ignored("belongs to correct_pred_norm"),
    **{
        f"{prefix}_feature_{name}": key
        for prefix in ("latent", "diffusion")
        for name, key in {
            "extractor_path": not_yet("a loss by another network is not here"),
            ("loss_weight" if prefix == "latent" else "extractor_weight"): ignored(
                "belongs to the loss by another network"
            ),
        }.items()
    },
    "switch_boundary_every": ignored(_SPLIT),
    "train_turbo": not_yet(_EXPERIMENT, False),
    "show_turbo_outputs": ignored("belongs to train_turbo", False),
    "free_u": not_yet("FreeU is not here", False),
    "weight_jitter": not_yet("weights are not shaken", 0),
    "single_item_batching": not_yet("a batch goes through the model as one", False),
    "prompt_dropout_prob": dead("nothing reads it there; caption_dropout_rate of a dataset does this", 0),
    "prompt_saturation_chance": not_yet("captions are not repeated", 0),
    "negative_prompt": ignored("belongs to do_cfg"),
    "max_negative_prompts": ignored("belongs to do_cfg"),
    "short_and_long_captions": not_yet("a picture has one caption at a time", False),
    "short_and_long_captions_encoder_split": not_yet("all text encoders read the same text", False),
    "merge_network_on_save": not_yet("the LoRA is saved as it is", False),
    "merge_network_on_save_strength": ignored("belongs to merge_network_on_save"),
    "adapter_assist_name_or_path": not_yet(_CONDITION),
    "adapter_assist_type": ignored("belongs to adapter_assist_name_or_path"),
    "match_adapter_assist": ignored("belongs to adapter_assist_name_or_path", False),
    "match_adapter_chance": ignored("belongs to adapter_assist_name_or_path"),
    "do_paramiter_swapping": not_yet("all weights are trained in every step", False),
    "paramiter_swapping_factor": ignored("belongs to do_paramiter_swapping"),
    "do_blank_stabilization": not_yet("blank_prompt_preservation does what is meant", False),
    "audio_loss_multiplier": ignored(_AUDIO),
    "max_loss": not_yet("losses are not cut off; loss_type: huber is near"),
    "max_loss_debug": ignored("belongs to max_loss", False),
    "xformers": made("memory.attention"),
    "sdp": made("memory.attention"),
    "attention_backend": made("memory.attention"),
    "start_step": not_yet("a run goes on from its own checkpoint (loratory train FOLDER)"),
    "validation_config": not_yet("validation takes a share of the pictures (validation.split) or a folder"),
    **{
        f"validation_config.{name}": ignored("belongs to validation_config")
        for name in ("validation_items", "resolution", "validate_every_n_steps", "validation_sigmas")
    },
}

_DATASETS = {
    "folder_path": made("datasets.path"),
    "dataset_path": made("datasets.path"),
    "type": refused("only plain pictures with captions can be trained here", "image"),
    "resolution": made("datasets.resolutions"),
    "caption_ext": made("datasets.captions.extensions"),
    "caption_type": made("datasets.captions.extensions"),
    "default_caption": made("datasets.captions.default"),
    "trigger_word": made("datasets.trigger_word"),
    "caption_dropout_rate": made("datasets.captions.dropout_rate"),
    "shuffle_tokens": same("datasets.captions.shuffle"),
    "token_dropout_rate": same("datasets.captions.tag_dropout_rate"),
    "keep_tokens": made("datasets.captions.keep_tokens"),
    "random_triggers": made("datasets.captions.random_triggers"),
    "random_triggers_max": made("datasets.captions.random_triggers_max"),
    "replacements": made("datasets.captions.replacements"),
    "use_short_captions": not_yet("a picture has one caption", False),
    "cache_latents": made("caching.latents"),
    "cache_latents_to_disk": made("caching.latents"),
    "cache_text_embeddings": made("caching.text_embeddings"),
    "cache_clip_vision_to_disk": ignored(_CONDITION, False),
    "cache_tensors_to_disk": ignored(_LOADER, False),
    "load_image_when_caching_latents": ignored(_LOADER, False),
    "cache_latents_num_workers": ignored(_LOADER),
    "num_workers": ignored(_LOADER),
    "prefetch_factor": ignored(_LOADER),
    "buckets": made("batching.buckets.mode"),
    "bucket_tolerance": dead("the model's own step takes its place there"),
    "scale": not_yet("pictures are scaled to the resolution", 1),
    "random_scale": not_yet("pictures are enlarged at random by datasets.augmentation.zoom, which needs a factor",
                             False),
    "random_crop": same("datasets.augmentation.random_crop"),
    "square_crop": not_yet("pictures are cut to squares by batching.buckets.mode: off, for all datasets", False),
    "flip_x": made("datasets.augmentation.flip"),
    "flip_y": made("datasets.augmentation.pipeline (VerticalFlip)"),
    "num_repeats": same("datasets.num_repeats"),
    "is_reg": same("datasets.is_regularisation"),
    "prior_reg": same("datasets.diff_output_preservation"),
    "network_weight": not_yet("the LoRA trains at strength 1", 1),
    "loss_multiplier": same("datasets.loss_weight"),
    **{name: refused(_CONTROL, "", []) for name in ("control_path", "control_path_1", "control_path_2",
                                                     "control_path_3", "inpaint_path", "unconditional_path")},
    "control_from_same_folder": refused(_CONTROL, False),
    "num_controls_from_same_folder": ignored("belongs to control_from_same_folder"),
    "full_size_control_images": ignored("belongs to control_path"),
    "control_transparent_color": ignored("belongs to control_path"),
    "controls": refused(_CONTROL, []),
    "mask_path": made("datasets.masks.path"),
    "alpha_mask": same("datasets.masks.alpha"),
    "invert_mask": made("datasets.masks.invert"),
    "mask_min_value": made("datasets.masks.minimum"),
    "clip_image_path": refused(_CONDITION, ""),
    "clip_image_from_same_folder": refused(_CONDITION, False),
    "clip_image_augmentations": ignored(_CONDITION),
    "clip_image_shuffle_augmentations": ignored(_CONDITION, False),
    "augments": not_yet("write them as augmentations with method and params", []),
    "augmentations": made("datasets.augmentation.pipeline"),
    "augmentations.method": made("datasets.augmentation.pipeline.name"),
    "augmentations.params": made("datasets.augmentation.pipeline.arguments"),
    "shuffle_augmentations": not_yet("steps are done in their order", False),
    "replay_transforms": ignored("masks are moved along with their pictures here", True),
    "guidance_type": ignored("belongs to sliders", "targeted"),
    "standardize_images": not_yet("pictures keep their brightness and contrast", False),
    "extra_values": not_yet("no model here has extra values", []),
    "batch_size": not_yet("all datasets have one batch size, train.batch_size"),
    "num_frames": refused(_VIDEO, 1),
    "shrink_video_to_frames": ignored(_VIDEO),
    "fps": ignored(_VIDEO),
    "auto_frame_count": ignored(_VIDEO, False),
    "trim_auto_frame_count_tail": ignored(_VIDEO),
    "do_i2v": ignored(_VIDEO),
    "do_audio": refused(_AUDIO, False),
    "audio_preserve_pitch": ignored(_AUDIO, False),
    "audio_normalize": ignored(_AUDIO, False),
    "fast_image_size": ignored("sizes are read from headers here, and remembered"),
    "debug": ignored("loratory config check says what is wrong with a dataset", False),
    "poi": refused("stops their program, too"),
    "max_pixels_per_frame": not_yet("the area is that of the resolution"),
    "temporal_jitter": ignored(_VIDEO, 0),
}  # fmt: skip


def _within(section: str, keys: Mapping[str, Key]) -> dict[str, Key]:
    return {f"{section}.{name}": key for name, key in keys.items()}


SECTIONS = ("network", "train", "model", "save", "sample", "logging", "datasets")
KEYS: dict[str, Key] = (
    _TOP | _PROCESS | dict.fromkeys(SECTIONS, made("(a section)"))
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
