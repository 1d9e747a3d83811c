"""The sizes that a job has where it names none: (width, height) in pixels."""

from __future__ import annotations

from loratory.config.architectures.base import ArchitectureSpec
from loratory.config.batching import BucketsConfig
from loratory.config.train import TrainConfig


def resolution_of(buckets: BucketsConfig, spec: ArchitectureSpec) -> tuple[int, int]:
    """The training size."""
    resolution = buckets.resolution or spec.default_resolution
    return (resolution, resolution) if isinstance(resolution, int) else resolution


def sample_size_of(config: TrainConfig, spec: ArchitectureSpec) -> tuple[int, int]:
    """The size of samples whose prompt says none."""
    width, height = resolution_of(config.batching.buckets, spec)
    return config.sampling.width or width, config.sampling.height or height
