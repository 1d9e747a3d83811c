"""Pictures of a dataset: their files that belong together, the trash, and changed copies as a new dataset."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from loratory.data.images import decode, decode_alpha, has_alpha
from loratory.data.scan import CAPTION_EXTENSIONS, Progress
from loratory.datasets.catalogue import Catalogue
from loratory.datasets.library import Dataset, Library
from loratory.datasets.shelf import Opened
from loratory.errors import UserError
from loratory.files import declare_points, new_folder, write_atomic
from loratory.runs import check_name
from loratory.trash import Trashed, to_trash

declare_points("dataset_copy")

Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels of the upright picture; right and bottom are outside."""

_FULL_COLOUR_FROM = 90
"""JPEG of this quality and above keeps colours at full resolution."""
_FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


def files_of(catalogue: Catalogue, root: Path, item: str) -> list[Path]:
    """A picture's own file, its captions with whatever ending, and its mask."""
    stem = item.rpartition(".")[0]
    found = [root / item, *(root / (stem + extension) for extension in CAPTION_EXTENSIONS)]
    caption, mask = catalogue.captions[catalogue.number[item]].path, catalogue.masks.get(item)
    found += [root / path for path in (caption, mask) if path is not None]
    return [path for path in dict.fromkeys(found) if path.exists()]


def trash_pictures(opened: Opened, items: Sequence[str]) -> list[Trashed]:
    """Move pictures with their captions and masks into the trash: one entry for each folder. Raises NotThere.

    A caption that another picture of the same name shares stays.
    """
    opened.numbers(list(items))
    catalogue, root, chosen = opened.catalogue, opened.dataset.path, set(items)
    stems: dict[str, int] = {}
    for path in catalogue.paths:
        if path not in chosen:
            stems[path.rpartition(".")[0]] = 1
    folders: dict[Path, dict[Path, None]] = {}
    for item in chosen:
        shared = item.rpartition(".")[0] in stems
        for file in [root / item] if shared else files_of(catalogue, root, item):
            folders.setdefault(file.parent, {})[file] = None
    return [to_trash(list(paths), "pictures") for _, paths in sorted(folders.items())]


# --- changed copies ---


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rotate(_Step):
    """Turn clockwise."""

    op: Literal["rotate"]
    degrees: Literal[90, 180, 270]


class Flip(_Step):
    """Mirror: left and right, or top and bottom."""

    op: Literal["flip"]
    axis: Literal["horizontal", "vertical"]


class CropTo(_Step):
    """Cut the largest part of this shape out of the middle."""

    op: Literal["crop"]
    width: int = Field(ge=1, le=100_000)
    height: int = Field(ge=1, le=100_000)


class Shrink(_Step):
    """Make the longer side at most this long; nothing is enlarged."""

    op: Literal["shrink"]
    longest_side: int = Field(ge=8, le=65_536)


CopyStep = Annotated[Rotate | Flip | CropTo | Shrink, Field(discriminator="op")]


class CopyPlan(BaseModel):
    """How pictures become those of a new dataset. Boxes come first, then the steps in their order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(max_length=1000)
    """Of the new dataset, in the same root."""
    steps: tuple[CopyStep, ...] = Field((), max_length=20)
    boxes: dict[str, Box] = Field(default_factory=dict, max_length=200_000)
    """What is cut out of single pictures."""
    format: Literal["same", "jpg", "png", "webp"] = "same"
    quality: int = Field(95, ge=1, le=100)
    """Of JPEG and WebP; 100 is lossless WebP."""


def copy_pictures(library: Library, opened: Opened, numbers: Sequence[int], plan: CopyPlan,
                  progress: Progress) -> Path:  # fmt: skip
    """Make a new dataset of changed pictures, with their captions and masks. It appears whole or not at all.

    Raises UserError for a name that is taken, two pictures that would get one name, and pictures that cannot be read.
    """
    source, catalogue = opened.dataset, opened.catalogue
    target = source.path.with_name(check_name(plan.name, "dataset"))
    library.check_free(target)
    items = [catalogue.paths[number] for number in numbers]
    _check(plan, catalogue, items)
    names = {item: _new_name(item, plan.format) for item in items}
    if len({name.casefold() for name in names.values()}) < len(items):
        raise UserError(f"Two pictures would get one name as .{plan.format}; rename one, or keep their formats.")
    with new_folder(target, point="dataset_copy") as folder:
        for done, item in enumerate(items):
            progress(done, len(items))
            _copy(source, folder, item, names[item], plan)
            mask = catalogue.masks.get(item)
            if mask is not None:
                kept = plan.model_copy(update={"format": "png"})
                _copy(source, folder, mask, _new_name(mask, "png"), kept, plan.boxes.get(item))
            caption = catalogue.captions[catalogue.number[item]].path
            if caption is not None:
                (folder / caption).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source.path / caption, folder / caption)
        progress(len(items), len(items))
    return target


def _check(plan: CopyPlan, catalogue: Catalogue, items: Sequence[str]) -> None:
    if not items:
        raise UserError("No picture is chosen; choose at least one.")
    for item, (left, top, right, bottom) in plan.boxes.items():
        if item not in catalogue.number:
            raise UserError(f"There is a box for {item!r}, which is no picture of this dataset.")
        width, height = catalogue.sizes[catalogue.number[item]]
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise UserError(f"The box of {item} lies outside of its {width}x{height} pixels, or is empty.")


def _new_name(item: str, format_name: str) -> str:
    return item if format_name == "same" else f"{item.rpartition('.')[0]}.{format_name}"


def _copy(source: Dataset, folder: Path, item: str, name: str, plan: CopyPlan, box: Box | None = None) -> None:
    path, target = source.path / item, folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    box = box or plan.boxes.get(item)
    if box is None and not plan.steps and name == item:
        shutil.copyfile(path, target)
        return
    suffix = target.suffix.lower().lstrip(".").replace("jpeg", "jpg")
    keeps_alpha = suffix != "jpg" and has_alpha(path)
    image = Image.fromarray(decode(path, opaque=keeps_alpha))
    if keeps_alpha:
        image.putalpha(Image.fromarray(decode_alpha(path)))
    if box is not None:
        image = image.crop(box)
    for step in plan.steps:
        image = _changed(image, step)
    options = _options(suffix, plan.quality)
    name_of_format = _FORMATS.get(suffix, "BMP")
    if name_of_format == "BMP":
        image = image.convert("RGB")
    write_atomic(target, lambda stream: image.save(stream, name_of_format, **options), sync=False)


def _options(suffix: str, quality: int) -> dict[str, Any]:
    """What Pillow is told for a kind of file."""
    match suffix:
        case "jpg":
            return {"quality": quality, "subsampling": 0 if quality >= _FULL_COLOUR_FROM else 2}
        case "webp":
            return {"lossless": True} if quality == 100 else {"quality": quality}
        case _:
            return {}


def _changed(image: Image.Image, step: Rotate | Flip | CropTo | Shrink) -> Image.Image:
    match step:
        case Rotate(degrees=degrees):
            return image.transpose(_TURNS[degrees])
        case Flip(axis="horizontal"):
            return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        case Flip():
            return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        case CropTo(width=width, height=height):
            scale = min(image.width / width, image.height / height)
            wide, high = max(1, round(width * scale)), max(1, round(height * scale))
            left, top = (image.width - wide) // 2, (image.height - high) // 2
            return image.crop((left, top, left + wide, top + high))
        case Shrink(longest_side=side):
            scale = min(1.0, side / max(image.size))
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


_TURNS = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}
