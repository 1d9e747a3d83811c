"""What may differ when a run goes on."""

from __future__ import annotations

from loratory.config.fields import values
from loratory.config.train import TrainConfig


def differences(before: TrainConfig, now: TrainConfig) -> tuple[list[str], list[str]]:
    """What differs between two configs of one run, in words: what must not differ, and what is worth saying."""
    old = {path: (value, facts) for path, value, facts, _ in values(before)}
    new = {path: (value, facts) for path, value, facts, _ in values(now)}
    forbidden: list[str] = []
    allowed: list[str] = []
    for path in dict.fromkeys([*old, *new]):
        value_before, facts = old.get(path, (None, None))
        value_now, facts_now = new.get(path, (None, None))
        facts = facts or facts_now
        assert facts is not None
        if value_before == value_now or facts.on_resume == "free" or path == "name":
            continue
        line = f"{path} was {value_before!r} and is now {value_now!r}"
        (forbidden if facts.on_resume == "forbid" else allowed).append(line)
    return forbidden, allowed
