"""The arithmetic that people do in their heads, and why the true number of steps may be another one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from loratory.config.train import TrainConfig
from loratory.planner.counts import Counts, Shapes

MOST_TERMS = 3
"""More kinds of repeats are not written out."""


@dataclass(frozen=True)
class Calculation:
    """Pictures × repeats × epochs ÷ batch, without a look at sizes."""

    text: str
    """`50 images × 10 repeats × 5 epochs ÷ 2 = 1,250 steps`, or what so many steps are in epochs."""
    plain_steps: int | None
    """What it says; None where the job gives steps, not epochs."""
    plain_epochs: float | None
    """Likewise, where it gives steps."""
    true_steps: int
    true_epochs: float
    reasons: tuple[str, ...]
    """Why the true number is another one: a sentence each. Empty where it is the same."""

    @property
    def differs(self) -> bool:
        if self.plain_steps is not None:
            return self.plain_steps != self.true_steps
        return self.plain_epochs is not None and abs(self.plain_epochs - self.true_epochs) > 0.005 * self.true_epochs


def calculate(config: TrainConfig, datasets: Sequence[Shapes], counts: Counts) -> Calculation:
    """`datasets` in the config's order; `counts` are the true numbers of the same."""
    seen = sum(int(each.repeats.sum()) for each in datasets)
    divisor = counts.batch_size * counts.accumulation
    divided = " ÷ ".join(f"{each:,}" for each in (counts.batch_size, counts.accumulation) if each > 1)
    pictures = _terms(datasets)
    by_epochs = config.duration.epochs is not None and counts.total_steps == config.duration.epochs * (
        counts.steps_per_epoch
    )
    plain_steps = plain_epochs = None
    if by_epochs:
        epochs = config.duration.epochs or 1
        plain_steps = -(-seen * epochs // divisor)
        begin = f"({pictures})" if " + " in pictures else pictures
        left = f"{begin} × {epochs:,} epoch{'s' if epochs > 1 else ''}{f' ÷ {divided}' if divided else ''}"
        text = f"{left} = {plain_steps:,} steps"
    else:
        plain_epochs = counts.total_steps * divisor / seen
        times = f" × {divided.replace('÷', '×')}" if divided else ""
        text = f"{counts.total_steps:,} steps{times} ÷ ({pictures}) = {plain_epochs:.4g} epochs"
    found = Calculation(text, plain_steps, plain_epochs, counts.total_steps, counts.epochs, ())
    reasons = tuple(_reasons(config, counts, seen)) if found.differs else ()
    return Calculation(text, plain_steps, plain_epochs, counts.total_steps, counts.epochs, reasons)


def _terms(datasets: Sequence[Shapes]) -> str:
    kinds: Counter[int] = Counter()
    for each in datasets:
        repeats, numbers = np.unique(each.repeats, return_counts=True)
        kinds.update(dict(zip(repeats.tolist(), numbers.tolist(), strict=True)))
    if len(kinds) > MOST_TERMS:
        return f"{sum(repeat * number for repeat, number in kinds.items()):,} images, repeats among them"
    return " + ".join(
        f"{number:,} image{'s' if number > 1 else ''}" + (f" × {repeat:,} repeats" if repeat > 1 else "")
        for repeat, number in sorted(kinds.items(), reverse=True)
    )


def _reasons(config: TrainConfig, counts: Counts, seen: int) -> Iterator[str]:
    dropped = sum(each.dropped for each in counts.datasets)
    if dropped:
        yield f"{dropped:,} images are smaller than one bucket step and are left out."
    if any(len(set(map(str, dataset.resolutions))) > 1 for dataset in config.datasets):
        yield "Images are trained at several sizes, and each of them counts."
    if config.batching.balance_regularisation and any(dataset.is_regularisation for dataset in config.datasets):
        yield f"Regularisation images are evened out with the others: {counts.seen_per_epoch:,} are seen, not {seen:,}."
    empty = counts.missing_from_full_batches
    if empty:
        yield (
            f"A batch holds images of one size only: of {len(counts.buckets):,} sizes the last batches are not full, "
            f"and {empty:,} places of an epoch stay empty."
        )
    if counts.accumulation > 1 and counts.batches_per_epoch % counts.accumulation:
        yield "The last step of an epoch takes fewer batches than the others."
