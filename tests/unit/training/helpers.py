"""Configs, plans and sources that the tests of training are made of; no model, no file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from loratory.config.load import parse
from loratory.config.train import TrainConfig
from loratory.data.buckets import Fit, Size
from loratory.data.scan import Item
from loratory.planner import Plan, Sample
from loratory.training.batches import Moment
from loratory.training.views import View


def job(**sections: Any) -> TrainConfig:
    """A job on one dataset called `photos`, with these sections changed."""
    data: dict[str, Any] = {"name": "test", "model": {"path": "demo"}, "datasets": [{"path": "photos"}]}
    return parse(data | sections, "test")


def item(path: str, width: int = 64, height: int = 64, **changes: Any) -> Item:
    facts: dict[str, Any] = {"caption_path": None, "size": 1, "mtime_ns": 1, "repeats": 1, "class_tokens": ""}
    return Item(path=path, width=width, height=height, **facts | changes)


def sample(
    number: int, bucket: Size = (64, 64), *, scaled: Size | None = None, repeats: int = 1, dataset: int = 0
) -> Sample:
    """A picture twice as large as its scaled size, cut in the centre."""
    scaled = scaled or bucket
    crop = ((scaled[0] - bucket[0]) // 2, (scaled[1] - bucket[1]) // 2)
    return Sample(dataset, item(f"{number:03}.png", 2 * scaled[0], 2 * scaled[1]), Fit(bucket, scaled, crop), repeats)


def plan_of(samples: list[Sample], batch_size: int = 1, accumulation: int = 1, total_steps: int = 100) -> Plan:
    members: dict[Size, list[int]] = {}
    for index, each in enumerate(samples):
        members.setdefault(each.fit.bucket, []).extend([index] * each.repeats)
    buckets = {size: np.array(members[size]) for size in sorted(members)}
    return Plan(tuple(samples), buckets, batch_size, accumulation, total_steps, ())


@dataclass
class Latents:
    """A picture source with latents that say which picture they are: mean = its number, deviation as given."""

    deviation: float | None = 0.5
    channels: int = 4
    factor: int = 8
    latents_cached: bool = True

    def latents(self, sample: Sample, view: View) -> tuple[Tensor, Tensor | None]:
        width, height = sample.fit.bucket
        shape = (self.channels, height // self.factor, width // self.factor)
        mean = torch.full(shape, float(sample.item.path[:3]) * (-1 if view.flip else 1))
        return mean, None if self.deviation is None else torch.full(shape, self.deviation)

    def pixels(self, sample: Sample, view: View) -> Tensor:
        raise AssertionError("latents are cached, so no pixels are wanted")


@dataclass
class Pixels:
    """A picture source without cached latents, which remembers what it was asked for."""

    asked: list[tuple[str, View]] = field(default_factory=list)
    latents_cached: bool = False

    def latents(self, sample: Sample, view: View) -> tuple[Tensor, Tensor | None]:
        raise AssertionError("there are no cached latents")

    def pixels(self, sample: Sample, view: View) -> Tensor:
        self.asked.append((sample.item.path, view))
        width, height = sample.fit.bucket
        return torch.full((3, height, width), int(sample.item.path[:3]), dtype=torch.uint8)


@dataclass
class Captions:
    """A text source that remembers the numbers it was given."""

    cached: bool = True
    drawn: list[tuple[str, float, float]] = field(default_factory=list)

    moments: list[Moment] = field(default_factory=list)

    def text(self, sample: Sample, drop: float, pick: float, moment: Moment) -> str:
        self.moments.append(moment)
        self.drawn.append((sample.item.path, drop, pick))
        return f"{sample.item.path} {pick:.6f}"

    def conditioning(self, text: str) -> dict[str, Tensor] | None:
        return {"hidden_states": torch.full((2, 3), float(len(text)))} if self.cached else None
