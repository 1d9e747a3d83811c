"""Which mask belongs to which picture, what it says, and what cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loratory.config.masks import MasksConfig
from loratory.data.images import BrokenImage, decode, decode_alpha, decode_mask, has_alpha
from loratory.data.masks import Masks, alpha_masks, folder_masks
from loratory.data.scan import ContentHashes, Scan, content_hash, scan
from loratory.errors import UserError

SIZE = (40, 32)
RANDOM = np.random.default_rng(3)
COLOURS = RANDOM.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
LEVELS = RANDOM.integers(0, 256, (SIZE[1], SIZE[0]), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray = COLOURS, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def find(tmp_path: Path, **config: Any) -> tuple[Scan, Masks]:
    settings = MasksConfig(**{"path": str(tmp_path / "masks")} | config)
    return folder_masks(scan(tmp_path / "photos"), settings, tmp_path / "index.json", "datasets.0.masks")


# What a file says --------------------------------------------------------------------------------------------


def test_a_mask_is_the_red_channel_whatever_it_is_stored_in(tmp_path: Path) -> None:
    others = RANDOM.integers(0, 256, (*LEVELS.shape, 2), dtype=np.uint8)
    files = {
        "grey.png": LEVELS, "colour.bmp": np.dstack([LEVELS, others]), "deep.png": LEVELS.astype(np.uint16) * 257,
        "grey.tif": LEVELS, "white.png": np.dstack([LEVELS] * 3 + [np.full_like(LEVELS, 255)]),
    }  # fmt: skip
    for name, pixels in files.items():
        np.testing.assert_array_equal(decode_mask(save(tmp_path / name, pixels)), LEVELS, err_msg=name)
    hard = Image.fromarray(LEVELS > 127)
    hard.save(tmp_path / "bits.png")
    np.testing.assert_array_equal(decode_mask(tmp_path / "bits.png"), 255 * (LEVELS > 127))


def test_what_is_transparent_in_a_mask_is_black(tmp_path: Path) -> None:
    opacity = LEVELS[::-1]
    path = save(tmp_path / "cut.png", np.dstack([LEVELS] * 3 + [opacity]))
    expected = LEVELS.astype(float) * opacity / 255
    assert np.abs(decode_mask(path) - expected).max() < 1


def test_levels_are_no_colours(tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    np.testing.assert_array_equal(decode_mask(save(tmp_path / "a.png", LEVELS, icc_profile=profile)), LEVELS)


def test_masks_are_turned_as_pictures_are(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = np.rot90(LEVELS).copy()
    path = save(tmp_path / "a.png", np.dstack([lying] * 4), exif=exif)
    np.testing.assert_array_equal(decode_alpha(path), LEVELS)
    assert decode(path).shape == (*LEVELS.shape, 3)
    np.testing.assert_array_equal(decode_mask(save(tmp_path / "b.png", lying, exif=exif)), LEVELS)


def test_an_alpha_channel_and_the_colours_below_it(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.dstack([COLOURS, LEVELS]))
    np.testing.assert_array_equal(decode_alpha(path), LEVELS)
    np.testing.assert_array_equal(decode(path, opaque=True), COLOURS)
    assert not np.array_equal(decode(path), COLOURS), "laid on white as ever"
    plain = save(tmp_path / "b.png")
    assert (decode_alpha(plain) == 255).all()
    np.testing.assert_array_equal(decode(plain, opaque=True), decode(plain))
    assert [has_alpha(path), has_alpha(plain)] == [True, False]
    few = Image.fromarray(COLOURS).quantize(4)
    few.save(tmp_path / "c.png", transparency=2)
    assert has_alpha(tmp_path / "c.png")
    np.testing.assert_array_equal(decode_alpha(tmp_path / "c.png"), np.where(np.asarray(few) == 2, 0, 255))


# Which file --------------------------------------------------------------------------------------------------


def test_masks_are_found_by_name_and_folder(tmp_path: Path) -> None:
    for name in ("a.png", "10_dog/a.jpg", "10_dog/b.webp", "c.d.png", "none.png"):
        save(tmp_path / "photos" / name)
    for name in ("a.bmp", "10_dog/a.png", "10_dog/b.webp", "10_dog/b.png", "c.d.jpg", "nobodys.png"):
        save(tmp_path / "masks" / name, LEVELS)
    pictures, masks = find(tmp_path)
    assert {picture: mask.path for picture, mask in masks.items.items()} == {
        "a.png": "a.bmp", "10_dog/a.jpg": "10_dog/a.png", "10_dog/b.webp": "10_dog/b.webp", "c.d.png": "c.d.jpg",
    }  # fmt: skip
    assert masks.missing == ("none.png",)
    assert len(pictures.items) == 5
    assert masks.content("a.png") == content_hash(tmp_path / "masks" / "a.bmp")
    np.testing.assert_array_equal(masks.levels("a.png"), LEVELS)
    said = masks.report()
    assert said.startswith("1 of 5 pictures has no mask in ")
    assert said.endswith(" will be learned everywhere: none.png.")


def test_masks_may_lie_in_the_dataset(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.png"):
        save(tmp_path / "photos" / name)
        save(tmp_path / "photos" / "masks" / name, LEVELS)
    pictures, masks = find(tmp_path, path=str(tmp_path / "photos" / "masks"))
    assert [item.path for item in pictures.items] == list(masks.items) == ["a.png", "sub/b.png"]
    assert masks.report() == ""


def test_masks_may_lie_beside_their_pictures(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.png"):
        save(tmp_path / "photos" / name)
        save((tmp_path / "photos" / name).with_suffix("").with_name(name[-5] + "-masklabel.png"), LEVELS)
    save(tmp_path / "photos" / "gone-masklabel.png", LEVELS)  # its picture was deleted: it must not become one
    settings = {"path": str(tmp_path / "photos"), "names": "[name]-masklabel"}
    pictures, masks = find(tmp_path, **settings)
    assert {picture: mask.path for picture, mask in masks.items.items()} == {
        "a.png": "a-masklabel.png", "sub/b.png": "sub/b-masklabel.png",
    }  # fmt: skip
    assert [item.path for item in pictures.items] == ["a.png", "sub/b.png"]


def test_many_names_are_cut_short(tmp_path: Path) -> None:
    for number in range(15):
        save(tmp_path / "photos" / f"{number:02}.png")
    save(tmp_path / "masks" / "00.png", LEVELS)
    said = find(tmp_path)[1].report()
    assert said.startswith("14 of 15 pictures have no mask")
    assert said.endswith("01.png, 02.png, 03.png, 04.png, 05.png, 06.png, 07.png, 08.png, 09.png, 10.png and 4 more.")


def test_alpha_masks(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png", np.dstack([COLOURS, LEVELS]))
    save(tmp_path / "photos" / "b.png")
    pictures = scan(tmp_path / "photos")
    hashes = ContentHashes(tmp_path / "hashes.json", pictures.root)
    masks = alpha_masks(pictures, hashes, "datasets.0.masks")
    assert list(masks.items) == ["a.png"]
    assert masks.missing == ("b.png",)
    assert "no alpha channel" in masks.report()
    np.testing.assert_array_equal(masks.levels("a.png"), LEVELS)
    assert masks.content("a.png") == content_hash(tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "a.png").unlink()
    with pytest.raises(UserError, match=r"^datasets\.0\.masks\.alpha: no picture in .* has an alpha channel"):
        alpha_masks(scan(tmp_path / "photos"), hashes, "datasets.0.masks")


# What cannot be used -----------------------------------------------------------------------------------------


def missing(masks: Path) -> None:
    pass


def is_a_file(masks: Path) -> None:
    masks.write_text("a", encoding="utf-8")


def empty(masks: Path) -> None:
    masks.mkdir()


def matches_nothing(masks: Path) -> None:
    save(masks / "z.png", LEVELS)


def smaller(masks: Path) -> None:
    save(masks / "a.png", LEVELS[::2, ::2])


def turned(masks: Path) -> None:
    save(masks / "a.png", LEVELS.T)


def broken(masks: Path) -> None:
    save(masks / "b.png", LEVELS)
    (masks / "a.png").write_bytes((masks / "b.png").read_bytes()[:60])


def two(masks: Path) -> None:
    save(masks / "a.bmp", LEVELS)
    save(masks / "a.webp", LEVELS)


WRONG = {
    missing: "The mask folder .* does not exist", is_a_file: "The mask folder .* is a file",
    empty: "The mask folder .* holds no pictures", matches_nothing: r"none of the 1 pictures .* be sub/a\.png or with",
    smaller: r"sub/a\.png has 20x16 pixels, but its picture sub/a\.png has 40x32; make them equal\.",
    turned: r"sub/a\.png has 32x40 pixels", broken: r"sub/a\.png is damaged",
    two: r"sub/a\.png has several masks: sub/a\.bmp, sub/a\.webp; keep one\.",
}  # fmt: skip


@pytest.mark.parametrize("spoil", WRONG)
def test_what_cannot_be_used_is_named_with_the_field(tmp_path: Path, spoil: Any) -> None:
    save(tmp_path / "photos" / "sub" / "a.png")
    if spoil in (missing, is_a_file, empty, matches_nothing):
        spoil(tmp_path / "masks")
    else:
        save(tmp_path / "masks" / "other.png", LEVELS)
        spoil(tmp_path / "masks" / "sub")
    with pytest.raises(UserError, match=rf"^datasets\.0\.masks\.path: .*{WRONG[spoil]}"):
        find(tmp_path)


def test_many_bad_masks_make_one_message(tmp_path: Path) -> None:
    for number in range(9):
        save(tmp_path / "photos" / f"{number}.png")
        save(tmp_path / "masks" / f"{number}.png", LEVELS[:16])
    with pytest.raises(
        UserError, match=r"^datasets\.0\.masks\.path: 0\.png .*2\.png .* 6 more masks have such problems\.$"
    ):
        find(tmp_path)


def test_pictures_cannot_be_their_own_masks(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png")
    with pytest.raises(UserError, match="the folder of the pictures themselves"):
        find(tmp_path, path=str(tmp_path / "photos"))
    with pytest.raises(UserError, match="nothing is left to train on"):
        save(tmp_path / "others" / "a-masklabel.png")
        folder_masks(
            scan(tmp_path / "others"), MasksConfig(path=str(tmp_path / "others"), names="[name]-masklabel"),
            tmp_path / "index.json", "datasets.0.masks",
        )  # fmt: skip


def test_damage_in_the_middle_shows_when_a_mask_is_read(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png")
    path = save(tmp_path / "masks" / "a.png", LEVELS)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path.write_bytes(data)
    _, masks = find(tmp_path)
    with pytest.raises(BrokenImage, match=r"a\.png is damaged"):
        masks.levels("a.png")
