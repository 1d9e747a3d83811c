"""A plan as text for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

from loratory.planner.estimate import Estimate
from loratory.planner.fitting import Fit, Option
from loratory.planner.memory import Phase

GB = 1e9
WIDTH = 80
MOST_BUCKETS = 8
MOST_OPTIONS = 6


def gigabytes(size: float) -> str:
    """In GB where that is readable, else in MB."""
    return f"{size / GB:.1f} GB" if size >= 0.95e8 else f"{size / 1e6:.1f} MB"


def gib(size: float) -> str:
    """As cards are sold."""
    return f"{size / 2**30:.2f} GiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"


def duration(seconds: float) -> str:
    """1 h 05 min, 12 min, 40 s."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if seconds >= 100 else f"{seconds:.0f} s"


def report(found: Estimate) -> str:
    """All of it."""
    parts = [_pictures(found), _steps(found), _disk(found), _memory(found), _time(found), _notes(found)]
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part))) + "\n"


def _row(name: str, value: str, more: str = "") -> str:
    return f"  {name:<24} {value:>14}  {more}".rstrip()


def _wrapped(text: str, indent: str = "  ") -> Iterator[str]:
    from textwrap import wrap

    yield from wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _pictures(found: Estimate) -> Iterator[str]:
    counts = found.counts
    yield "Pictures"
    for each in counts.datasets:
        name = each.path if len(each.path) <= 40 else "…" + each.path[-39:]
        yield _row(name if len(name) <= 24 else name[:23] + "…", f"{each.pictures:,}",
                   f"{each.seen_per_epoch:,} in an epoch, with repeats")  # fmt: skip
        facts = []
        if each.cropped:
            facts.append(f"{each.cropped:,} lose more than 1 % to their bucket, all together {each.cut_share:.1%}")
        if each.enlarged:
            facts.append(f"{each.enlarged:,} are enlarged")
        if each.dropped:
            facts.append(f"{each.dropped:,} are too small and left out")
        for fact in facts:
            yield from _wrapped(fact, "    ")
    buckets = sorted(counts.buckets.items(), key=lambda pair: -pair[1])
    for size, number in buckets[:MOST_BUCKETS]:
        batches = -(-number // counts.batch_size)
        group = f" of {size[2]}" if len(size) == 3 else ""
        yield _row(f"bucket {size[0]}x{size[1]}{group}", f"{number:,}", f"{batches:,} batches")
    if len(buckets) > MOST_BUCKETS:
        rest = buckets[MOST_BUCKETS:]
        yield _row(f"{len(rest)} more buckets", f"{sum(number for _, number in rest):,}")


def _steps(found: Estimate) -> Iterator[str]:
    counts = found.counts
    yield "Steps"
    yield _row("batches of an epoch", f"{counts.batches_per_epoch:,}", f"{counts.batch_size} pictures at the most each")
    if counts.missing_from_full_batches:
        yield _row("empty places in them", f"{counts.missing_from_full_batches:,}")
    more = f"{counts.accumulation} batches each" if counts.accumulation > 1 else ""
    yield _row("steps of an epoch", f"{counts.steps_per_epoch:,}", more)
    yield _row("steps", f"{counts.total_steps:,}", f"{counts.epochs:.4g} epochs")
    yield _row("trained numbers", f"{found.trained_numbers:,}", f"in {found.trained_layers:,} layers")


def _disk(found: Estimate) -> Iterator[str]:
    disk = found.disk
    yield "Disk"
    rows = [
        ("cache of pictures", disk.latents, ""), ("cache of captions", disk.texts, ""),
        ("checkpoints", disk.checkpoints, f"{gigabytes(disk.one_checkpoint)} each"),
        ("LoRA files", disk.exports, f"{gigabytes(disk.one_export)} each"), ("samples", disk.samples, ""),
    ]  # fmt: skip
    for name, size, more in rows:
        if size:
            yield _row(name, gigabytes(size), more)
    yield _row("together", gigabytes(disk.total))


def _memory(found: Estimate) -> Iterator[str]:
    highest = found.memory.highest
    yield "Memory of the card"
    training = found.memory.phase("training") or highest
    yield from _phase(training)
    for phase in found.memory.phases:
        if phase is not training and phase is not highest:
            yield _row(phase.name, gib(phase.bytes))
    if highest is not training:
        yield from _phase(highest)
    factor, runs = found.correction.memory_factor, found.correction.memory_runs
    more = f"while {highest.name}"
    if runs:
        more += f"; x {factor:.2f}, by {runs} runs here"
    yield _row("at the most", gib(found.peak_bytes), more)
    if found.fit is not None:
        yield from _fit(found.fit)


def _phase(phase: Phase) -> Iterator[str]:
    yield _row(phase.name, gib(phase.bytes))
    for part in phase.parts:
        yield _row(f"  {part.name}", gib(part.bytes))
    yield _row("  driver and gaps", gib(phase.reserve))


def _fit(fit: Fit) -> Iterator[str]:
    limit = gib(fit.limit_bytes)
    if fit.fits:
        yield from _wrapped(f"Fits in {limit}, with {gib(fit.limit_bytes - fit.peak_bytes)} to spare.")
        return
    yield from _wrapped(f"Will not fit in {limit}: {gib(fit.peak_bytes - fit.limit_bytes)} too much.")
    if fit.enough and fit.peak_with_enough_bytes is not None:
        words = " and ".join(str(each) for each in fit.enough)
        yield from _wrapped(f"It takes {gib(fit.peak_with_enough_bytes)} with {words}.")
    else:
        yield from _wrapped("Nothing that was tried is enough; take smaller pictures or another model.")
    if fit.options:
        yield "  Single changes, those that cost least time first:"
    for option in fit.options[:MOST_OPTIONS]:
        yield from _option(option)


def _option(option: Option) -> Iterator[str]:
    from textwrap import wrap

    words = f"-{gib(option.saves_bytes)}  {option}  (while {option.phase}; {option.time})"
    yield from wrap(words, WIDTH, initial_indent="    ", subsequent_indent=" " * 15)


def _time(found: Estimate) -> Iterator[str]:
    clock, counts = found.clock, found.counts
    yield "Time"
    if clock.seconds is None or clock.seconds_per_step is None:
        yield from _wrapped(
            f"Not known before a run was measured on this machine ({found.machine.name}); the first one that finishes "
            f"is. A step is {clock.flops_per_step / 1e12:.3g} million million operations."
        )
        return
    yield _row("a step", f"{clock.seconds_per_step:.3g} s", f"by {found.correction.speed_runs} runs here, of "
               f"{found.correction.alike}")  # fmt: skip
    yield _row("training", duration(clock.seconds_of_training or 0), f"{counts.total_steps:,} steps")
    if clock.seconds_of_samples:
        yield _row("samples", duration(clock.seconds_of_samples))
    yield _row("together", duration(clock.seconds), "without the encoding of pictures and captions")


def _notes(found: Estimate) -> Iterator[str]:
    for note in found.notes:
        yield from _wrapped(f"Note: {note}", "")
