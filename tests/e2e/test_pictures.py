"""Pictures of every kind train, with the right pixels; those that cannot be used are named and stop nothing."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from loratory.runs import RunFolder
from tests.e2e.jobs import changed, events, losses, train
from tests.photos import PHOTOS, photo

pytestmark = pytest.mark.slow

SIDE = 64  # the training size: nothing is resized, so pixels can be compared one by one


def square(number: int) -> NDArray[np.uint8]:
    name, crop, _ = PHOTOS[number]
    return np.asarray(photo(name, crop, 256).convert("RGB").resize((SIDE, SIDE)))


def plain(path: Path) -> NDArray[Any]:
    Image.fromarray(square(0)).save(path.with_suffix(".png"))
    return square(0)


def turned_by_exif(path: Path) -> NDArray[Any]:
    """A camera held upright: stored lying on its side, with orientation 6 (turn right to see it)."""
    upright = square(1)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(upright).copy()).save(path.with_suffix(".webp"), lossless=True, exif=exif)
    return upright


def grey(path: Path) -> NDArray[Any]:
    levels = np.asarray(Image.fromarray(square(2)).convert("L"))
    Image.fromarray(levels).save(path.with_suffix(".png"))
    return np.stack([levels] * 3, axis=-1)


def cmyk(path: Path) -> NDArray[Any]:
    """Ink on paper: red is what cyan and black leave, and so on."""
    ink = np.dstack([255 - square(3), np.full((SIDE, SIDE), 40)]).astype(np.uint8)
    Image.frombytes("CMYK", (SIDE, SIDE), ink.tobytes()).save(path.with_suffix(".jpg"), quality=100, subsampling=0)
    return (255.0 - ink[..., :3]) * (255 - 40) / 255


def palette(path: Path) -> NDArray[Any]:
    few = Image.fromarray(square(4)).quantize(16)
    few.save(path.with_suffix(".png"))
    colours = np.array(few.getpalette()).reshape(-1, 3)
    return colours[np.asarray(few)]


def alpha(path: Path) -> NDArray[Any]:
    """Half of it is clear, and clear means white."""
    opacity = np.zeros((SIDE, SIDE), np.uint8)
    opacity[:, : SIDE // 2] = 255
    Image.fromarray(np.dstack([square(0)[::-1], opacity])).save(path.with_suffix(".png"))
    return np.where(opacity[..., None] == 255, square(0)[::-1], 255)


def sixteen_bits(path: Path) -> NDArray[Any]:
    levels = np.linspace(0, 65535, SIDE * SIDE).astype(np.uint16).reshape(SIDE, SIDE)
    Image.fromarray(levels).save(path.with_suffix(".png"))
    return np.stack([levels / 257] * 3, axis=-1)


KINDS = {plain: 0, turned_by_exif: 0, grey: 0, cmyk: 4, palette: 0, alpha: 0, sixteen_bits: 1}
"""How many of 256 levels may differ: JPEG loses some, rounding half a one."""


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[Any]]:
    """Every picture that the autoencoder gets, as levels 0..255 (H, W, 3)."""
    from loratory.training import cache, loop

    pictures: list[NDArray[Any]] = []
    for module in (cache, loop):
        real = module.to_model_range

        def watched(pixels: Any, real: Any = real) -> Any:
            ready = real(pixels)
            pictures.extend(((ready + 1) * 127.5).permute(0, 2, 3, 1).numpy())
            return ready

        monkeypatch.setattr(module, "to_model_range", watched)
    return pictures


def closest(expected: NDArray[Any], pictures: list[NDArray[Any]]) -> float:
    return min(float(np.abs(picture - expected).max()) for picture in pictures)


@pytest.mark.parametrize("latents", ["disk", "off"])
def test_every_kind_of_picture(latents: str, make_job: Callable, tmp_path: Path, seen: list[NDArray[Any]]) -> None:
    """They are trained as a person sees them, once each in an epoch, cached or not."""
    folder = tmp_path / "mine"
    folder.mkdir()
    expected = {kind: kind(folder / kind.__name__) for kind in KINDS}
    run = train(
        make_job("sd15", {"datasets.0.path": str(folder), "duration": {"epochs": 1}, "caching.latents": latents})
    )
    assert len(losses(run)) == len(KINDS)
    assert np.isfinite(losses(run)).all()
    found = {kind.__name__: closest(pixels, seen) for kind, pixels in expected.items()}
    assert {name: miss for name, miss in found.items() if miss > 0.01 + KINDS[globals()[name]]} == {}
    assert len(seen) == len(KINDS)
    assert "picture_left_out" not in [event.kind for event in events(run)]


def damaged_in_the_middle(photo_bytes: bytes) -> bytes:
    """Beginning and end are right, so that only decoding shows the damage."""
    middle = len(photo_bytes) // 2
    return photo_bytes[: middle - 200] + b"\x00" * 400 + photo_bytes[middle + 200 :]


@pytest.mark.parametrize("latents", ["memory", "off"])
def test_unusable_pictures_are_named(
    latents: str, make_job: Callable, job_file: Callable, loratory: Callable, tmp_path: Path, photos: Path
) -> None:
    """And the others train just as they do without them."""
    import shutil

    folder = shutil.copytree(photos, tmp_path / "photos")
    buffer = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)).save(buffer, "PNG")
    (folder / "cut.png").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    (folder / "damaged.png").write_bytes(damaged_in_the_middle(buffer.getvalue()))
    (folder / "letter.jpg").write_text("Dear reader, this is no picture.", encoding="utf-8")
    (folder / "empty.webp").write_bytes(b"")
    changes = {"datasets.0.path": str(folder), "caching.latents": latents}
    said = loratory("train", job_file(make_job("sd15", changes)))
    assert said.code == 0, said.text
    for name in ("cut.png", "damaged.png", "letter.jpg", "empty.webp"):
        (line,) = [line for line in said.text.splitlines() if name in line]
        assert "Left out: " in line
    assert "letter.jpg holds text, not a picture" in said.text
    run = RunFolder.open(tmp_path / "out" / "run")
    (left_out,) = [event.data for event in events(run) if event.kind == "picture_left_out"]
    assert left_out["path"] == "damaged.png"
    assert "Left out: " in run.log_path.read_text(encoding="utf-8")

    plain_job = make_job("sd15", {"datasets.0.path": str(photos), "caching.latents": latents}, output="plain")
    assert losses(run) == losses(train(changed(plain_job, {})))
