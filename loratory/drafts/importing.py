"""Jobs from files that somebody sent: of other trainers, of ours, or the header of a LoRA file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from loratory.config.plain import read_json, read_toml, read_yaml, text_of
from loratory.drafts.from_lora import from_header
from loratory.errors import UserError
from loratory.files import home
from loratory.interop.foreign import format_of
from loratory.interop.imported import Imported
from loratory.interop.named_files import confined_to

OURS = "loratory"
LORA = "lora"


@dataclass(frozen=True)
class Arrived:
    """What was in them."""

    format: str
    """kohya, ai-toolkit, loratory, or lora for the metadata of a LoRA file."""
    jobs: tuple[Imported, ...]


def arrived(files: Mapping[str, bytes]) -> Arrived:
    """The jobs of the first of these files, by name; the others are those that it names (a dataset file, prompts), or
    of kohya's pair the dataset file, in whichever order the two came. Relative paths count from LORATORY_HOME. Raises
    UserError."""
    files = dict(sorted(files.items(), key=lambda each: len(files) > 1 and _describes(*each)))
    folder, (name, content) = home(), next(iter(files.items()))
    path = folder / Path(name).name
    if path.suffix.lower() == ".safetensors":
        return Arrived(LORA, (from_header(content, name),))
    text = text_of(content, name)
    found = format_of(path, text)
    if found is None:
        return Arrived(OURS, (Imported(_ours(text, path), (), name),))
    others = {Path(each).name: data for each, data in files.items()}
    dataset = None
    if found.takes_dataset:
        described = (each for each, data in list(files.items())[1:] if _describes(each, data))
        dataset = next((folder / Path(each).name for each in described), None)
    try:
        with confined_to(others):
            jobs = found.read(path, text, dataset)
    except UserError as error:
        raise UserError(str(error).replace(str(path), name)) from error
    # The place is made up; who sent the file knows its name.
    return Arrived(found.name, tuple(replace(job, source=job.source.replace(str(path), name)) for job in jobs))


def _describes(name: str, content: bytes) -> bool:
    """Is it kohya's description of pictures?"""
    return name.lower().endswith((".toml", ".json")) and b"subsets" in content


def _ours(text: str, path: Path) -> dict[str, Any]:
    reader = {".toml": read_toml, ".json": read_json}.get(path.suffix.lower(), read_yaml)
    data = reader(text, path.name)
    if not isinstance(data, dict):
        raise UserError(f"{path.name} holds no job: keys and values are needed, such as `job: train`.")
    return data
