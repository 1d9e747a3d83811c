"""Configs that the rules about networks and steps find, and such that they leave alone; test_rules.py tries them."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Example:
    """`bad` configs (architecture, changes, level, fields of each problem), and `good` ones without any."""

    bad: tuple[tuple[str, dict[str, Any], str, list[tuple[str, ...]]], ...]
    good: tuple[tuple[str, dict[str, Any]], ...]


PHASE = {"name": "first", "alpha": 4.0}

FILE_EXAMPLES: dict[str, Example] = {
    "samples_have_prompts": Example(
        bad=(
            ("sd15", {"sampling": {"every_n_steps": 5}}, "warning", [("sampling.every_n_steps",)]),
            (
                "sd15",
                {"sampling": {"every_n_steps": 5, "every_n_epochs": 1}},
                "warning",
                [("sampling.every_n_steps", "sampling.every_n_epochs")],
            ),
            (
                "sd15",
                {"sampling": {"prompts": ["a"], "prompts_file": "b.txt"}},
                "error",
                [("sampling.prompts", "sampling.prompts_file")],
            ),
        ),
        good=(
            ("sd15", {"sampling": {"every_n_steps": 5, "prompts": ["a"]}}),
            ("sd15", {"sampling": {"every_n_epochs": 5, "prompts_file": "b.txt"}}),
        ),
    ),
    "sampler_fits_the_model": Example(
        bad=(
            ("flux1", {"sampling": {"sampler": "ddim"}}, "error", [("sampling.sampler",)]),
            ("flux1", {"sampling": {"sampler": "EulerDiscreteScheduler"}}, "error", [("sampling.sampler",)]),
            ("sdxl", {"sampling": {"sampler": "flowmatch"}}, "error", [("sampling.sampler",)]),
        ),
        good=(
            ("flux1", {"sampling": {"sampler": "euler"}}),
            ("sdxl", {"sampling": {"sampler": "euler"}}),
            ("flux1", {"sampling": {"sampler": "FlowMatchHeunDiscreteScheduler"}}),
        ),
    ),
    "lossless_pictures_have_no_quality": Example(
        bad=(("sd15", {"sampling": {"quality": 80}}, "warning", [("sampling.quality",)]),),
        good=(("sd15", {"sampling": {"quality": 80, "format": "webp"}}),),
    ),
    "milestones_are_for_what_is_deleted": Example(
        bad=(
            (
                "sd15",
                {"saving": {"keep_every_n_steps": 1000, "keep_last_exports": None}},
                "warning",
                [("saving.keep_every_n_steps",)],
            ),
        ),
        good=(
            ("sd15", {"saving": {"keep_every_n_steps": 1000}}),
            ("sd15", {"saving": {"keep_every_n_steps": 1000, "keep_last_exports": None, "keep_last_samples": 3}}),
        ),
    ),
    "nothing_is_kept": Example(
        bad=(
            (
                "sd15",
                {"saving": {"checkpoint_every_n_minutes": None}},
                "warning",
                [("saving.checkpoint_every_n_minutes", "saving.checkpoint_every_n_steps")],
            ),
        ),
        good=(("sd15", {"saving": {"checkpoint_every_n_minutes": None, "checkpoint_every_n_steps": 5}}),),
    ),
    "pickles_have_no_metadata": Example(
        bad=(
            ("sd15", {"saving": {"file_type": "ckpt"}}, "warning", [("saving.file_type",)]),
            (
                "sd15",
                {"saving": {"file_type": "pt", "title": "Dog", "tags": ["dog"]}},
                "warning",
                [("saving.file_type",), ("saving.title",), ("saving.tags",)],
            ),
        ),
        good=(("sd15", {"saving": {"title": "Dog", "tags": ["dog"]}}),),
    ),
    "shapes_are_read_from_headers": Example(
        bad=(
            (
                "sd15",
                {"network": {"shape_from_start": True, "start_from": "a.CKPT"}},
                "error",
                [("network.shape_from_start", "network.start_from")],
            ),
        ),
        good=(
            ("sd15", {"network": {"shape_from_start": True, "start_from": "a.safetensors"}}),
            ("sd15", {"network": {"start_from": "a.pt"}}),
        ),
    ),
}

NETWORK_EXAMPLES: dict[str, Example] = {
    "convolution_options_need_convolutions": Example(
        bad=(
            ("sd15", {"network": {"conv_alpha": 4.0}}, "warning", [("network.conv_alpha",)]),
            (
                "sdxl",
                {"network": {"type": "loha", "tucker": True, "conv_dropout": 0.1}},
                "warning",
                [("network.conv_dropout",), ("network.tucker",)],
            ),
        ),
        good=(
            ("sd15", {"network": {"conv_alpha": 4.0, "conv_rank": 4}}),
            ("sd15", {"network": {"conv_alpha": 4.0, "targets": {"preset": "full"}}}),
            ("sd15", {"network": {"type": "full"}}),
        ),
    ),
    "full_factors_have_no_rank": Example(
        bad=(
            (
                "sd15",
                {"network": {"type": "lokr", "full_matrix": True, "alpha": 4.0, "decompose_both": True}},
                "warning",
                [("network.alpha",), ("network.decompose_both",)],
            ),
        ),
        good=(("sd15", {"network": {"type": "lokr", "alpha": 4.0, "decompose_both": True}}),),
    ),
    "ranks_of_blocks_need_a_rank": Example(
        bad=(
            (
                "sd15",
                {"network": {"type": "full", "targets": {"block_ranks": {"middle_block": 4}}}},
                "warning",
                [("network.targets.block_ranks",)],
            ),
            (
                "sd15",
                {"network": {"type": "boft", "targets": {"block_alphas": {"middle_block": 4}}}},
                "warning",
                [("network.targets.block_alphas",)],
            ),
        ),
        good=(
            ("sd15", {"network": {"type": "full", "targets": {"block_ranks": {"middle_block": 0}}}}),
            ("sd15", {"network": {"type": "boft", "targets": {"block_ranks": {"middle_block": 4}}}}),
        ),
    ),
    "a_shape_needs_a_file": Example(
        bad=(
            ("sd15", {"network": {"shape_from_start": True}}, "error", [("network.shape_from_start",)]),
            (
                "sd15",
                {"network": {"shape_from_start": True, "start_from": "a.safetensors", "targets": {"preset": "full"}}},
                "warning",
                [("network.targets",)],
            ),
        ),
        good=(("sd15", {"network": {"shape_from_start": True, "start_from": "a.safetensors"}}),),
    ),
    "lora_plus_needs_up_matrices": Example(
        bad=(
            (
                "sd15",
                {
                    "network": {"type": "loha", "train_text_encoders": True},
                    "optimizer": {"lora_plus_ratio": 16, "text_encoder_lora_plus_ratio": 4},
                },
                "warning",
                [("optimizer.lora_plus_ratio",), ("optimizer.text_encoder_lora_plus_ratio",)],
            ),
        ),
        good=(
            ("sd15", {"optimizer": {"lora_plus_ratio": 16}}),
            ("sd15", {"network": {"type": "dylora"}, "optimizer": {"lora_plus_ratio": 16}}),
        ),
    ),
    "rescaling_is_not_read_everywhere": Example(
        bad=(("sd15", {"network": {"type": "diag_oft", "rescaled": True}}, "warning", [("network.rescaled",)]),),
        good=(("sd15", {"network": {"type": "boft", "rescaled": True}}), ("sd15", {"network": {"type": "diag_oft"}})),
    ),
    "phases_of_alpha_can_act": Example(
        bad=(
            (
                "sd15",
                {"alpha_schedule": {"linear": [PHASE]}},
                "warning",
                [("alpha_schedule.linear", "alpha_schedule.conv")],
            ),
            ("sd15", {"alpha_schedule": {"preset": "custom"}}, "error", [("alpha_schedule.preset",)]),
            (
                "sd15",
                {"alpha_schedule": {"preset": "image"}, "network": {"type": "boft"}},
                "error",
                [("alpha_schedule.preset",)],
            ),
            (
                "sd15",
                {
                    "alpha_schedule": {"preset": "image"},
                    "network": {"shape_from_start": True, "start_from": "a.safetensors"},
                },
                "error",
                [("network.shape_from_start", "alpha_schedule.preset")],
            ),
            (
                "sd15",
                {"alpha_schedule": {"preset": "image"}, "optimizer": {"type": "lion"}},
                "error",
                [("alpha_schedule.transition",)],
            ),
            (
                "sd15",
                {"alpha_schedule": {"preset": "image"}, "network": {"type": "lokr", "full_matrix": True}},
                "error",
                [("alpha_schedule.preset",)],
            ),
            (
                "flux1",
                {"alpha_schedule": {"preset": "custom", "linear": [PHASE], "conv": [PHASE]}},
                "warning",
                [("alpha_schedule.conv",)],
            ),
        ),
        good=(
            ("sd15", {"alpha_schedule": {"preset": "video"}}),
            ("sdxl", {"alpha_schedule": {"preset": "custom", "conv": [PHASE]}, "network": {"conv_rank": 4}}),
        ),
    ),
    "lengths_can_be_limited": Example(
        bad=(
            (
                "flux1",
                {"network": {"max_weight_norm": 1, "shared_down": True}},
                "error",
                [("network.max_weight_norm", "network.shared_down")],
            ),
            (
                "sd15",
                {"network": {"max_weight_norm": 1, "initialization": "pissa"}},
                "error",
                [("network.max_weight_norm", "network.initialization")],
            ),
        ),
        good=(("sd15", {"network": {"max_weight_norm": 1}}), ("sd15", {"network": {"type": "dylora"}})),
    ),
    "format_holds_the_network": Example(
        bad=(
            ("sd15", {"saving": {"format": "diffusers"}, "network": {"type": "lokr"}}, "error", [("saving.format",)]),
            (
                "sdxl",
                {"saving": {"format": "diffusers"}, "network": {"tucker": True, "conv_rank": 2}},
                "error",
                [("saving.format",)],
            ),
            (
                "flux1",
                {
                    "saving": {"format": "diffusers"},
                    "network": {"targets": {"norms": True, "full_if_contains": ["proj"]}},
                },
                "error",
                [("saving.format",)],
            ),
        ),
        good=(
            ("sd15", {"saving": {"format": "diffusers"}, "network": {"decompose": True, "conv_rank": 2}}),
            ("flux1", {"saving": {"format": "aitoolkit"}, "network": {"type": "lokr"}}),
            ("sdxl", {"saving": {"format": "comfyui"}, "network": {"type": "boft"}}),
        ),
    ),
    "units_divide_the_rank": Example(
        bad=(
            (
                "sd15",
                {"network": {"type": "dylora", "rank": 10, "unit": 4}},
                "error",
                [("network.unit", "network.rank")],
            ),
        ),
        good=(("sd15", {"network": {"type": "dylora", "rank": 10, "unit": 5}}),),
    ),
    "alphas_are_usable": Example(
        bad=(
            ("sd15", {"network": {"alpha": 0}}, "error", [("network.alpha",)]),
            (
                "sd15",
                {"network": {"alpha": -1, "conv_alpha": -1.5, "conv_rank": 1}},
                "error",
                [("network.alpha",), ("network.conv_alpha",)],
            ),
        ),
        good=(("sd15", {"network": {"alpha": 0.001}}), ("sd15", {"network": {"alpha": "auto"}})),
    ),
    "side_adapters_do_something": Example(
        bad=(
            (
                "flux1",
                {"model": {"path": "demo", "side_adapters": [{"path": "a", "strength": 0}]}},
                "warning",
                [("model.side_adapters.0.strength",)],
            ),
            (
                "sd15",
                {"model": {"path": "demo", "side_adapters": [{"path": "a"}, {"path": "b", "on": "sampling"}]}},
                "warning",
                [("model.side_adapters.1.on",)],
            ),
        ),
        good=(
            ("flux1", {"model": {"path": "demo", "side_adapters": [{"path": "a"}, {"path": "b", "on": "always"}]}}),
            (
                "sd15",
                {
                    "model": {"path": "demo", "side_adapters": [{"path": "b", "on": "sampling"}]},
                    "sampling": {"prompts": ["a"]},
                },
            ),
        ),
    ),
    "pixels_need_no_autoencoder": Example(
        bad=(
            (
                "chroma_radiance",
                {"model": {"path": "demo", "vae_precision": "bf16"}, "caching": {"posterior": "mean"}},
                "warning",
                [("model.vae_precision",), ("caching.posterior",)],
            ),
            (
                "chroma_radiance",
                {"memory": {"vae_slicing": True, "vae_tiling": True}, "caching": {"batch_size": 2}},
                "warning",
                [("memory.vae_slicing",), ("memory.vae_tiling",)],
            ),
        ),
        good=(("chroma_radiance", {}), ("chroma", {"caching": {"posterior": "mean"}})),
    ),
    "text_encoders_can_be_trained": Example(
        bad=(("chroma", {"network": {"train_text_encoders": True}}, "warning", [("network.train_text_encoders",)]),),
        good=(("flux1", {"network": {"train_text_encoders": True}}), ("chroma", {})),
    ),
    "guidance_is_told_or_bypassed": Example(
        bad=(
            (
                "flux1",
                {"objective": {"bypass_guidance_embedding": True, "guidance_scale": 2.0}},
                "warning",
                [("objective.guidance_scale",)],
            ),
        ),
        good=(("flux1", {"objective": {"bypass_guidance_embedding": True}}),),
    ),
}

FUSED = {"fused_backward_pass": True, "max_grad_norm": 0.0}

OPTIMIZER_EXAMPLES: dict[str, Example] = {
    "factors_of_rates_are_above_zero": Example(
        bad=(
            (
                "sd15",
                {"optimizer": {"block_rate_factors": {"middle_block": 0}}},
                "error",
                [("optimizer.block_rate_factors",)],
            ),
        ),
        good=(("sd15", {"optimizer": {"block_rate_factors": {"middle_block": 0.1}}}),),
    ),
    "steps_in_the_backward_pass": Example(
        bad=(
            (
                "sd15",
                {"optimizer": FUSED | {"fused_optimizer_groups": 4}},
                "error",
                [("optimizer.fused_backward_pass", "optimizer.fused_optimizer_groups")],
            ),
            (
                "sd15",
                {"optimizer": {"fused_backward_pass": True}},
                "error",
                [("optimizer.fused_backward_pass", "optimizer.max_grad_norm")],
            ),
            (
                "sd15",
                {"optimizer": FUSED | {"type": "prodigy"}},
                "error",
                [("optimizer.fused_backward_pass", "optimizer.type")],
            ),
            (
                "sd15",
                {"optimizer": FUSED | {"type": "custom", "implementation": "torch.optim:NAdam"}},
                "error",
                [("optimizer.fused_backward_pass", "optimizer.type")],
            ),
            (
                "sdxl",
                {
                    "optimizer": {"fused_optimizer_groups": 4, "max_grad_norm": 0.0},
                    "batching": {"gradient_accumulation_steps": 2},
                },
                "error",
                [("optimizer.fused_optimizer_groups", "batching.gradient_accumulation_steps")],
            ),
            (
                "sdxl",
                {"optimizer": FUSED, "objective": {"blank_prompt_preservation": 1.0}},
                "error",
                [("optimizer.fused_backward_pass", "objective.blank_prompt_preservation")],
            ),
            (
                "flux1",
                {"optimizer": FUSED, "memory": {"precision": "fp16", "adapter_precision": "fp16"}},
                "error",
                [
                    ("optimizer.fused_backward_pass", "memory.precision"),
                    ("optimizer.fused_backward_pass", "memory.adapter_precision"),
                ],
            ),
        ),
        good=(
            ("sd15", {"optimizer": FUSED}),
            ("sd15", {"optimizer": FUSED | {"max_grad_norm": 0.1, "clip_by": "value"}}),
            ("sd15", {"optimizer": FUSED | {"type": "automagic"}, "memory": {"adapter_precision": "bf16"}}),
            ("sd15", {"optimizer": {"type": "prodigy"}, "batching": {"gradient_accumulation_steps": 2}}),
        ),
    ),
    "summed_gradients_are_several": Example(
        bad=(("sd15", {"batching": {"accumulate": "sum"}}, "warning", [("batching.accumulate",)]),),
        good=(("sd15", {"batching": {"accumulate": "sum", "gradient_accumulation_steps": 2}}),),
    ),
    "rounding_needs_bf16": Example(
        bad=(("sd15", {"optimizer": {"stochastic_rounding": False}}, "warning", [("optimizer.stochastic_rounding",)]),),
        good=(
            ("sd15", {"optimizer": {"stochastic_rounding": False}, "memory": {"adapter_precision": "bf16"}}),
            ("sd15", {"memory": {"adapter_precision": "fp16"}}),
        ),
    ),
}
