"""Small datasets for the tests, and what is in them."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from loratory.datasets.library import Dataset, Library
from loratory.datasets.shelf import Opened, Shelf


def picture_bytes(width: int = 64, height: int = 48, seed: int = 0, format_name: str = "PNG") -> bytes:
    """A picture of coarse noise, which no other seed looks like."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    stream = BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(stream, format_name)
    return stream.getvalue()


def make_dataset(name: str, captions: Mapping[str, str | bytes | None], **picture: int) -> Dataset:
    """A dataset in the home. `captions`: stem -> caption; None for no file."""
    dataset = Library().create(name)
    for number, (stem, caption) in enumerate(captions.items()):
        path = dataset.path / f"{stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture_bytes(seed=number, **picture))
        if caption is not None:
            data = caption.encode() if isinstance(caption, str) else caption
            (dataset.path / f"{stem}.txt").write_bytes(data)
    return dataset


def open_dataset(dataset: Dataset) -> Opened:
    """As a server has it in memory."""
    return Shelf().open(dataset, look=True)


def contents(root: Path, pattern: str = "*.txt") -> dict[str, bytes]:
    """All caption files, byte by byte."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob(pattern))}
