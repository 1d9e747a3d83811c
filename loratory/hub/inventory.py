"""Models, autoencoders and LoRA files on this machine: what each is, told by names and headers, without torch.

What was found out about a file is remembered by its size and time of change, so that a folder of a thousand files is
listed in milliseconds the second time.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from loratory.config.architectures import SPECS, detect_header
from loratory.config.architectures.base import Shapes
from loratory.config.architectures.header import read_header
from loratory.config.identify import PICKLE_SUFFIXES, detect_folder, kind_of, weights_of
from loratory.errors import UserError
from loratory.files import declare_points, home, write_text
from loratory.hub.local import repositories

declare_points("inventory")

Kind = Literal["model", "vae", "text_encoder", "lora", "other", "pickle", "broken"]
Layout = Literal["folder", "file"]

HUB_ROOT = "hub"
HOME_ROOT = "home"
RUNS_ROOT = "runs"
MOST_FILES = 20_000
DEEPEST = 8
_INDEX_VERSION = 1
_MOST_TRIGGER = 200
_IS_PICKLE = "{} is a pickle, which can carry code; it is not opened here. Take a .safetensors file."


@dataclass(frozen=True)
class Facts:
    """What the headers of a file or folder say."""

    kind: Kind
    title: str
    """What it is, in words."""
    architecture: str | None = None
    """One of ours; None where it is none or cannot be told."""
    precision: str | None = None
    """Number format of most of its numbers, such as BF16."""
    numbers: int | None = None
    rank: int | None = None
    alpha: float | None = None
    trigger_words: str | None = None
    base_model: str | None = None
    """Of a LoRA: what its file says that it was trained on."""
    problem: str | None = None
    """Why it cannot be used, and what to do."""


@dataclass(frozen=True)
class Local:
    """One of them."""

    id: str
    """Sixteen hex digits of its root and its path there; of a run's file, of its whole path."""
    root: str
    """home, hub (the cache of the Hub's client), runs (trained here), or eight hex digits of another root's path."""
    relative: str
    """With "/"; in the Hub's cache the repository, of a run its name and the file."""
    path: Path
    layout: Layout
    bytes: int
    modified_ns: int
    facts: Facts


def root_id(path: Path) -> str:
    return hashlib.blake2b(os.fsencode(path.resolve()), digest_size=4).hexdigest()


class Inventory:
    """May be used by several threads."""

    def __init__(
        self,
        roots: Callable[[], Sequence[Path]] = tuple,
        runs: Callable[[], Mapping[Path, Sequence[str]]] = dict,
    ) -> None:
        """roots: further folders that hold models, asked anew each time. One that is missing has none.
        runs: folders of runs, and the names of the files that each made for others. Nothing else in them is listed.
        """
        self._roots, self._runs = roots, runs
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, int, Facts]] | None = None

    def roots(self) -> dict[str, Path]:
        """Folders of models by id, the home's first."""
        return {HOME_ROOT: home() / "models"} | {root_id(path): path for path in self._roots()}

    def all(self) -> list[Local]:
        """Everything, by root and path."""
        with self._lock:
            known = self._load() if self._known is None else self._known
            new: dict[str, tuple[int, int, Facts]] = {}
            found = []
            for root, relative, path, layout in self._places():
                entry = _looked_at(root, relative, path, layout, known)
                if entry is not None:
                    found.append(entry)
                    new[str(entry.path)] = (entry.bytes, entry.modified_ns, entry.facts)
            if new != known:
                self._save(new)
            self._known = new
        return found

    def find(self, identifier: str) -> Local:
        """Raises UserError."""
        for each in self.all():
            if each.id == identifier:
                return each
        raise UserError(f"There is no model {identifier} here; it may have been moved or deleted: list them again.")

    def _places(self) -> Iterator[tuple[str, str, Path, Layout]]:
        runs = self._runs()
        for identifier, top in self.roots().items():
            for path, layout in _below(top, runs):
                yield identifier, path.relative_to(top).as_posix(), path, layout
        for name, folder in repositories():
            if (folder / "model_index.json").is_file():
                yield HUB_ROOT, name, folder, "folder"
            else:
                for path, layout in _below(folder):
                    yield HUB_ROOT, f"{name}/{path.relative_to(folder).as_posix()}", path, layout
        for folder, names in runs.items():
            for name in names:
                yield RUNS_ROOT, f"{folder.name}/{name}", folder / name, "file"

    def _load(self) -> dict[str, tuple[int, int, Facts]]:
        names = {each.name for each in fields(Facts)}
        try:
            data = json.loads(_index().read_text(encoding="utf-8"))
            if data["version"] != _INDEX_VERSION:
                return {}
            rows = data["files"].items()
            return {path: (size, time, Facts(**facts)) for path, (size, time, facts) in rows if facts.keys() == names}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}  # it only saves time: what it knew is found out again

    def _save(self, known: Mapping[str, tuple[int, int, Facts]]) -> None:
        files = {path: (size, time, asdict(facts)) for path, (size, time, facts) in known.items()}
        _index().parent.mkdir(parents=True, exist_ok=True)
        write_text(_index(), json.dumps({"version": _INDEX_VERSION, "files": files}), point="inventory")


def _index() -> Path:
    return home() / "state" / "models.json"


