"""One example for each argument of sd-scripts, and for each entry of network_args: what becomes of it here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Data = dict[str, Any]

TRAINERS: dict[str, Data] = {
    "sd": {"network_module": "networks.lora"},
    "v2": {"network_module": "networks.lora", "v2": True},
    "xl": {"network_module": "networks.lora", "sdxl": True},
    "fx": {"network_module": "networks.lora_flux"},
    "ch": {"network_module": "networks.lora_flux", "model_type": "chroma"},
    "s3": {"network_module": "networks.lora_sd3"},
    "lu": {"network_module": "networks.lora_lumina"},
    "ly": {"network_module": "lycoris.kohya"},
}
"""What makes a file one for a trainer."""

BASE: Data = {
    "pretrained_model_name_or_path": "some/model", "train_data_dir": "/pictures", "resolution": "512",
    "output_name": "dog", "learning_rate": 1e-4, "max_train_steps": 100, "output_dir": "/out",
}  # fmt: skip


@dataclass(frozen=True)
class Example:
    value: Any
    expected: Data | str
    """What stands in the job, by path, or the level of the note."""
    trainer: str = "sd"
    beside: Data = field(default_factory=dict)
    """Other arguments that are given, too."""


def several(names: str, level: str, value: Any = True, trainer: str = "sd") -> dict[str, Example]:
    return {name: Example(value, level, trainer) for name in names.split()}


E = Example
D0 = "datasets.0."
CAPTIONS = D0 + "captions."
SAMPLED = {"sample_prompts": "/p.txt"}
HUBER = {"loss_type": "huber", "huber_schedule": "constant"}

ARGUMENTS: dict[str, Example] = {
    # model
    "v2": E(True, {"model.architecture": "sd2"}),
    "v_parameterization": E(True, {"model.prediction_type": "v_prediction"}),
    "pretrained_model_name_or_path": E("/m.safetensors", {"model.path": "/m.safetensors"}),
    "vae": E("/v.safetensors", {"model.vae_path": "/v.safetensors"}),
    "clip_l": E("/c", {"model.parts": {"text_encoder": "/c"}}, "fx"),
    "clip_g": E("/c", {"model.parts": {"text_encoder_2": "/c"}}, "s3"),
    "t5xxl": E("/t", {"model.parts": {"text_encoder": "/t"}}, "ch"),
    "ae": E("/a", {"model.vae_path": "/a"}, "lu"),
    "gemma2": E("/g", {"model.parts": {"text_encoder": "/g"}}, "lu"),
    "model_type": E("chroma", {"model.architecture": "chroma"}, "fx"),
    "disable_mmap_load_safetensors": E(True, {"model.disable_mmap": True}),
    # datasets
    "train_data_dir": E("/dogs", {D0 + "path": "/dogs"}),
    "reg_data_dir": E("/others", {"datasets.1.path": "/others", "datasets.1.is_regularisation": True,
                                  "batching.balance_regularisation": True}),
    "in_json": E("/meta.json", {CAPTIONS + "metadata_file": "/meta.json"}),
    "dataset_repeats": E(3, {D0 + "num_repeats": 3}),
    "resolution": E("768,512", {"batching.buckets.resolution": [768, 512]}),
    "train_batch_size": E(4, {"batching.size": 4}),
    "color_aug": E(True, {D0 + "augmentation": {"colour": True, "variants": None}, "caching.latents": "off"}),
    "flip_aug": E(True, {D0 + "augmentation": {"flip": True}}),
    "face_crop_aug_range": E("1.0,2.0", "unsupported"),
    "random_crop": E(True, {D0 + "augmentation": {"random_crop": True, "variants": None}}),
    "alpha_mask": E(True, {D0 + "masks": {"alpha": True}}),
    "resize_interpolation": E("lanczos", "unsupported"),
    "cache_latents": E(True, {"caching.latents": "memory"}),
    "cache_latents_to_disk": E(True, {"caching.latents": "disk"}),
    "vae_batch_size": E(2, {"caching.batch_size": 2}),
    "dataset_config": E("", "mapped"),
    "masked_loss": E(True, "mapped"),
    "skip_image_resolution": E("512", "unsupported"),
    # buckets
    "enable_bucket": E(True, {"batching.buckets.mode": "upscale", "batching.buckets.minimum": 256,
                              "batching.buckets.maximum": 1024, "batching.buckets.step": 64}),
    "min_bucket_reso": E(300, {"batching.buckets.minimum": 256}, beside={"enable_bucket": True}),
    "max_bucket_reso": E(1500, {"batching.buckets.maximum": 1536}, beside={"enable_bucket": True}),
    "bucket_reso_steps": E(32, {"batching.buckets.step": 32}, "xl", {"enable_bucket": True}),
    "bucket_no_upscale": E(True, {"batching.buckets.mode": "no_upscale"}, beside={"enable_bucket": True}),
    # captions
    "caption_extension": E("txt", {CAPTIONS + "extensions": [".txt"]}),
    "caption_extention": E(".cap", {CAPTIONS + "extensions": [".cap"]}, beside={"caption_extension": ".txt"}),
    "caption_separator": E(";", {CAPTIONS + "separator": ";"}),
    "shuffle_caption": E(True, {CAPTIONS + "shuffle": True, CAPTIONS + "variants": 256,
                                "caching.text_embeddings": "off"}),
    "keep_tokens": E(2, {CAPTIONS + "keep_tokens": 2}),
    "keep_tokens_separator": E("|||", {CAPTIONS + "keep_tokens_separator": "|||"}),
    "secondary_separator": E(";;;", {CAPTIONS + "secondary_separator": ";;;"}),
    "enable_wildcard": E(True, {CAPTIONS + "wildcards": True}),
    "caption_prefix": E("a", {CAPTIONS + "prefix": "a"}),
    "caption_suffix": E("z", {CAPTIONS + "suffix": "z"}),
    "caption_dropout_rate": E(0.1, {CAPTIONS + "dropout_rate": 0.1}),
    "caption_dropout_every_n_epochs": E(5, {CAPTIONS + "dropout_every_n_epochs": 5}),
    "caption_tag_dropout_rate": E(0.2, {CAPTIONS + "tag_dropout_rate": 0.2}),
    "token_warmup_min": E(2, {CAPTIONS + "token_warmup_min": 2}),
    "token_warmup_step": E(0.5, {CAPTIONS + "token_warmup_steps": 0.5}),
    "weighted_captions": E(True, {"text.weighted": True}, "xl"),
    "max_token_length": E(225, {"text.max_token_length": 225}, "xl"),
    "clip_skip": E(2, {"text.clip_skip": 2}),
    "t5xxl_max_token_length": E(256, {"text.max_tokens": 256}, "fx"),
    "gemma2_max_token_length": E(256, "default", "lu"),
    "system_prompt": E("Draw this.", "unsupported", "lu"),
    "cache_text_encoder_outputs": E(True, {"caching.text_embeddings": "memory"}, "xl",
                                    {"network_train_unet_only": True}),
    "cache_text_encoder_outputs_to_disk": E(True, {"caching.text_embeddings": "disk"}, "s3"),
    # network
    "network_module": E("networks.dylora", {"network.type": "dylora", "network.unit": 1}),
    "network_dim": E(32, {"network.rank": 32, "network.alpha": 1.0}),
    "network_alpha": E(0, {"network.rank": 4, "network.alpha": "auto"}),
    "network_dropout": E(0.1, {"network.dropout": 0.1}),
    "network_args": E(["conv_dim=8 conv_alpha=4"], {"network.conv_rank": 8, "network.conv_alpha": 4.0}),
    "network_weights": E("/w.safetensors", {"network.start_from": "/w.safetensors"}),
    "dim_from_weights": E(True, {"network.shape_from_start": True}, beside={"network_weights": "/w.safetensors"}),
    "base_weights": E(["/b", "/c"], {"model.merge": [{"path": "/b", "strength": 1.0}, {"path": "/c",
        "strength": 1.0}]}),
    "base_weights_multiplier": E([0.5], {"model.merge": [{"path": "/b", "strength": 0.5}]},
        beside={"base_weights": "/b"}),
    "network_train_unet_only": E(True, {"network.train_text_encoders": False, "network.train_denoiser": True}),
    "network_train_text_encoder_only": E(True, {"network.train_text_encoders": True, "network.train_denoiser": False}),
    "scale_weight_norms": E(1.0, {"network.max_weight_norm": 1.0}),
    "training_comment": E("hello", {"saving.comment": "hello"}),
    # optimizer
    "optimizer_type": E("Lion", {"optimizer.type": "lion", "optimizer.weight_decay": 0.0}),
    "optimizer_args": E(["weight_decay=0.1", "betas=0.8,0.9"],
                        {"optimizer.weight_decay": 0.1, "optimizer.beta1": 0.8, "optimizer.beta2": 0.9}),
    "use_8bit_adam": E(True, {"optimizer.type": "adamw8bit"}),
    "use_lion_optimizer": E(True, {"optimizer.type": "lion"}),
    "learning_rate": E(3e-4, {"optimizer.learning_rate": 3e-4}),
    "unet_lr": E(5e-4, {"optimizer.learning_rate": 5e-4, "optimizer.text_encoder_learning_rate": 1e-4}),
    "text_encoder_lr": E([5e-5], {"optimizer.learning_rate": 1e-4, "optimizer.text_encoder_learning_rate": 5e-5}),
    "max_grad_norm": E(0.0, {"optimizer.max_grad_norm": 0.0}),
    "lr_scheduler": E("polynomial", {"schedule.type": "polynomial", "schedule.power": 1.0}),
    "lr_scheduler_type": E("LoraEasyCustomOptimizer.CustomOptimizers.Rex", {"schedule.type": "rex"}),
    "lr_scheduler_args": E(["step_rules='1:10,0.1:20,0.01'"],
                           {"schedule.until_steps": [10, 20], "schedule.factors": [1.0, 0.1, 0.01]},
                           beside={"lr_scheduler": "piecewise_constant"}),
    "lr_warmup_steps": E("10%", {"schedule.warmup_ratio": 0.1}, beside={"lr_scheduler": "cosine"}),
    "lr_decay_steps": E(50, {"schedule.decay_steps": 50}, beside={"lr_scheduler": "warmup_stable_decay"}),
    "lr_scheduler_num_cycles": E(3, {"schedule.num_cycles": 3}, beside={"lr_scheduler": "cosine_with_restarts"}),
    "lr_scheduler_power": E(2.0, {"schedule.power": 2.0}, beside={"lr_scheduler": "polynomial"}),
    "lr_scheduler_timescale": E(70, {"schedule.timescale": 70}, beside={"lr_scheduler": "inverse_sqrt"}),
    "lr_scheduler_min_lr_ratio": E(0.2, {"schedule.min_rate_ratio": 0.2},
        beside={"lr_scheduler": "cosine_with_min_lr"}),
    # training
    "max_train_steps": E(400, {"duration": {"steps": 400}}),
    "max_train_epochs": E(7, {"duration": {"epochs": 7}}),
    "seed": E(0, {"seed": 0}),
    "gradient_accumulation_steps": E(4, {"batching.gradient_accumulation_steps": 4}),
    "mixed_precision": E("bf16", {"memory.precision": "bf16", "model.vae_precision": "bf16",
        "saving.precision": "fp32"}),
    "full_fp16": E(True, {"memory.adapter_precision": "fp16", "saving.precision": "fp16"},
                   beside={"mixed_precision": "fp16"}),
    "full_bf16": E(True, {"memory.adapter_precision": "bf16", "optimizer.stochastic_rounding": False},
                   beside={"mixed_precision": "bf16"}),
    "prior_loss_weight": E(0.5, {"objective.prior_loss_weight": 0.5}),
    # memory
    "gradient_checkpointing": E(True, {"memory.gradient_checkpointing": "on"}),
    "cpu_offload_checkpointing": E(True, {"memory.gradient_checkpointing": "offload"}, "fx",
                                   {"gradient_checkpointing": True}),
    "unsloth_offload_checkpointing": E(True, {"memory.gradient_checkpointing": "offload"}),
    "blocks_to_swap": E(20, {"memory.blocks_to_swap": 30}, "fx"),
    "split_mode": E(True, {"memory.blocks_to_swap": 27}, "fx"),
    "fp8_base": E(True, {"memory.denoiser_weights": "fp8_e4m3", "memory.text_encoder_weights": "fp8_e4m3"}, "fx"),
    "fp8_base_unet": E(True, {"memory.denoiser_weights": "fp8_e4m3"}, "fx"),
    "no_half_vae": E(True, {"model.vae_precision": "fp32"}, "xl", {"mixed_precision": "fp16"}),
    "mem_eff_attn": E(True, "default"),
    "xformers": E(True, "default"),
    "sdpa": E(True, {"memory.attention": "sdpa"}),
    "use_flash_attn": E(True, "default", "lu"),
    "torch_compile": E(True, {"memory.compile": True}),
    # noise
    "noise_offset": E(0.05, {"objective.noise_offset": 0.05}),
    "noise_offset_random_strength": E(True, {"objective.noise_offset_random_strength": True},
                                      beside={"noise_offset": 0.1}),
    "adaptive_noise_scale": E(0.01, {"objective.adaptive_noise_scale": 0.01}, beside={"noise_offset": 0.1}),
    "multires_noise_iterations": E(6, {"objective.multires_noise_iterations": 6}),
    "multires_noise_discount": E(0.8, {"objective.multires_noise_discount": 0.8},
        beside={"multires_noise_iterations": 6}),
    "ip_noise_gamma": E(0.1, {"objective.ip_noise_gamma": 0.1}, "fx"),
    "ip_noise_gamma_random_strength": E(True, {"objective.ip_noise_gamma_random_strength": True},
                                        beside={"ip_noise_gamma": 0.1}),
    "zero_terminal_snr": E(True, {"model.zero_terminal_snr": True}),
    "min_timestep": E(100, {"objective.min_timestep": 100}),
    "max_timestep": E(900, {"objective.max_timestep": 899}),
    "timestep_sampling": E("flux_shift", {"objective.timestep_sampling": "sigmoid",
        "objective.flow_shift": "resolution"},
                           "fx"),
    "sigmoid_scale": E(1.5, {"objective.sigmoid_scale": 1.5, "objective.flow_shift": 1.0}, "fx",
                       {"timestep_sampling": "sigmoid"}),
    "discrete_flow_shift": E(3.1582, {"objective.timestep_sampling": "sigmoid", "objective.flow_shift": 3.1582}, "fx",
                             {"timestep_sampling": "shift"}),
    "training_shift": E(3.0, {"objective.flow_shift": 3.0, "objective.timestep_sampling": "uniform",
                              "objective.model_prediction_type": "sigma_scaled"}, "s3"),
    "weighting_scheme": E("sigma_sqrt", {"objective.loss_weighting": "sigma_sqrt"}, "s3"),
    "logit_mean": E(0.5, {"objective.logit_mean": -0.5, "objective.timestep_sampling": "logit_normal",
                          "objective.flow_shift": 3.0}, "fx", {"weighting_scheme": "logit_normal"}),
    "logit_std": E(0.7, {"objective.logit_std": 0.7}, "s3", {"weighting_scheme": "logit_normal"}),
    "mode_scale": E(1.0, {"objective.mode_scale": 1.0, "objective.timestep_sampling": "mode"}, "s3",
                    {"weighting_scheme": "mode"}),
    "model_prediction_type": E("additive", {"objective.model_prediction_type": "additive"}, "fx"),
    "guidance_scale": E(1.0, {"objective.guidance_scale": 1.0}, "fx"),
    # loss
    "loss_type": E("l1", {"objective.loss_type": "mae"}),
    "huber_schedule": E("exponential", {"objective.huber_schedule": "exponential"}, beside={"loss_type": "smooth_l1"}),
    "huber_c": E(0.2, {"objective.huber_c": 0.2}, beside=HUBER),
    "huber_scale": E(2.0, {"objective.huber_scale": 2.0}, beside=HUBER),
    "min_snr_gamma": E(5.0, {"objective.min_snr_gamma": 5.0}),
    "scale_v_pred_loss_like_noise_pred": E(True, {"objective.scale_v_pred_loss_like_noise_pred": True},
                                           beside={"v_parameterization": True}),
    "v_pred_like_loss": E(0.5, {"objective.v_pred_like_loss": 0.5}),
    "debiased_estimation_loss": E(True, {"objective.debiased_estimation": True}),
    # saving
    "save_precision": E("fp16", {"saving.precision": "fp16"}),
    "save_model_as": E("ckpt", {"saving.file_type": "ckpt"}),
    "output_dir": E("/o", {"saving.output_dir": "/o"}),
    "output_name": E("cat", {"name": "cat"}),
    "save_every_n_epochs": E(2, {"saving.export_every_n_epochs": 2, "saving.export_every_n_steps": None}),
    "save_every_n_steps": E(50, {"saving.export_every_n_steps": 50, "saving.keep_last_exports": None}),
    "save_n_epoch_ratio": E(4, {"saving.export_every_n_epochs": 2}, beside={"max_train_epochs": 10}),
    "save_last_n_epochs": E(3, {"saving.keep_last_exports": 3}, beside={"save_every_n_epochs": 1}),
    "save_last_n_epochs_state": E(2, {"saving.keep_last_checkpoints": 2}, beside={"save_state": True}),
    "save_last_n_steps": E(100, {"saving.keep_last_exports": 3}, beside={"save_every_n_steps": 50}),
    "save_last_n_steps_state": E(100, {"saving.keep_last_checkpoints": 3},
                                 beside={"save_every_n_steps": 50, "save_state": True}),
    "save_state": E(True, {"saving.checkpoint_every_n_steps": 50}, beside={"save_every_n_steps": 50}),
    "no_metadata": E(True, {"saving.metadata": "minimum"}),
    "metadata_title": E("t", {"saving.title": "t"}),
    "metadata_author": E("a", {"saving.author": "a"}),
    "metadata_description": E("d", {"saving.description": "d"}),
    "metadata_license": E("l", {"saving.license": "l"}),
    "metadata_tags": E("dog, pet", {"saving.tags": ["dog", "pet"]}),
    # samples
    "sample_every_n_steps": E(50, {"sampling.every_n_steps": 50, "sampling.before_first_step": False}, beside=SAMPLED),
    "sample_every_n_epochs": E(2, {"sampling.every_n_epochs": 2}, beside=SAMPLED),
    "sample_at_first": E(True, {"sampling.before_first_step": True}, beside=SAMPLED),
    "sample_prompts": E("/p.txt", {"sampling.prompts_file": "/p.txt", "sampling.width": 512, "sampling.steps": 30,
                                   "sampling.scale": 7.5, "sampling.sampler": "ddim"}),
    "sample_sampler": E("euler_a", {"sampling.sampler": "euler_a"}, beside=SAMPLED),
    # logging and validation
    "logging_dir": E("/logs", {"logging.tensorboard": True}),
    "log_with": E("wandb", {"logging.wandb.mode": "online", "logging.wandb.project": "network_train"}),
    "log_tracker_name": E("dogs", {"logging.wandb.project": "dogs"}, beside={"log_with": "wandb"}),
    "wandb_run_name": E("r", {"logging.wandb.run_name": "r"}, beside={"log_with": "wandb"}),
    "console_log_level": E("DEBUG", {"logging.level": "debug"}),
    "validation_seed": E(5, {"validation.seed": 5}, beside={"validation_split": 0.1}),
    "validation_split": E(0.1, {"validation.split": 0.1, "validation.every_n_epochs": 1,
        "validation.every_n_steps": None,
                                "validation.max_pictures": None}),
    "validate_every_n_steps": E(20, {"validation.every_n_steps": 20, "validation.every_n_epochs": None},
                                beside={"validation_split": 0.1}),
    "validate_every_n_epochs": E(2, {"validation.every_n_epochs": 2}, beside={"validation_split": 0.1}),
    "max_validation_steps": E(3, {"validation.max_pictures": 6},
                              beside={"validation_split": 0.1, "train_batch_size": 2}),
    "cuda_allow_tf32": E(True, {"memory.tf32": "on"}),
    # without an effect here or there
    **several("lowram highvram cache_info skip_cache_check skip_latents_validity_check debug_dataset "
              "persistent_data_loader_workers compile compile_fullgraph cuda_cudnn_benchmark save_state_on_train_end "
              "log_config console_log_simple output_config ddp_gradient_as_bucket_view ddp_static_graph async_upload "
              "mem_eff_save", "ignored"),
    **several("tokenizer_cache_dir t5_tokenizer_path dynamo_backend compile_backend compile_mode compile_dynamic "
              "log_prefix log_tracker_config console_log_file config_file show_timesteps", "ignored", "x"),
    **several("text_encoder_batch_size max_data_loader_n_workers compile_cache_size_limit sample_batch_size "
              "show_timesteps_resolution ddp_timeout zero_stage", "ignored", 3),
    **several("deepspeed zero3_init_flag zero3_save_16bit_model fp16_master_weights_and_gradients apply_t5_attn_mask "
              "apply_lg_attn_mask enable_scaled_pos_embed resume_from_huggingface skip_until_initial_step "
              "save_state_to_huggingface use_sage_attn train_inpainting fp8_scaled fp8_vl text_encoder_cpu "
              "vae_disable_cache qwen_image_vae_2d split_attn", "unsupported"),
    **several("offload_optimizer_device offload_optimizer_nvme_path offload_param_device offload_param_nvme_path "
              "dataset_class resume huggingface_repo_id huggingface_repo_type huggingface_path_in_repo "
              "huggingface_repo_visibility metadata_usage_hint metadata_thumbnail metadata_merged_from "
              "metadata_trigger_phrase metadata_preprocessor metadata_is_negative_embedding text_encoder attn_mode",
              "unsupported", "x"),
    **several("initial_epoch initial_step qwen3_max_token_length t5_max_token_length vae_chunk_size", "unsupported", 3),
    **several("clip_l_dropout_rate clip_g_dropout_rate t5_dropout_rate pos_emb_random_crop_rate", "unsupported", 0.1),
    **several("llm_adapter_path controlnet_model_name_or_path conditioning_data_dir t5xxl_device t5xxl_dtype block_lr "
              "weights token_string init_word", "dead", "x"),
    **several("fused_backward_pass save_clip save_t5xxl use_safetensors train_text_encoder train_t5xxl "
              "use_t5xxl_cache_only no_token_padding diffusers_xformers blockwise_fused_optimizers use_object_template "
              "use_style_template", "dead"),
    **several("llm_adapter_lr self_attn_lr cross_attn_lr mlp_lr mod_lr learning_rate_te learning_rate_te1 "
              "learning_rate_te2 learning_rate_te3 control_net_lr", "dead", 1e-5),
    **several("num_last_block_to_freeze stop_text_encoder_training fused_optimizer_groups double_blocks_to_swap "
              "single_blocks_to_swap num_vectors_per_token cond_emb_dim", "dead", 3),
    **several("wandb_api_key huggingface_token", "secret", "hf_0123456789"),
}  # fmt: skip

REFUSED = {"byt5": "HunyuanImage", "qwen3": "Anima"}
"""Arguments that only trainers of what is not here take."""

RANKS = "network.targets.layer_ranks"
TWENTY_FIVE = ",".join(["2"] * 12 + ["8"] + ["4"] * 12)

NETWORK_ARGS: dict[str, Example] = {
    "conv_dim": E("8", {"network.conv_rank": 8, "network.conv_alpha": 1.0}),
    "conv_alpha": E("2", {"network.conv_alpha": 2.0}, beside={"conv_dim": "4"}),
    "rank_dropout": E("0.1", {"network.rank_dropout": 0.1}),
    "module_dropout": E("0.2", {"network.module_dropout": 0.2}, "fx"),
    "dropout": E("0.3", {"network.dropout": 0.3}, "ly"),
    "loraplus_lr_ratio": E("16", {"optimizer.lora_plus_ratio": 16.0}),
    "loraplus_unet_lr_ratio": E("8", {"optimizer.lora_plus_ratio": 8.0, "optimizer.text_encoder_lora_plus_ratio": 1.0}),
    "loraplus_text_encoder_lr_ratio": E("4", {"optimizer.text_encoder_lora_plus_ratio": 4.0}),
    "block_dims": E(TWENTY_FIVE, {"network.targets.block_ranks": {
        **{f"input_blocks.{i}": 2 for i in range(12)}, "middle_block": 8,
        **{f"output_blocks.{i}": 4 for i in range(12)},
    }}),
    "block_alphas": E(TWENTY_FIVE, {"network.targets.block_alphas": {
        **{f"input_blocks.{i}": 2.0 for i in range(12)}, "middle_block": 8.0,
        **{f"output_blocks.{i}": 4.0 for i in range(12)},
    }}),
    "conv_block_dims": E(TWENTY_FIVE, "unsupported"),
    "conv_block_alphas": E(TWENTY_FIVE, "unsupported"),
    "down_lr_weight": E("1,1,1,1,1,1,1,1,.5,.5,.5,.5", {"optimizer.block_rate_factors": {
        **{f"input_blocks.{i}": 1.0 for i in (1, 2, 4, 5, 7)}, "input_blocks.8": 0.5, "middle_block": 1.0,
        **{f"output_blocks.{i}": 1.0 for i in range(3, 12)},
    }}),
    "mid_lr_weight": E("0", {"network.targets.block_ranks": {"middle_block": 0}}),
    "up_lr_weight": E("zeros+.25", {"optimizer.block_rate_factors": {
        **{f"input_blocks.{i}": 1.0 for i in (1, 2, 4, 5, 7, 8)}, "middle_block": 1.0,
        **{f"output_blocks.{i}": 0.25 for i in range(3, 12)},
    }}),
    "block_lr_zero_threshold": E("0.5", {"network.targets.block_ranks": {"middle_block": 0}},
                                 beside={"mid_lr_weight": "0.5"}),
    "img_attn_dim": E("2", {RANKS: {r"/\btransformer_blocks\.\d+\.attn\.to_(q|k|v|out)\b/": 2}}, "fx"),
    "txt_attn_dim": E("2", {RANKS: {r"/\btransformer_blocks\.\d+\.attn\.(add_[qkv]_proj|to_add_out)/": 2}}, "fx"),
    "img_mlp_dim": E("2", {RANKS: {r"/\btransformer_blocks\.\d+\.ff\./": 2}}, "fx"),
    "txt_mlp_dim": E("2", {RANKS: {r"/\btransformer_blocks\.\d+\.ff_context\./": 2}}, "fx"),
    "img_mod_dim": E("2", {RANKS: {r"/\btransformer_blocks\.\d+\.norm1\.linear/": 2}}, "fx"),
    "txt_mod_dim": E("0", {RANKS: {r"/\btransformer_blocks\.\d+\.norm1_context\.linear/": 0}}, "fx"),
    "single_dim": E("2", {RANKS: {r"/single_transformer_blocks\.\d+\.(attn|proj)/": 2}}, "ch"),
    "single_mod_dim": E("2", {RANKS: {r"/single_transformer_blocks\.\d+\.norm\.linear/": 2}}, "fx"),
    "in_dims": E("4,0,0,0,2", {
        RANKS: {"transformer.x_embedder": 4, "transformer.context_embedder": 2},
        "network.targets.also_if_contains": ["transformer.x_embedder", "transformer.context_embedder"],
    }, "fx"),
    "train_double_block_indices": E("0,2,4-7", {
        "network.targets.blocks": "double_blocks.0, double_blocks.2, double_blocks.4-7, single_blocks"}, "fx"),
    "train_single_block_indices": E("none", {"network.targets.blocks": "double_blocks"}, "fx"),
    "train_blocks": E("single", {"network.targets.blocks": "single_blocks"}, "fx"),
    "train_blocks (lumina)": E("refiners", {"network.targets.blocks": "noise_refiner, context_refiner"}, "lu"),
    "split_qkv": E("True", {"network.shared_down": False}, "fx"),
    "train_t5xxl": E("True", {"network.train_large_text_encoders": True}, "fx"),
    "ggpo_sigma": E("0.03", "unsupported", "fx"),
    "ggpo_beta": E("0.01", "unsupported", "fx"),
    "network_reg_dims": E("single=4", "unsupported", "fx"),
    "network_reg_lrs": E("single=1e-3", "unsupported", "fx"),
    "verbose": E("True", "ignored", "fx"),
    "context_attn_dim": E("2", {RANKS: {r"/\.attn\.(add_[qkv]_proj|to_add_out)/": 2}}, "s3"),
    "context_mlp_dim": E("2", {RANKS: {r"/\.ff_context\./": 2}}, "s3"),
    "context_mod_dim": E("2", {RANKS: {r"/\.norm1_context\.linear/": 2}}, "s3"),
    "x_attn_dim": E("2", {RANKS: {r"/\.attn2?\.to_(q|k|v|out)\b/": 2}}, "s3"),
    "x_mlp_dim": E("2", {RANKS: {r"/\.ff\./": 2}}, "s3"),
    "x_mod_dim": E("2", {RANKS: {r"/\.norm1\.linear/": 2}}, "s3"),
    "emb_dims": E("0,0,0,0,0,8", {RANKS: {"transformer.proj_out": 8}}, "s3"),
    "train_block_indices": E("0-3", {"network.targets.blocks": "joint_blocks.0-3"}, "s3"),
    "attn_dim": E("2", {RANKS: {r"/\.attn\./": 2}}, "lu"),
    "mlp_dim": E("2", {RANKS: {r"/\.feed_forward\./": 2}}, "lu"),
    "mod_dim": E("2", {RANKS: {r"/\.norm1\.linear/": 2}}, "lu"),
    "refiner_dim": E("2", {RANKS: {r"/_refiner\./": 2}}, "lu"),
    "embedder_dims": E("0,0,4", {RANKS: {"caption_embedder": 4}}, "lu"),
    "train_llm_adapter": E("True", "unsupported"),
    "exclude_patterns": E("['a']", "unsupported"),
    "include_patterns": E("['a']", "unsupported"),
    "unit": E("2", {"network.unit": 2}, beside={"network_module": "networks.dylora"}),
    "enable_all_linear": E("True", "unsupported", beside={"network_module": "networks.oft"}),
    "enable_conv": E("True", "unsupported", beside={"network_module": "networks.oft"}),
    "algo": E("loha", {"network.type": "loha", "network.targets.preset": "full", "network.conv_rank": 4,
                       "network.conv_alpha": 1.0}, "ly"),
    "preset": E("attn-mlp", {"network.targets.preset": "attn-mlp"}, "ly"),
    "factor": E("8", {"network.factor": 8}, "ly", {"algo": "lokr"}),
    "decompose_both": E("True", {"network.decompose_both": True}, "ly", {"algo": "lokr"}),
    "use_tucker": E("True", {"network.tucker": True}, "ly"),
    "use_scalar": E("True", "unsupported", "ly"),
    "train_norm": E("True", {"network.targets.norms": True}, "ly"),
    "dora_wd": E("True", {"network.decompose": True}, "ly"),
    "bypass_mode": E("True", "ignored", "ly"),
    "rank_dropout_scale": E("True", "dead", "ly"),
    "block_size": E("2", {"network.unit": 2}, "ly", {"algo": "dylora"}),
    "constraint": E("0.1", {"network.constraint": 0.1}, "ly", {"algo": "boft"}),
    "rescaled": E("True", {"network.rescaled": True}, "ly", {"algo": "diag-oft"}),
    "train_on_input": E("True", "dead", "ly", {"algo": "ia3"}),
    "rs_lora": E("True", {"network.rank_stabilized": True}, "ly"),
    "wd_on_output": E("False", "default", "ly"),
    "full_matrix": E("True", {"network.full_matrix": True}, "ly", {"algo": "lokr"}),
    "unbalanced_factorization": E("True", {"network.unbalanced": True}, "ly", {"algo": "lokr"}),
}  # fmt: skip
