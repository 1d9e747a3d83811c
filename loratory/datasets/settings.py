"""What a user chose for one dataset: its cover, where new captions are written, how captions are meant."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from loratory.data.scan import CAPTION_EXTENSIONS
from loratory.datasets.library import Dataset
from loratory.errors import UserError
from loratory.files import declare_points, write_json

declare_points("dataset_settings")

Extension = Literal[".txt", ".caption", ".cap", ".json"]
Style = Literal["auto", "tags", "prose"]


class DatasetSettings(BaseModel):
    """The choices for one dataset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cover: str | None = None
    """A picture's path; None for the first one."""
    caption_extension: Extension = ".txt"
    """The ending of caption files: those with it are read first, and new ones get it."""
    style: Style = "auto"
    """Whether captions are tags or prose; auto looks at them."""

    @property
    def extensions(self) -> tuple[str, ...]:
        """The endings of caption files, the chosen one first."""
        return tuple(dict.fromkeys((self.caption_extension, *CAPTION_EXTENSIONS)))


def load_settings(dataset: Dataset) -> DatasetSettings:
    """The choices, or the usual ones. Raises UserError for a damaged file."""
    path = dataset.state / "settings.json"
    try:
        return DatasetSettings.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return DatasetSettings()
    except (ValueError, ValidationError) as error:
        raise UserError(f"{path} is damaged; delete it, and the dataset has the usual settings.") from error


def save_settings(dataset: Dataset, settings: DatasetSettings) -> None:
    """Keep the choices."""
    dataset.state.mkdir(parents=True, exist_ok=True)
    write_json(dataset.state / "settings.json", settings.model_dump(), point="dataset_settings")