def _below(top: Path, but: Collection[Path] = ()) -> Iterator[tuple[Path, Layout]]:
    """Files of weights, and folders in diffusers layout as a whole, by name; nothing in the folders of `but`."""
    waiting, count = [(top, 0)], 0
    visited = {folder.resolve() for folder in but}
    while waiting:
        folder, depth = waiting.pop()
        real = folder.resolve()
        if not folder.is_dir() or real in visited or depth > DEEPEST:
            continue
        visited.add(real)
        if (folder / "model_index.json").is_file():
            yield folder, "folder"
            continue
        try:
            entries = sorted(folder.iterdir(), reverse=True)
        except PermissionError:
            continue
        inside = [(entry, depth + 1) for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
        for entry in reversed(entries):
            if entry.suffix.lower() in (".safetensors", *PICKLE_SUFFIXES) and entry.is_file():
                count += 1
                if count > MOST_FILES:
                    return
                yield entry, "file"
        waiting += inside


def _looked_at(
    root: str, relative: str, path: Path, layout: Layout, known: Mapping[str, tuple[int, int, Facts]]
) -> Local | None:
    """None for what is gone in the meantime."""
    try:
        size, time = _size_and_time(path, layout)
        remembered = known.get(str(path))
        is_same = remembered is not None and remembered[:2] == (size, time)
        facts = remembered[2] if remembered is not None and is_same else _facts(path, layout)
    except FileNotFoundError:
        return None
    place = path.resolve() if root == RUNS_ROOT else relative  # two folders of runs may have one name
    identifier = hashlib.blake2b(os.fsencode(f"{root}\0{place}"), digest_size=8).hexdigest()
    return Local(identifier, root, relative, path, layout, size, time, facts)


def _size_and_time(path: Path, layout: Layout) -> tuple[int, int]:
    if layout == "file":
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    found = [each.stat() for each in sorted(path.glob("*/*")) if each.is_file()]
    found.append((path / "model_index.json").stat())
    return sum(each.st_size for each in found), max(each.st_mtime_ns for each in found)


def _facts(path: Path, layout: Layout) -> Facts:
    try:
        return _of_folder(path) if layout == "folder" else _of_file(path)
    except (UserError, OSError) as error:
        return Facts("broken", "cannot be used", problem=str(error))


def _of_folder(folder: Path) -> Facts:
    name = detect_folder(folder)
    spec = SPECS[name]
    shapes: dict[str, tuple[int, ...]] = {}
    formats: Counter[str] = Counter()
    weights = weights_of(folder / spec.denoiser, allow_pickle=True)
    for file in () if weights.pickle else weights.files:
        its, dtypes, _ = read_header(file)
        shapes |= its
        formats += _formats(its, dtypes)
    problem = _IS_PICKLE.format(weights.files[0].name) if weights.pickle else None
    return Facts("model", spec.title, name, _most(formats), sum(map(_count, shapes.values())) or None, problem=problem)


def _of_file(path: Path) -> Facts:
    if path.suffix.lower() in PICKLE_SUFFIXES:
        return Facts("pickle", "a pickle", problem=_IS_PICKLE.format(path.name))
    shapes, dtypes, metadata = read_header(path)
    numbers, precision = sum(map(_count, shapes.values())), _most(_formats(shapes, dtypes))
    title = kind_of(shapes)
    if title == "a LoRA file":
        return _of_lora(shapes, metadata, numbers, precision)
    found = detect_header(shapes)
    if len(found) == 1 and not title.startswith("a quantised"):
        return Facts("model", SPECS[found[0]].title, found[0], precision, numbers)
    kinds: dict[str, Kind] = {"an autoencoder": "vae", "a text encoder": "text_encoder"}
    problem = None if title in kinds else f"It is {title or 'nothing that is known here'}."
    return Facts(kinds.get(title, "other"), title or "unknown", None, precision, numbers, problem=problem)


def _of_lora(shapes: Shapes, metadata: Mapping[str, str], numbers: int, precision: str | None) -> Facts:
    ranks = Counter(
        shape[0] for name, shape in shapes.items()
        if len(shape) >= 2 and name.endswith((".lora_down.weight", ".lora_A.weight", ".lora.down.weight"))
    )  # fmt: skip
    rank = _number(metadata.get("ss_network_dim"))
    base = metadata.get("ss_sd_model_name") or metadata.get("ss_base_model_version")
    return Facts(
        "lora", "a LoRA file", architecture_by_metadata(metadata), precision, numbers,
        rank=int(rank) if rank is not None else max(ranks, key=ranks.__getitem__, default=None),
        alpha=_number(metadata.get("ss_network_alpha")),
        trigger_words=(metadata.get("modelspec.trigger_phrase") or "")[:_MOST_TRIGGER] or None,
        base_model=base[:_MOST_TRIGGER] if base else None,
    )  # fmt: skip


def architecture_by_metadata(metadata: Mapping[str, str]) -> str | None:
    """What a LoRA file says that it is for; None where it does not say it, or says what several could be."""
    told = metadata.get("modelspec.architecture", "").partition("/")[0]
    version = metadata.get("ss_base_model_version", "")
    by_name = [name for name, spec in SPECS.items() if told and spec.modelspec_architecture == told]
    by_version = [name for name, spec in SPECS.items() if version and spec.base_model_version == version]
    both = [name for name in by_name if name in by_version]
    found = both or by_name or by_version
    return found[0] if len(found) == 1 else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and abs(value) < 1e9 else None


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


def _formats(shapes: Shapes, dtypes: Mapping[str, str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for name, shape in shapes.items():
        found[dtypes[name]] += _count(shape)
    return found


def _most(formats: Counter[str]) -> str | None:
    return formats.most_common(1)[0][0] if formats else None
