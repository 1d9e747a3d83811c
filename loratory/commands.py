"""What the commands print that only look at configs: presets and differences. Nothing here loads torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loratory.config.load import dump
from loratory.config.plain import write_yaml
from loratory.drafts.comparing import side_of, usual
from loratory.drafts.reading import read_job, recipe_of

if TYPE_CHECKING:
    from loratory.config.presets import Preset

Say = Callable[[str], None]


# Configs


def show_config(path: Path, overrides: Sequence[str], *, only_changed: bool, say: Say) -> int:
    """A job with every default filled in, or only what differs from the defaults. Raises UserError."""
    from loratory.config.fields import changes

    config, _ = read_job(path, overrides)
    if only_changed:
        # What a preset gave is written out, so its name would say it twice.
        data = {key: value for key, value in changes(config).items() if key != "preset"}
        say(write_yaml({"job": config.job} | data).rstrip("\n"))
    else:
        say(dump(config).rstrip("\n"))
    return 0


def show_differences(first: str, second: str | None, *, as_json: bool, say: Say) -> int:
    """What differs between two of: job file, run's folder, preset, `defaults`. Raises UserError.

    With one it is compared with the preset that it names, and otherwise with the defaults.
    """
    from loratory.config import diff

    a = side_of(first)
    b = side_of(usual(a) if second is None else second)
    found = diff.differences(a, b)
    if as_json:
        say(json.dumps({"a": a.title, "b": b.title, "differences": diff.as_json(found)}, indent=1, ensure_ascii=False))
    elif not found:
        say(f"{a.title} and {b.title}: no difference.")
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table("Parameter", a.title, b.title)
        for row in diff.lines(found):
            table.add_row(*row)
        Console(markup=False, highlight=False).print(table)
    return 0


# Presets


def list_presets(architecture: str | None, gigabytes: float | None, *, as_json: bool, say: Say) -> int:
    """All presets, and which are right for this machine's graphics card, or for one of so many GB. Raises UserError."""
    from loratory.config import presets
    from loratory.config.architectures import SPECS, get_spec
    from loratory.doctor import largest_card

    chosen = list(SPECS) if architecture is None else [get_spec(architecture).name]
    card = None if gigabytes is not None else largest_card()
    memory = card.gigabytes if card is not None else gigabytes
    fitting = {name: None if memory is None else presets.nearest_card(name, memory) for name in chosen}
    own = [each for each in map(presets.find, presets.own_names()) if each.architecture in (None, *chosen)]
    listed = [each for each in presets.built_in().values() if each.architecture in chosen]
    if as_json:
        proposed = {name for name, size in fitting.items() if size is not None}
        plain = [
            _plain(each) | {"proposed": each.architecture in proposed and each.memory == fitting[each.architecture]}
            for each in (*listed, *own)
        ]  # fmt: skip
        say(json.dumps(plain, indent=1, ensure_ascii=False))
        return 0
    what = f"{card.name}, {card.gigabytes:.0f} GB" if card is not None else f"a card of {memory:g} GB" if memory else ""
    say(f"For {what}:" if what else "No graphics card was found; --memory GB proposes for one.")
    for name in chosen:
        say(_about(name, listed, fitting[name], known=memory is not None))
    say("A name is made of the model, the goal and the card; the goals:")
    for goal, title in dict.fromkeys((each.goal, each.title) for each in listed if each.goal):
        say(f"  {goal:10} {title}")
    for each in (*(preset for preset in listed if not preset.goal), *own):
        model = f" ({each.architecture})" if each.architecture else ""
        say(f"  {each.name}: {each.title or 'a preset of your own'}{model}")
    say("One of them with its reasons: loratory presets show NAME. In a job file: preset: NAME.")
    return 0


def _about(name: str, listed: Sequence[Preset], fitting: int | None, *, known: bool) -> str:
    """One architecture: what is right here, and the cards that there are presets for."""
    mine = [each for each in listed if each.architecture == name and each.memory is not None]
    cards = sorted({each.memory for each in mine if each.memory is not None})
    sizes = f"cards of {', '.join(map(str, cards))} GB"
    if fitting is not None:
        best = ", ".join(each.name for each in mine if each.memory == fitting)
        return f"  {name:16} {best} ({sizes})"
    return f"  {name:16} {'none fits here; ' if known else ''}{sizes}"


def _plain(preset: Preset) -> dict[str, Any]:
    return {key: value for key, value in asdict(preset).items() if key != "path"} | {"own": preset.path is not None}


def show_preset(name: str, *, as_json: bool, say: Say) -> int:
    """A preset with its settings and its reasons. Raises UserError."""
    from loratory.config import presets

    preset = presets.find(name)
    if as_json:
        say(json.dumps(_plain(preset), indent=1, ensure_ascii=False))
        return 0
    told = [preset.title, preset.architecture and f"for {preset.architecture}"]
    say(f"{preset.name}: {', '.join(filter(None, told)) or 'a preset of your own'}")
    for sentence in preset.why:
        say(f"- {sentence}")
    say("\n" + write_yaml(dict(preset.settings)).rstrip("\n"))
    return 0


def save_preset(name: str, source: Path, architecture: str | None, *, replace: bool, say: Say) -> int:
    """Make a preset of the settings of a job file, of a piece of one (of ours or of another trainer), or of a run's
    folder. Raises UserError."""
    from loratory.config import presets
    from loratory.config.architectures import get_spec

    config = recipe_of(source, say)
    settings, left_out = presets.settings_of(config)
    base = None if config.preset is None else presets.find_or_none(config.preset)
    known = architecture or config.model.architecture or (base.architecture if base is not None else None)
    spec = None if known is None else get_spec(known).name
    for line in left_out:
        say(f"Note: {line}, so it is left out.")
    path = presets.save(presets.Preset(name, "", settings, spec), replace=replace)
    say(f"Saved {path}. In a job file: preset: {name}. Say in it what it is for (title, why) before you share it.")
    return 0
