"""A diffusers pipeline around the modules of a loaded model."""

from __future__ import annotations

from typing import Any, TypeVar

from diffusers import DiffusionPipeline

from loratory.models.base import Components

Pipeline = TypeVar("Pipeline", bound=DiffusionPipeline)


def around(kind: type[Pipeline], components: Components, scheduler: Any, **more: Any) -> Pipeline:
    """A quiet pipeline of this kind around the same modules, with a scheduler of its own: sampling changes that one's
    state. `more` are further arguments of the pipeline."""
    parts: dict[str, Any] = {
        **components.text_encoders, **components.tokenizers, "vae": components.vae,
        "transformer": components.denoiser, "scheduler": type(scheduler).from_config(scheduler.config),
    }  # fmt: skip
    pipeline = kind(**parts, **more)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
