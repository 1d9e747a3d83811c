"""The arguments of sd-scripts' trainers by the kind of value that they take, and how a value is read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from loratory.errors import UserError

FLAGS = frozenset(
    """
    alpha_mask apply_lg_attn_mask apply_t5_attn_mask async_upload blockwise_fused_optimizers bucket_no_upscale
    cache_info cache_latents cache_latents_to_disk cache_text_encoder_outputs cache_text_encoder_outputs_to_disk
    color_aug compile compile_fullgraph console_log_simple cpu_offload_checkpointing cuda_allow_tf32
    cuda_cudnn_benchmark ddp_gradient_as_bucket_view ddp_static_graph debiased_estimation_loss debug_dataset
    deepspeed diffusers_xformers dim_from_weights disable_mmap_load_safetensors enable_bucket
    enable_scaled_pos_embed enable_wildcard flip_aug fp16_master_weights_and_gradients fp8_base fp8_base_unet
    fp8_scaled fp8_vl full_bf16 full_fp16 fused_backward_pass gradient_checkpointing highvram
    ip_noise_gamma_random_strength log_config lowram masked_loss mem_eff_attn mem_eff_save
    network_train_text_encoder_only network_train_unet_only no_half_vae no_metadata no_token_padding
    noise_offset_random_strength output_config persistent_data_loader_workers qwen_image_vae_2d random_crop
    resume_from_huggingface sample_at_first save_clip save_state save_state_on_train_end save_state_to_huggingface
    save_t5xxl scale_v_pred_loss_like_noise_pred sdpa shuffle_caption skip_cache_check skip_latents_validity_check
    skip_until_initial_step split_attn split_mode text_encoder_cpu torch_compile train_inpainting train_t5xxl
    train_text_encoder unsloth_offload_checkpointing use_8bit_adam use_flash_attn use_lion_optimizer
    use_object_template use_safetensors use_sage_attn use_style_template use_t5xxl_cache_only v2 v_parameterization
    vae_disable_cache weighted_captions xformers zero3_init_flag zero3_save_16bit_model zero_terminal_snr
    """.split()
)
"""Switches: on a command line they stand alone."""

WHOLE = frozenset(
    """
    blocks_to_swap bucket_reso_steps caption_dropout_every_n_epochs clip_skip compile_cache_size_limit cond_emb_dim
    dataset_repeats ddp_timeout double_blocks_to_swap fused_optimizer_groups gemma2_max_token_length
    gradient_accumulation_steps initial_epoch initial_step keep_tokens lr_scheduler_num_cycles
    lr_scheduler_timescale max_bucket_reso max_data_loader_n_workers max_timestep max_token_length max_train_epochs
    max_train_steps max_validation_steps min_bucket_reso min_timestep multires_noise_iterations network_dim
    num_last_block_to_freeze num_vectors_per_token qwen3_max_token_length sample_batch_size sample_every_n_epochs
    sample_every_n_steps save_every_n_epochs save_every_n_steps save_last_n_epochs save_last_n_epochs_state
    save_last_n_steps save_last_n_steps_state save_n_epoch_ratio seed show_timesteps_resolution
    single_blocks_to_swap stop_text_encoder_training t5_max_token_length t5xxl_max_token_length
    text_encoder_batch_size token_warmup_min train_batch_size vae_batch_size vae_chunk_size validate_every_n_epochs
    validate_every_n_steps validation_seed zero_stage
    """.split()
)
"""Whole numbers."""

NUMBERS = frozenset(
    """
    adaptive_noise_scale caption_dropout_rate caption_tag_dropout_rate clip_g_dropout_rate clip_l_dropout_rate
    control_net_lr cross_attn_lr discrete_flow_shift guidance_scale huber_c huber_scale ip_noise_gamma learning_rate
    learning_rate_te learning_rate_te1 learning_rate_te2 learning_rate_te3 llm_adapter_lr logit_mean logit_std
    lr_scheduler_min_lr_ratio lr_scheduler_power max_grad_norm min_snr_gamma mlp_lr mod_lr mode_scale
    multires_noise_discount network_alpha network_dropout noise_offset pos_emb_random_crop_rate prior_loss_weight
    scale_weight_norms self_attn_lr sigmoid_scale t5_dropout_rate token_warmup_step training_shift unet_lr
    v_pred_like_loss validation_split
    """.split()
)
"""Numbers."""

LISTS = frozenset(
    """
    base_weights base_weights_multiplier lr_scheduler_args network_args optimizer_args text_encoder_lr
    """.split()
)
"""Several values; on a command line they follow one another."""

TEXTS = frozenset(
    """
    ae attn_mode block_lr byt5 caption_extension caption_extention caption_prefix caption_separator caption_suffix
    clip_g clip_l compile_backend compile_dynamic compile_mode conditioning_data_dir config_file console_log_file
    console_log_level controlnet_model_name_or_path dataset_class dataset_config dynamo_backend face_crop_aug_range
    gemma2 huber_schedule huggingface_path_in_repo huggingface_repo_id huggingface_repo_type
    huggingface_repo_visibility huggingface_token in_json init_word keep_tokens_separator llm_adapter_path
    log_prefix log_tracker_config log_tracker_name log_with logging_dir loss_type lr_decay_steps lr_scheduler
    lr_scheduler_type lr_warmup_steps metadata_author metadata_description metadata_is_negative_embedding
    metadata_license metadata_merged_from metadata_preprocessor metadata_tags metadata_thumbnail metadata_title
    metadata_trigger_phrase metadata_usage_hint mixed_precision model_prediction_type model_type network_module
    network_weights offload_optimizer_device offload_optimizer_nvme_path offload_param_device
    offload_param_nvme_path optimizer_type output_dir output_name pretrained_model_name_or_path qwen3 reg_data_dir
    resize_interpolation resolution resume sample_prompts sample_sampler save_model_as save_precision
    secondary_separator show_timesteps skip_image_resolution system_prompt t5_tokenizer_path t5xxl t5xxl_device
    t5xxl_dtype text_encoder timestep_sampling token_string tokenizer_cache_dir train_data_dir training_comment vae
    wandb_api_key wandb_run_name weighting_scheme weights
    """.split()
)
"""Texts, and what has several spellings."""

ALL = FLAGS | WHOLE | NUMBERS | LISTS | TEXTS

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "")


def typed(name: str, value: Any, where: str) -> Any:
    """A value as its argument takes it; `where` names it in messages. None and an empty text (but for texts): None.

    TOML gives values their types, a command line and web forms do not; numbers written as texts are read all the same.
    Raises UserError for what is no such value.
    """
    if value is None or (value == "" and name not in TEXTS):
        return None
    if name in FLAGS:
        return truth(value, where)
    if name in WHOLE:
        found = number(value, where)
        if found != int(found):
            raise UserError(f"{where} is {value!r}; a whole number was expected.")
        return int(found)
    if name in NUMBERS:
        return number(value, where)
    if name in LISTS:
        return value if isinstance(value, list | dict) else [value]
    return value


def truth(value: Any, where: str) -> bool:
    """true or false in any usual spelling. Raises UserError."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in _TRUE + _FALSE:
        raise UserError(f"{where} is {value!r}; true or false was expected.")
    return word in _TRUE


def number(value: Any, where: str) -> float:
    """A finite number, also out of a text. Raises UserError."""
    try:
        found = float(value) if not isinstance(value, bool | list | dict) else math.nan
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise UserError(f"{where} is {value!r}; a number was expected.")
    return found


def pairs(given: Iterable[Any]) -> list[str]:
    """Texts of `name=value` out of a list in which several may stand in one text."""
    return [part for each in given for part in re.split(r"\s+(?=[A-Za-z_]\w*\s*=)", str(each).strip()) if part]
