"""A file for sd-scripts becomes a job of ours: every setting is taken over, or there is a note about it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from loratory.errors import UserError
from loratory.interop.imported import Imported, Note
from loratory.interop.kohya.arguments import EXTRAS, TOKENS, read_direct, report_rest
from loratory.interop.kohya.datasets import read_datasets
from loratory.interop.kohya.files import parse, read_table
from loratory.interop.kohya.model import architecture_of, read_model
from loratory.interop.kohya.names import ALL
from loratory.interop.kohya.network import read_block_weights, read_network
from loratory.interop.kohya.objective import read_objective
from loratory.interop.kohya.optimizer import read_optimizer
from loratory.interop.kohya.reading import Given, Reading
from loratory.interop.kohya.saving import read_saving
from loratory.interop.named_files import read_named


def read(path: Path, text: str, dataset: Path | None = None) -> list[Imported]:
    """The trainings of a file. `dataset`: a dataset file instead of the one that the file names. Raises UserError."""
    return [read_given(given, dataset) for given in parse(path, text)]


def read_given(given: Given, dataset: Path | None = None) -> Imported:
    """The training that these arguments describe. Raises UserError."""
    reading = Reading(given, architecture_of(given))
    reading.notes += given.notes
    described = _described(reading, dataset)
    read_model(reading)
    read_datasets(reading, described)
    read_network(reading)
    read_optimizer(reading)
    read_block_weights(reading)
    read_objective(reading)
    read_saving(reading)
    read_direct(reading)
    if not reading.has("seed"):
        reading.note("default", "seed", "is not given, so that sd-scripts takes another each time; here it is 42")
    report_rest(reading, _unknown)
    return Imported(_sorted(reading.data), tuple(_told_once(reading.notes)), given.source, _tokens(given))


def _tokens(given: Given) -> dict[str, str]:
    found = {variable: str(given.values.get(argument) or "") for argument, variable in TOKENS.items()}
    return {variable: value for variable, value in found.items() if value}


def _described(reading: Reading, dataset: Path | None) -> dict[str, Any] | None:
    """The description of the pictures, if there is one."""
    named = reading.given.values.get("dataset_config")
    if dataset is None and reading.given.dataset is not None:
        return dict(reading.given.dataset)
    if dataset is None and not named:
        return None
    path = dataset or Path(reading.path(str(named)))
    try:
        text = read_named(path).decode("utf-8-sig")
    except OSError as error:
        raise UserError(
            f"The dataset file {path} cannot be read: {error.strerror}; give another with --dataset."
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"The dataset file {path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    return read_table(path, text)


def _unknown(name: str) -> str:
    near = get_close_matches(name, sorted(ALL | EXTRAS.keys()), n=1, cutoff=0.8)
    meant = f"; was {near[0]} meant?" if near else ""
    return f"sd-scripts knows no such argument and says nothing about it{meant}"


def _told_once(notes: Iterable[Note]) -> list[Note]:
    """Without silent notes of a key that also has one with words, and without copies."""
    notes = list(dict.fromkeys(notes))
    worded = {note.key for note in notes if note.message}
    found: dict[str, Note] = {}
    kept = []
    for note in notes:
        if note.message:
            kept.append(note)
        elif note.key not in worded and note.key not in found:
            found[note.key] = note
            kept.append(note)
    return kept


_ORDER = ("name", "seed", "model", "datasets", "network")


def _sorted(data: dict[str, Any]) -> dict[str, Any]:
    """What people look for first stands first."""
    return {name: data[name] for name in _ORDER if name in data} | data
