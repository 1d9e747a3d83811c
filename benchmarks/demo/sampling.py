"""Pictures from a pipeline: fixed seeds, in batches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

GUIDANCE, INFERENCE_STEPS = 3.0, 25


def load_pipeline(folder: Path) -> StableDiffusionPipeline:
    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sample(
    pipeline: StableDiffusionPipeline,
    prompts: Sequence[str],
    seed: int = 0,
    batch: int = 16,
    steps: int = INFERENCE_STEPS,
    guidance: float = GUIDANCE,
) -> list[Image.Image]:
    """One picture per prompt with the folder's own scheduler. Picture i depends on `seed` and i alone."""
    images: list[Image.Image] = []
    for start in range(0, len(prompts), batch):
        part = list(prompts[start : start + batch])
        generators = [torch.Generator().manual_seed(seed * 100_003 + start + i) for i in range(len(part))]
        images += pipeline(part, num_inference_steps=steps, guidance_scale=guidance, generator=generators).images
    return images


def seconds_per_sample(pipeline: StableDiffusionPipeline, prompt: str, repeats: int = 5) -> float:
    """Median time of one picture made alone."""
    times = []
    for i in range(repeats + 1):
        start = time.perf_counter()
        sample(pipeline, [prompt], seed=i)
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[repeats // 2]
