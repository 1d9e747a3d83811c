"""Draw pictures in a grid with their prompts beside or below them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from loratory.errors import UserError
from loratory.files import write_atomic

INK, PAPER, FAINT = (32, 32, 38), (255, 255, 255), (110, 110, 118)
GAP = 10
FONT_SIZE = 15
LINE_HEIGHT = 20
LABEL_WIDTH = 220


def wrap(text: str, width: float, font: ImageFont.FreeTypeFont) -> list[str]:
    """Break a text into lines at most `width` pixels wide; a longer word is broken inside."""
    lines = [""]
    for word in text.split():
        rest = word
        if lines[-1] and font.getlength(f"{lines[-1]} {rest}") <= width:
            lines[-1] += f" {rest}"
            continue
        if lines[-1]:
            lines.append("")
        while font.getlength(rest) > width and len(rest) > 1:
            cut = next((n for n in range(len(rest) - 1, 1, -1) if font.getlength(rest[:n]) <= width), 1)
            lines[-1], rest = rest[:cut], rest[cut:]
            lines.append("")
        lines[-1] = rest
    return lines


def _font() -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(FONT_SIZE)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise UserError(
            "this Pillow was built without FreeType and cannot write labels; install Pillow from its wheels"
        )
    return font


def _write(picture: Image.Image, lines: Sequence[str], x: int, y: int, colour: tuple[int, int, int]) -> None:
    draw = ImageDraw.Draw(picture)
    for i, line in enumerate(lines):
        draw.text((x, y + i * LINE_HEIGHT), line, fill=colour, font=_font())


def write_png(picture: Image.Image, path: Path) -> None:
    """Write a picture; the folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda stream: picture.save(stream, format="PNG", optimize=True))


def _cell_size(images: Sequence[Image.Image]) -> tuple[int, int]:
    return max(image.width for image in images), max(image.height for image in images)


def before_after(
    prompts: Sequence[str], base_images: Sequence[Image.Image], lora_images: Sequence[Image.Image], path: Path
) -> None:
    """Write a PNG with one row per prompt: the prompt, the base model's picture, the picture with the LoRA.

    Raises UserError when the three lists differ in length or are empty.
    """
    if not len(prompts) == len(base_images) == len(lora_images) > 0:
        raise UserError(
            f"a before-and-after picture needs as many pictures as prompts, and at least one; got {len(prompts)} "
            f"prompts, {len(base_images)} pictures of the base and {len(lora_images)} with the LoRA"
        )
    cell_width, cell_height = _cell_size([*base_images, *lora_images])
    labels = [wrap(prompt, LABEL_WIDTH, _font()) for prompt in prompts]
    heights = [max(cell_height, len(lines) * LINE_HEIGHT) for lines in labels]
    columns = [GAP, LABEL_WIDTH + 2 * GAP, LABEL_WIDTH + cell_width + 3 * GAP]
    top = LINE_HEIGHT + 2 * GAP
    grid = Image.new("RGB", (columns[2] + cell_width + GAP, top + sum(heights) + GAP * len(heights)), PAPER)
    for x, title in zip(columns, ("prompt", "base model", "with the LoRA"), strict=True):
        _write(grid, [title], x, GAP, FAINT)
    y = top
    for lines, base, lora, height in zip(labels, base_images, lora_images, heights, strict=True):
        _write(grid, lines, columns[0], y + (height - len(lines) * LINE_HEIGHT) // 2, INK)
        grid.paste(base, (columns[1], y))
        grid.paste(lora, (columns[2], y))
        y += height + GAP
    write_png(grid, path)


def sheet(prompts: Sequence[str], images: Sequence[Image.Image], path: Path, columns: int = 8) -> None:
    """Write a PNG with the pictures in rows, each with its prompt below it.

    Raises UserError when the lists differ in length or are empty.
    """
    if not len(prompts) == len(images) > 0:
        raise UserError(
            f"a sheet needs as many pictures as prompts, and at least one; got {len(prompts)} prompts and "
            f"{len(images)} pictures"
        )
    width, height = _cell_size(images)
    labels = [wrap(prompt, width, _font()) for prompt in prompts]
    row_height = height + max(map(len, labels)) * LINE_HEIGHT + 2 * GAP
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    grid = Image.new("RGB", (columns * (width + GAP) + GAP, rows * row_height + GAP), PAPER)
    for i, (lines, image) in enumerate(zip(labels, images, strict=True)):
        x, y = GAP + i % columns * (width + GAP), GAP + i // columns * row_height
        grid.paste(image, (x, y))
        _write(grid, lines, x, y + height + 2, INK)
    write_png(grid, path)
