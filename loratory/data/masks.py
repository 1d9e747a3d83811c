"""Which mask belongs to which picture of a dataset, and what it says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loratory.config.masks import NAME_MARK, MasksConfig
from loratory.data.images import decode_alpha, decode_mask, has_alpha
from loratory.data.scan import ContentHashes, Item, Progress, Scan, scan
from loratory.errors import UserError

_NAMED_AT_MOST = 10


@dataclass(frozen=True)
class Masks:
    """The masks of one dataset."""

    root: Path
    items: Mapping[str, Item]
    """A picture's path -> the file with its mask; itself, where its alpha channel is the mask."""
    hashes: ContentHashes
    alpha: bool
    missing: tuple[str, ...]
    """Pictures that have none."""

    def content(self, picture: str) -> str:
        """The hash of the file that holds a picture's mask."""
        return self.hashes.of(self.items[picture])

    def levels(self, picture: str) -> NDArray[np.uint8]:
        """A picture's mask, uint8 (H, W) as large as the picture; 255 is white. Raises BrokenImage."""
        path = self.root / self.items[picture].path
        return decode_alpha(path) if self.alpha else decode_mask(path)

    def report(self) -> str:
        """A sentence about pictures without a mask; empty if all have one."""
        if not self.missing:
            return ""
        pictures = len(self.items) + len(self.missing)
        names, more = ", ".join(self.missing[:_NAMED_AT_MOST]), len(self.missing) - _NAMED_AT_MOST
        what = "no alpha channel" if self.alpha else f"no mask in {self.root}"
        have = "has" if len(self.missing) == 1 else "have"
        return f"{len(self.missing)} of {pictures} pictures {have} {what} and will be learned everywhere: {names}" + (
            f" and {more} more." if more > 0 else "."
        )


def alpha_masks(pictures: Scan, hashes: ContentHashes, where: str) -> Masks:
    """The pictures' own alpha channels. Raises UserError if none has one; `where` is the field to blame."""

    def look(item: Item) -> bool:
        return has_alpha(pictures.root / item.path)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(look, pictures.items))
    items = {item.path: item for item, has in zip(pictures.items, found, strict=True) if has}
    if not items:
        raise UserError(f"{where}.alpha: no picture in {pictures.root} has an alpha channel; leave the option out.")
    missing = tuple(item.path for item, has in zip(pictures.items, found, strict=True) if not has)
    return Masks(pictures.root, items, hashes, True, missing)


def folder_masks(
    pictures: Scan, config: MasksConfig, index_path: Path, where: str, progress: Progress | None = None
) -> tuple[Scan, Masks]:
    """The masks in the folder `config.path`, and the dataset without them, should they lie in it.

    A picture's mask has its name, changed as `config.names` says, and stands in the same sub-folder. Raises UserError,
    naming the field (`where` is the section), if the folder is missing or has no mask for any picture, and for masks
    that are broken, of another size than their picture, or not the only ones for it.
    """
    assert config.path is not None
    folder, naming = Path(config.path), config.names
    if folder.exists() and folder.samefile(pictures.root) and naming == NAME_MARK:
        raise UserError(
            f"{where}.path: this is the folder of the pictures themselves. Give the masks a folder of their own, or "
            f"say in {where}.names how they are called, such as {NAME_MARK}-masklabel."
        )
    try:
        found = scan(folder, (), index_path, progress, noun="mask folder")
    except UserError as error:
        raise UserError(f"{where}.path: {error}") from error
    pictures = without_masks(pictures, folder, naming)
    items, wrong = _matched(pictures, found, naming)
    if wrong:
        more = f" {len(wrong) - 3} more masks have such problems." if len(wrong) > 3 else ""
        raise UserError(f"{where}.path: {' '.join(wrong[:3])}{more}")
    if not items:
        example = pictures.items[0].path
        raise UserError(
            f"{where}.path: none of the {len(found.items)} pictures in {folder} is called like the mask of a picture "
            f"in {pictures.root}; that of {example} would be {_mask_name(example, naming)}.png or with another ending."
        )
    missing = tuple(item.path for item in pictures.items if item.path not in items)
    return pictures, Masks(folder, items, ContentHashes.beside(index_path, folder), False, missing)


def without_masks(pictures: Scan, folder: Path, naming: str) -> Scan:
    """A dataset without the masks that lie in it: those in a folder below it, or called as masks are in the same one.

    Raises UserError if nothing is left.
    """
    root, folder = pictures.root.resolve(), folder.resolve()
    if not folder.is_relative_to(root):
        return pictures
    below = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
    before, _, behind = naming.partition(NAME_MARK)

    def is_mask(path: str) -> bool:
        if below:
            return path.startswith(below)
        stem = Path(path).stem
        return stem.startswith(before) and stem.endswith(behind) and len(stem) > len(before) + len(behind)

    items = tuple(item for item in pictures.items if not is_mask(item.path))
    if not items:
        raise UserError(f"All pictures in {pictures.root} are masks; nothing is left to train on.")
    problems = tuple(problem for problem in pictures.problems if not is_mask(problem.path))
    return dataclasses.replace(pictures, items=items, problems=problems)


def _mask_name(picture: str, naming: str) -> str:
    """The mask's relative path without its ending."""
    folder, slash, name = picture.rpartition("/")
    return folder + slash + naming.replace(NAME_MARK, name.rpartition(".")[0])


def _matched(pictures: Scan, found: Scan, naming: str) -> tuple[dict[str, Item], list[str]]:
    """Each picture's mask, and a sentence for each that cannot be used."""
    good = {item.path: item for item in found.items}
    broken = {problem.path: problem.message for problem in found.problems}
    by_name: dict[str, list[str]] = {}
    for path in (*good, *broken):
        by_name.setdefault(path.rpartition(".")[0], []).append(path)
    items, wrong = {}, []
    for picture in pictures.items:
        name = _mask_name(picture.path, naming)
        masks = by_name.get(name, [])
        same_ending = f"{name}.{picture.path.rpartition('.')[2]}"
        chosen = same_ending if same_ending in masks else min(masks, default=None)
        if chosen is None:
            continue
        if chosen != same_ending and len(masks) > 1:
            wrong.append(f"{picture.path} has several masks: {', '.join(sorted(masks))}; keep one.")
        elif chosen in broken:
            wrong.append(broken[chosen])
        elif (good[chosen].width, good[chosen].height) != (picture.width, picture.height):
            wrong.append(
                f"{chosen} has {good[chosen].width}x{good[chosen].height} pixels, but its picture {picture.path} has "
                f"{picture.width}x{picture.height}; make them equal."
            )
        else:
            items[picture.path] = good[chosen]
    return items, wrong
