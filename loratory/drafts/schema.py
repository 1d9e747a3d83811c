"""What a form needs to know: every parameter, and what is special about each architecture."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Any

from loratory.config import docs
from loratory.config.architectures import SPECS
from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.base import param_of
from loratory.config.fields import declared
from loratory.config.train import TrainConfig


@functools.cache
def content() -> tuple[bytes, str]:
    """The JSON schema of a job as bytes, and its entity tag."""
    text = json.dumps(docs.schema(), ensure_ascii=False, default=str, separators=(",", ":")).encode()
    return text, f'"{hashlib.blake2b(text, digest_size=12).hexdigest()}"'


@functools.cache
def forms() -> tuple[dict[str, Any], ...]:
    """For each architecture what has no effect there, and what open parameters come to."""
    return tuple(_form(spec) for spec in SPECS.values())


def _form(spec: ArchitectureSpec) -> dict[str, Any]:
    effective: dict[str, bool] = {}
    for path, model, name in declared(TrainConfig):
        where = param_of(model, name).architectures
        effective[path] = effective.get(path, False) or not where or spec.name in where
    return {
        "architecture": spec.name,
        "title": spec.title,
        "without_effect": [path for path, has in effective.items() if not has],
        "meant_by_null": _meant_by_null(spec),
        "trainable_text_encoders": list(spec.trainable_text_encoders),
        "target_groups": list(dict.fromkeys(spec.layer_groups.values())),
        "trained_groups": list(spec.trained_groups),
    }


def _meant_by_null(spec: ArchitectureSpec) -> dict[str, Any]:
    found = {
        "model.path": spec.usual_path or spec.usual_repository,
        "batching.buckets.resolution": spec.default_resolution,
        "sampling.steps": spec.sample_steps,
        "sampling.scale": spec.sample_scale,
        "sampling.width": spec.default_resolution,
        "sampling.height": spec.default_resolution,
        "text.max_tokens": spec.text_tokens,
    }
    return {path: value for path, value in found.items() if value is not None}
