"""What the commands print that only look at configs: presets and differences. Nothing here loads torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loratory.config.load import dump, parse, read_plain
from loratory.config.plain import read_file, write_yaml
from loratory.errors import UserError
from loratory.session import read_job

if TYPE_CHECKING:
    from loratory.config.diff import Side
    from loratory.config.presets import Preset
    from loratory.config.train import TrainConfig

Say = Callable[[str], None]
DEFAULTS = "defaults"


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

    a = _side(first)
    b = _side(_usual(a) if second is None else second)
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


def _usual(side: Side) -> str:
    from loratory.config.train import TrainConfig

    of = side.of
    return of.preset if isinstance(of, TrainConfig) and of.preset is not None else DEFAULTS


def _side(name: str) -> Side:
    from loratory.config import presets
    from loratory.config.diff import Side

    if name == DEFAULTS:
        return Side(DEFAULTS, None)
    path = Path(name)
    if not path.exists() and (preset := presets.find_or_none(name)) is not None:
        return Side(name, preset)
    if path.is_file() and _is_preset(read_file(path)):
        return Side(name, presets.find(name))
    if not path.exists():
        raise UserError(f"There is no job file, no run's folder and no preset {name}; `loratory presets` lists these.")
    return Side(name, read_job(path, ())[0])


def _is_preset(data: Any) -> bool:
    return isinstance(data, Mapping) and "settings" in data


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

    config = _recipe_of(source, say)
    settings, left_out = presets.settings_of(config)
    base = None if config.preset is None else presets.find_or_none(config.preset)
    known = architecture or config.model.architecture or (base.architecture if base is not None else None)
    spec = None if known is None else get_spec(known).name
    for line in left_out:
        say(f"Note: {line}, so it is left out.")
    path = presets.save(presets.Preset(name, "", settings, spec), replace=replace)
    say(f"Saved {path}. In a job file: preset: {name}. Say in it what it is for (title, why) before you share it.")
    return 0


def _recipe_of(path: Path, say: Say) -> TrainConfig:
    """The config in a file of ours or of another trainer, which may be only a piece of a job: a preset needs no name,
    model or pictures."""
    from loratory.interop.foreign import read_foreign
    from loratory.interop.imported import summary

    if path.is_dir():
        return read_job(path, ())[0]
    foreign = read_foreign(path)
    data = read_plain(path) if foreign is None else deepcopy(foreign[0].data)
    for line in summary([note for note in foreign[0].notes if note.key not in _OF_A_JOB]) if foreign else ():
        say(line)
    if not isinstance(data, dict):
        return parse(data, str(path))
    needed = {"name": "preset", "model": {"path": "demo"}, "datasets": [{"path": "pictures"}]}
    if foreign is not None:
        data["model"] = needed["model"] | data.get("model", {})
        data["datasets"] = [{"path": "pictures"} | dataset for dataset in data.get("datasets", [])] or needed[
            "datasets"
        ]
    return parse(needed | data, str(path))


_OF_A_JOB = ("pretrained_model_name_or_path", "train_data_dir", "output_name", "output_dir")
"""Of another trainer's file: what no preset holds, so that its absence is nothing to tell."""
