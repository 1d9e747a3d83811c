"""The before-and-after picture and the sample sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from loratory.demo.grid import before_after, sheet, wrap
from loratory.errors import UserError

LONG = "a very long prompt about a lory that sits at the left of a purple background and looks at the reader " * 3


def plain(colour: tuple[int, int, int], side: int = 64) -> Image.Image:
    return Image.new("RGB", (side, side), colour)


def area(path: Path, colour: tuple[int, int, int]) -> tuple[int, int, int, int, int]:
    """Pixel count and bounding box (left, top, right, bottom) of one exact colour."""
    with Image.open(path) as picture:
        rows, columns = np.nonzero((np.asarray(picture.convert("RGB")) == colour).all(axis=2))
    return len(rows), columns.min(), rows.min(), columns.max(), rows.max()


def test_before_after_puts_the_base_left_of_the_lora_in_the_row_of_the_prompt(tmp_path: Path) -> None:
    path = tmp_path / "new" / "before-after.png"
    bases, loras = [(250, 0, 0), (0, 250, 0)], [(0, 0, 250), (250, 0, 250)]
    before_after(["a lory", LONG], [plain(c) for c in bases], [plain(c) for c in loras], path)
    boxes = [area(path, colour) for colour in (*bases, *loras)]
    assert [box[0] for box in boxes] == [64 * 64] * 4
    base_1, base_2, lora_1, lora_2 = boxes
    assert base_1[1] == base_2[1] < base_1[3] < lora_1[1] == lora_2[1]
    assert base_1[2] == lora_1[2] < base_1[4] < base_2[2] == lora_2[2]
    with Image.open(path) as picture:
        dark = np.asarray(picture.convert("L"))[:, : base_1[1]] < 100
    assert dark[base_1[2] : base_1[4]].any() and dark[base_2[2] :].sum() > dark[base_1[2] : base_1[4]].sum()
    assert list(path.parent.iterdir()) == [path]


def test_sheet_keeps_the_order_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    colours = [(20 * i + 40, 10, 200 - 20 * i) for i in range(5)]
    sheet([f"prompt {i}" for i in range(5)], [plain(c) for c in colours], path, columns=3)
    boxes = [area(path, colour) for colour in colours]
    assert [box[0] for box in boxes] == [64 * 64] * 5
    corners = [(box[2], box[1]) for box in boxes]
    assert corners == sorted(corners)
    assert len({top for top, _ in corners}) == 2


@pytest.mark.parametrize("width", [30, 90, 240])
def test_wrapped_lines_fit_and_lose_nothing(width: int) -> None:
    font = ImageFont.load_default(15)
    assert isinstance(font, ImageFont.FreeTypeFont)
    text = LONG + " Donaudampfschifffahrtsgesellschaft"
    lines = wrap(text, width, font)
    assert all(font.getlength(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(lines)


@pytest.mark.parametrize(("prompts", "bases", "loras"), [(2, 1, 2), (1, 1, 0), (0, 0, 0)])
def test_lists_of_different_length_are_refused(tmp_path: Path, prompts: int, bases: int, loras: int) -> None:
    with pytest.raises(UserError, match=f"{prompts} prompts, {bases} pictures of the base and {loras} with the LoRA"):
        before_after(
            ["a"] * prompts, [plain((0, 0, 0))] * bases, [plain((0, 0, 0))] * loras, tmp_path / "before-after.png"
        )
    if bases != prompts:
        with pytest.raises(UserError, match="as many pictures as prompts"):
            sheet(["a"] * prompts, [plain((0, 0, 0))] * bases, tmp_path / "sheet.png")
    assert not list(tmp_path.iterdir())
