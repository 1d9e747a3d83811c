"""What becomes of every argument of sd-scripts' trainers. A test holds the table against the list of all arguments.

Guide: docs/guide/from-kohya.md. Most arguments are one parameter here (`direct`), or several of them say one thing
together and are read by a function (`composed`). For all others stands why they change nothing, or what cannot be done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from loratory.interop.imported import NoteLevel
from loratory.interop.kohya.reading import DDPM, Reading
from loratory.interop.kohya.shell import LAUNCHED

How = Literal["direct", "composed", "ignored", "unsupported", "dead", "secret"]
NOTHING: tuple[Any, ...] = (None, False, 0, "", "none", "no", [], ())
"""Values that ask for nothing; web forms write them for all that is not used."""


TOKENS = {"wandb_api_key": "WANDB_API_KEY", "huggingface_token": "HF_TOKEN"}
"""Arguments that are tokens, and the variables that these belong into."""


@dataclass(frozen=True)
class Decision:
    """direct: `say` is the path of our parameter. composed: `say` is the module that reads it. Otherwise the reason."""

    how: How
    say: str
    only: tuple[str | None, ...] = ()
    """The architectures for which the argument has an effect in sd-scripts; empty: all."""
    nothing: tuple[Any, ...] = NOTHING
    """Values that ask for nothing, or for what is so anyway."""


def _all(how: How, names: str, say: str, only: Iterable[str | None] = ()) -> dict[str, Decision]:
    return {name: Decision(how, say, tuple(only)) for name in names.split()}


_NO_TUNING = "belongs to the trainers of whole models and has no effect when a LoRA is trained"
_INVERSION = "belongs to textual inversion and has no effect when a LoRA is trained"
_ANIMA = "belongs to Anima, which cannot be trained here"
_HUNYUAN = "belongs to HunyuanImage-2.1, which cannot be trained here"
_ONE_PROCESS = "sets up several processes; one process trains here"
_CACHE_OF_ITS_OWN = "the cache here is found by content, so it needs no such switch"
_UPLOAD = "nothing is uploaded by a training here"
_HEADER = "this line of the file's header cannot be set here"

DECISIONS: Mapping[str, Decision] = {
    # One parameter here -------------------------------------------------------------------------------------------
    "network_dropout": Decision("direct", "network.dropout"),
    "gradient_accumulation_steps": Decision("direct", "batching.gradient_accumulation_steps", nothing=()),
    "vae_batch_size": Decision("direct", "caching.batch_size"),
    "seed": Decision("direct", "seed", nothing=()),
    "prior_loss_weight": Decision("direct", "objective.prior_loss_weight", nothing=(1.0,)),
    "disable_mmap_load_safetensors": Decision("direct", "model.disable_mmap"),
    "zero_terminal_snr": Decision("direct", "model.zero_terminal_snr", DDPM),
    "noise_offset": Decision("direct", "objective.noise_offset", DDPM),
    "noise_offset_random_strength": Decision("direct", "objective.noise_offset_random_strength", DDPM),
    "adaptive_noise_scale": Decision("direct", "objective.adaptive_noise_scale", DDPM),
    "multires_noise_iterations": Decision("direct", "objective.multires_noise_iterations", DDPM),
    "ip_noise_gamma": Decision("direct", "objective.ip_noise_gamma", (*DDPM, "flux1", "chroma", "lumina2")),
    "ip_noise_gamma_random_strength": Decision(
        "direct", "objective.ip_noise_gamma_random_strength", (*DDPM, "flux1", "chroma", "lumina2")
    ),
    "min_snr_gamma": Decision("direct", "objective.min_snr_gamma", DDPM),
    "scale_v_pred_loss_like_noise_pred": Decision("direct", "objective.scale_v_pred_loss_like_noise_pred", DDPM),
    "v_pred_like_loss": Decision("direct", "objective.v_pred_like_loss", DDPM),
    "debiased_estimation_loss": Decision("direct", "objective.debiased_estimation", DDPM),
    "weighted_captions": Decision("direct", "text.weighted", DDPM),
    "guidance_scale": Decision("composed", "objective"),
    "metadata_title": Decision("direct", "saving.title"),
    "metadata_author": Decision("direct", "saving.author"),
    "metadata_description": Decision("direct", "saving.description"),
    "metadata_license": Decision("direct", "saving.license"),
    "training_comment": Decision("direct", "saving.comment"),
    "torch_compile": Decision("direct", "memory.compile"),
    "cuda_allow_tf32": Decision("composed", "model"),
    # Several say one thing together -------------------------------------------------------------------------------
    **_all("composed", "v2 v_parameterization model_type pretrained_model_name_or_path vae ae clip_l clip_g t5xxl "
           "gemma2 no_half_vae mixed_precision full_fp16 full_bf16 fp8_base fp8_base_unet gradient_checkpointing "
           "cpu_offload_checkpointing unsloth_offload_checkpointing blocks_to_swap split_mode sdpa xformers "
           "mem_eff_attn use_flash_attn base_weights base_weights_multiplier clip_skip max_token_length "
           "t5xxl_max_token_length gemma2_max_token_length system_prompt cache_latents cache_latents_to_disk "
           "cache_text_encoder_outputs cache_text_encoder_outputs_to_disk", "model"),
    **_all("composed", "network_module network_dim network_alpha network_args network_weights dim_from_weights "
           "network_train_unet_only network_train_text_encoder_only scale_weight_norms", "network"),
    **_all("composed", "optimizer_type optimizer_args use_8bit_adam use_lion_optimizer learning_rate unet_lr "
           "text_encoder_lr max_grad_norm lr_scheduler lr_scheduler_type lr_scheduler_args lr_warmup_steps "
           "lr_decay_steps lr_scheduler_num_cycles lr_scheduler_power lr_scheduler_timescale "
           "lr_scheduler_min_lr_ratio", "optimizer"),
    **_all("composed", "min_timestep max_timestep timestep_sampling sigmoid_scale discrete_flow_shift training_shift "
           "weighting_scheme logit_mean logit_std mode_scale model_prediction_type loss_type huber_schedule huber_c "
           "huber_scale multires_noise_discount", "objective"),
    **_all("composed", "train_data_dir reg_data_dir in_json dataset_repeats dataset_config resolution train_batch_size "
           "color_aug flip_aug random_crop face_crop_aug_range alpha_mask masked_loss enable_bucket min_bucket_reso "
           "max_bucket_reso bucket_reso_steps bucket_no_upscale caption_extension caption_extention caption_separator "
           "shuffle_caption keep_tokens keep_tokens_separator secondary_separator enable_wildcard caption_prefix "
           "caption_suffix caption_dropout_rate caption_dropout_every_n_epochs caption_tag_dropout_rate "
           "token_warmup_min token_warmup_step resize_interpolation skip_image_resolution", "datasets"),
    **_all("composed", "max_train_steps max_train_epochs output_dir output_name save_precision save_model_as "
           "save_every_n_epochs save_every_n_steps save_n_epoch_ratio save_last_n_epochs save_last_n_steps save_state "
           "save_last_n_epochs_state save_last_n_steps_state no_metadata metadata_tags sample_every_n_steps "
           "sample_every_n_epochs sample_at_first sample_prompts sample_sampler logging_dir log_with log_tracker_name "
           "wandb_run_name console_log_level validation_seed validation_split validate_every_n_steps "
           "validate_every_n_epochs max_validation_steps", "saving"),
    # What is so here anyway, or is a matter of their machinery -----------------------------------------------------
    **_all("ignored", "lowram highvram", "models are loaded part by part here; see memory.low_vram"),
    **_all("ignored", "cache_info skip_cache_check skip_latents_validity_check", _CACHE_OF_ITS_OWN),
    **_all("ignored", "tokenizer_cache_dir t5_tokenizer_path", "tokenizers come from model.components or the Hub's "
           "own cache"),
    **_all("ignored", "debug_dataset", "look at the pictures with `loratory config check`; the training starts"),
    **_all("ignored", "text_encoder_batch_size", "captions are encoded caching.batch_size at a time"),
    **_all("ignored", "max_data_loader_n_workers persistent_data_loader_workers", "pictures are prepared by threads "
           "here; see runtime.prefetch"),
    **_all("ignored", "dynamo_backend compile_backend compile_mode compile_dynamic compile_fullgraph "
           "compile_cache_size_limit", "memory.compile uses inductor with its usual settings"),
    **_all("ignored", "cuda_cudnn_benchmark", "PyTorch's own choice stays"),
    **_all("ignored", "compile", "compiles Anima's blocks; memory.compile does it for the models here"),
    **_all("ignored", "sample_batch_size", "samples are made one by one"),
    **_all("ignored", "save_state_on_train_end", "a checkpoint is always written at the end"),
    **_all("ignored", "log_prefix log_config log_tracker_config", "the run's folder holds its logs and its whole "
           "configuration"),
    **_all("ignored", "console_log_file console_log_simple", "the log is in the run's folder; see also --log"),
    **_all("ignored", "config_file", "it names a file that was read, or one that does not count inside a file"),
    **_all("ignored", "output_config", "is a command of sd-scripts; here it is `loratory config import`"),
    **_all("ignored", "show_timesteps show_timesteps_resolution", "shows a table and ends in sd-scripts; here the "
           "training starts"),
    **_all("ignored", "ddp_timeout ddp_gradient_as_bucket_view ddp_static_graph zero_stage", _ONE_PROCESS),
    **_all("ignored", "async_upload", _UPLOAD),
    **_all("ignored", "mem_eff_save", "files are always written piece by piece here"),
    # What changes the training or its files, and cannot be done here ------------------------------------------------
    **_all("unsupported", "deepspeed offload_optimizer_device offload_optimizer_nvme_path offload_param_device "
           "offload_param_nvme_path zero3_init_flag zero3_save_16bit_model fp16_master_weights_and_gradients",
           "DeepSpeed is not used here; memory.blocks_to_swap and memory.low_vram save memory on one card"),
    **_all("unsupported", "dataset_class", "pictures come from folders; a class of one's own cannot be named"),
    **_all("unsupported", "apply_t5_attn_mask", "the text encoder's mask is the one that the model was made with"),
    **_all("unsupported", "apply_lg_attn_mask", "padded CLIP embeddings are used as the model was made with"),
    **_all("unsupported", "clip_l_dropout_rate clip_g_dropout_rate t5_dropout_rate", "text encoders are not dropped "
           "one by one; captions.dropout_rate empties the whole caption"),
    **_all("unsupported", "pos_emb_random_crop_rate enable_scaled_pos_embed", "position embeddings are those of the "
           "model"),
    **_all("unsupported", "resume resume_from_huggingface initial_epoch initial_step skip_until_initial_step",
           "a state of sd-scripts cannot be gone on from; network_weights (network.start_from) starts from its file"),
    **_all("unsupported", "huggingface_repo_id huggingface_repo_type huggingface_path_in_repo "
           "huggingface_repo_visibility save_state_to_huggingface", _UPLOAD),
    **_all("unsupported", "metadata_usage_hint metadata_thumbnail metadata_merged_from metadata_trigger_phrase "
           "metadata_preprocessor metadata_is_negative_embedding", _HEADER),
    **_all("unsupported", "use_sage_attn", "SageAttention cannot be trained with; see memory.attention"),
    **_all("unsupported", "train_inpainting", "models for inpainting cannot be trained here"),
    **_all("unsupported", "text_encoder byt5 fp8_scaled fp8_vl text_encoder_cpu", _HUNYUAN),
    **_all("unsupported", "qwen3 qwen3_max_token_length t5_max_token_length vae_disable_cache qwen_image_vae_2d",
           _ANIMA),
    **_all("unsupported", "attn_mode split_attn vae_chunk_size", "belongs to HunyuanImage-2.1 and Anima, which cannot "
           "be trained here; see memory.attention and memory.vae_tiling"),
    # What has no effect there either --------------------------------------------------------------------------------
    **_all("dead", "llm_adapter_path", "is read by no trainer of sd-scripts"),
    **_all("dead", "controlnet_model_name_or_path", "only the ControlNet trainer reads it"),
    **_all("dead", "conditioning_data_dir", "is read from the dataset file alone: put it into a subset there"),
    **_all("dead", "fused_backward_pass fused_optimizer_groups", "has no effect when a LoRA is trained there; here it "
           "can: optimizer.fused_backward_pass and optimizer.fused_optimizer_groups"),
    **_all("dead", "llm_adapter_lr self_attn_lr cross_attn_lr mlp_lr mod_lr", _NO_TUNING),
    **_all("dead", "save_clip save_t5xxl t5xxl_device t5xxl_dtype", "does not work there"),
    **_all("dead", "use_safetensors learning_rate_te learning_rate_te1 learning_rate_te2 learning_rate_te3 "
           "train_text_encoder train_t5xxl use_t5xxl_cache_only num_last_block_to_freeze no_token_padding "
           "stop_text_encoder_training diffusers_xformers block_lr blockwise_fused_optimizers "
           "double_blocks_to_swap single_blocks_to_swap", _NO_TUNING),
    **_all("dead", "weights num_vectors_per_token token_string init_word use_object_template use_style_template",
           _INVERSION),
    **_all("dead", "control_net_lr cond_emb_dim", "belongs to ControlNet and has no effect when a LoRA is trained"),
    # Secrets --------------------------------------------------------------------------------------------------------
    **{name: Decision("secret", f"belongs into the settings, as {variable}; no job file holds it")
       for name, variable in TOKENS.items()},
}  # fmt: skip

EXTRAS: Mapping[str, Decision] = {
    # Not of sd-scripts, but found in files that are made for it.
    "sdxl_bucket_optimization": Decision("composed", "datasets"),
    "warmup_ratio": Decision("composed", "optimizer"),
    "sdxl": Decision("composed", "model"),
    LAUNCHED: Decision("dead", "has no effect there, since the script says its own; put it behind the script's name"),
    **_all("ignored", "epoch", "max_train_epochs and max_train_steps say how long it takes"),
    **_all("ignored", "noise_offset_type", "only the noise that is switched on is written here"),
    **_all("ignored", "save_toml save_toml_location tag_occurrence tag_file_location train_mode",
           "is for LoRA_Easy_Training_Scripts itself"),
}  # fmt: skip

DEFAULTS: Mapping[str, Any] = {
    "zero_stage": 2,
    "dynamo_backend": "inductor",
    "compile_backend": "inductor",
    "compile_mode": "default",
    "compile_dynamic": "auto",
    "show_timesteps_resolution": 1024,
    "num_vectors_per_token": 1,
    "control_net_lr": 1e-4,
    "qwen3_max_token_length": 512,
    "t5_max_token_length": 512,
    "initial_epoch": 1,
}
"""Of arguments that are only reported; one that is given its default asks for nothing. Where none stands here, it is
unset or off."""


def read_direct(reading: Reading) -> None:
    """Take over what is one parameter here."""
    for name, decision in DECISIONS.items():
        if decision.how != "direct" or not reading.has(name):
            continue
        value = reading.take(name)
        if value in decision.nothing:
            reading.note("default", name)
        elif decision.only and reading.architecture not in decision.only:
            reading.note("dead", name, f"has no effect on {reading.trainer} in sd-scripts")
        else:
            reading.set(decision.say, value)


def report_rest(reading: Reading, unknown: Any) -> None:
    """A note for every argument that was given and has none yet; `unknown(name)` words one for what nobody knows."""
    for name in reading.given.values:
        value = reading.given.values[name]
        decision = DECISIONS.get(name) or EXTRAS.get(name)
        if any(note.key == reading.key(name) for note in reading.notes):
            continue
        if name in reading.taken:
            reading.note("mapped", name)
        elif decision is None:
            reading.note("unknown", name, unknown(name))
        elif decision.how in ("direct", "composed"):
            # Its function looks at it only on some architectures.
            level, words = ("default", "") if value in NOTHING else ("dead", f"has no effect on {reading.trainer}")
            reading.note(cast(NoteLevel, level), name, words)
        elif value in NOTHING or value == DEFAULTS.get(name):
            reading.note("default", name)
        else:
            reading.note(cast(NoteLevel, decision.how), name, decision.say)
