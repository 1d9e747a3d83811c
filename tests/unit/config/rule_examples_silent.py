"""Configs whose options would be ignored in silence, or whose strengths are left over; test_rules.py tries them."""

from __future__ import annotations

from typing import Any

from tests.unit.config.rule_examples import Example

PROMPTS = {"prompts": ["a dog"]}
SAMPLING = {
    "sampler": "euler", "steps": 9, "scale": 5.0, "guidance_rescale": 0.5, "width": 512, "height": 512, "strength": 0.5,
    "format": "webp", "seed": 3, "walk_seed": True,
}  # fmt: skip
METADATA = {"title": "t", "author": "a", "description": "d", "license": "l", "tags": ["x"], "comment": "c"}
PLUS = {"type": "prodigy_plus_schedule_free"}


def model(**changes: Any) -> dict[str, Any]:
    return {"model": {"path": "demo", **changes}}


def buckets(**changes: Any) -> dict[str, Any]:
    return {"batching": {"buckets": changes}}


def datasets(*each: dict[str, Any]) -> dict[str, Any]:
    return {"datasets": [{"path": "x", **one} for one in each]}


def one(field: str, changes: dict[str, Any], architecture: str = "sd15") -> Any:
    return architecture, changes, "warning", [(field,)]


SILENT_EXAMPLES: dict[str, Example] = {
    "options_that_would_be_ignored": Example(
        bad=(
            *(one(f"sampling.{name}", {"sampling": {name: value}}) for name, value in SAMPLING.items()),
            one("sampling.guidance", {"sampling": {"guidance": 3.5}}, "flux1"),
            one("saving.keep_last_samples", {"saving": {"keep_last_samples": 2}}),
            one("saving.keep_last_exports", {"saving": {"keep_last_exports": 2, "export_every_n_steps": None}}),
            *(
                one(f"saving.{name}", {"saving": {name: value, "metadata": "minimum"}})
                for name, value in METADATA.items()
            ),
            one("ema.warm_up", {"ema": {"warm_up": False}}),
            one("ema.every_n_steps", {"ema": {"every_n_steps": 5}}),
            one("alpha_schedule.rule", {"alpha_schedule": {"rule": "ai-toolkit"}}),
            one("alpha_schedule.transition", {"alpha_schedule": {"transition": "jump"}}),
            one("alpha_schedule.ramp_steps", {"alpha_schedule": {"ramp_steps": 50, "preset": "image"}}),
            one("optimizer.split_groups_mean",
                {"optimizer": {**PLUS, "split_groups": False, "split_groups_mean": True}}),
            one("optimizer.schedulefree_c",
                {"optimizer": {**PLUS, "use_schedulefree": False, "schedulefree_c": 6.0}}),
            one("optimizer.weight_decay_by_lr", {"optimizer": {**PLUS, "weight_decay_by_lr": False}}),
            one("optimizer.decoupled_decay", {"optimizer": {"type": "prodigy", "decoupled_decay": False}}),
            one("optimizer.no_prox", {"optimizer": {"type": "dadapt_adan", "no_prox": True, "weight_decay": 0.0}}),
            one("optimizer.smallest_scale", {"optimizer": {"type": "adafactor", "smallest_scale": 0.01}}),
            one("caching.folder", {"caching": {"folder": "/c", "latents": "off", "text_embeddings": "memory"}}),
            one("caching.batch_size",
                {"caching": {"batch_size": 2, "latents": "off"}, "network": {"train_text_encoders": True}}),
            one("model.revision", model(revision="main")),
            one("model.components", model(path="org/model", components="org/other")),
            one("batching.buckets.step", buckets(mode="off", step=32)),
            one("batching.buckets.resolution", buckets(resolution=512) | datasets({"resolutions": [512]})),
        ),
        good=(
            ("sd15", {"sampling": SAMPLING | PROMPTS, "saving": {"keep_last_samples": 2, **METADATA}}),
            ("sd15", {"ema": {"decay": 0.99, "warm_up": False, "every_n_steps": 5}}),
            ("sd15", {"alpha_schedule": {"preset": "image", "transition": "ramp", "ramp_steps": 50}}),
            ("sd15", {"optimizer": {**PLUS, "split_groups_mean": True, "schedulefree_c": 6.0}}),
            ("sd15", {"optimizer": {"type": "prodigy", "decoupled_decay": False, "weight_decay": 0.1}}),
            ("sd15", {"caching": {"folder": "/c", "batch_size": 2, "latents": "off"}}),
            ("sd15", model(path="org/model", revision="main")),
            ("sdxl", model(path="/m/model.safetensors", components="org/other")),
            ("flux1", {"sampling": {"guidance_rescale": 0.5}}),  # has no effect there at all: said by another rule
            ("sd15", buckets(resolution=512) | datasets({"resolutions": [512]}, {})),
        ),
    ),
    "cached_texts_of_trained_encoders": Example(
        bad=(
            ("sd15", {"caching": {"text_embeddings": "memory"}, "network": {"train_text_encoders": True}}, "warning",
             [("caching.text_embeddings", "network.train_text_encoders")]),
        ),
        good=(
            ("sd15", {"network": {"train_text_encoders": True}}),
            ("sd15", {"caching": {"text_embeddings": "memory"}}),
            ("qwen_image", {"caching": {"text_embeddings": "memory"}, "network": {"train_text_encoders": True}}),
        ),
    ),
    "separators_need_tags": Example(
        bad=(one("datasets.1.captions.separator", datasets({}, {"captions": {"separator": ";"}})),),
        good=(
            ("sd15", datasets({"captions": {"separator": ";", "shuffle": True}})),
            ("sd15", datasets({"captions": {"separator": ";", "keep_tokens_separator": "|||"}})),
            ("sd15", datasets({"captions": {"separator": ";", "secondary_separator": ";;"}})),
        ),
    ),
    "negative_prompts_are_used": Example(
        bad=(
            one("sampling.negative_prompt", {"sampling": {"negative_prompt": "bad"}}),
            one("sampling.negative_prompt", {"sampling": {"negative_prompt": "bad", **PROMPTS}}, "flux2"),
            ("flux1", {"sampling": {"negative_prompt": "bad", **PROMPTS}}, "warning",
             [("sampling.negative_prompt", "sampling.scale")]),
            ("sd15", {"sampling": {"negative_prompt": "bad", "scale": 1.0, **PROMPTS}}, "warning",
             [("sampling.negative_prompt", "sampling.scale")]),
        ),
        good=(
            ("sd15", {"sampling": {"negative_prompt": "bad", **PROMPTS}}),
            ("flux1", {"sampling": {"negative_prompt": "bad", "scale": 3.0, **PROMPTS}}),
            ("flux1", {"sampling": {"negative_prompt": "bad", "prompts": ["a --l 3"]}}),
            ("flux1", {"sampling": {"negative_prompt": "bad", "prompts_file": "p.txt"}}),
        ),
    ),
    "limits_of_buckets": Example(
        bad=(
            one("batching.buckets.minimum", buckets(minimum=300)),
            one("batching.buckets.maximum", buckets(maximum=1000)),
            ("sd15", buckets(resolution=[512, 1024], maximum=768), "error",
             [("batching.buckets.resolution", "batching.buckets.maximum")]),
            ("sdxl", buckets(maximum=768), "error", [("batching.buckets.resolution", "batching.buckets.maximum")]),
            ("sd15", buckets(maximum=768) | datasets({"resolutions": [512]}, {"resolutions": [512, [640, 896]]}),
             "error", [("datasets.1.resolutions", "batching.buckets.maximum")]),
        ),
        good=(
            ("sd15", buckets(minimum=320, maximum=768)),
            ("sd15", buckets(step=48)),  # the usual minimum is not what a person has chosen
            ("sd15", buckets(mode="off", maximum=300)),  # they have no effect there: said by another rule
            ("sdxl", buckets(maximum=768) | datasets({"resolutions": [512]})),
        ),
    ),
    "alpha_suits_the_rank": Example(
        bad=(
            one("network.alpha", {"network": {"alpha": 1, "rank": 16}}),
            one("network.alpha", {"network": {"alpha": 64, "rank": 8}}),
            one("network.conv_alpha", {"network": {"conv_rank": 32, "conv_alpha": 1}}),
        ),
        good=(
            ("sd15", {"network": {"alpha": 1, "rank": 8}}),
            ("sd15", {"network": {"alpha": 16, "rank": 8}}),
            ("sd15", {"network": {"alpha": 1, "rank": 64}, "optimizer": {"type": "prodigy"}}),
            ("sd15", {"network": {"alpha": 1, "rank": 64, "rank_stabilized": True}}),
            ("sd15", {"network": {"type": "lokr", "alpha": 1, "rank": 64, "full_matrix": True}}),
            ("sd15", {"network": {"alpha": 1, "rank": 64}, "alpha_schedule": {"preset": "image"}}),
            ("sd15", {"network": {"type": "ia3"}}),
        ),
    ),
    "rate_is_no_left_over": Example(
        bad=(one("optimizer.learning_rate", {"optimizer": {"learning_rate": 2e-6}}),),
        good=(
            ("sd15", {"optimizer": {"learning_rate": 1e-5}}),
            ("sd15", {"optimizer": {"type": "automagic"}}),
            ("sd15", {"optimizer": {"type": "prodigy"}}),
            ("sd15", {"optimizer": {"type": "adafactor", "relative_step": True}}),
        ),
    ),
    "preset_is_for_the_model": Example(
        bad=(
            ("sd15", {"preset": "sdxl-style-12gb"}, "error", [("preset",)]),
            ("flux2", {"preset": "flux1-style-12gb"}, "error", [("preset",)]),
            ("flux1", {"preset": "classic"}, "error", [("preset",)]),
        ),
        good=(("sdxl", {"preset": "sdxl-style-12gb"}), ("sd15", {"preset": "classic"}), ("sd15", {"preset": None})),
    ),
}  # fmt: skip
