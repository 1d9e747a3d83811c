"""Decoding: pictures stored in every mode come back as the same sRGB pixels, damaged files as one clear error."""

import pickle
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import skimage.data
from PIL import Image

from loratory.data import images
from loratory.data.images import BrokenImage, decode, probe, size_after_orientation

PHOTOS = {
    name: np.ascontiguousarray(getattr(skimage.data, name)()[:200, :256]) for name in ("astronaut", "coffee", "chelsea")
}
PHOTO = PHOTOS["astronaut"]
GREY = np.ascontiguousarray(skimage.data.camera()[:200, :256])
ALPHA = np.add.outer(np.arange(200), np.arange(256)).astype(np.uint8)


def on_white(colour, alpha):
    weight = alpha[..., None].astype(float) / 255
    return colour * weight + 255 * (1 - weight)


def grey_to_rgb(grey):
    return np.stack([grey] * 3, axis=-1)


def save(path, image, **options):
    image.save(path, **options)
    return path


def worst(pixels, expected):
    assert pixels.dtype == np.uint8
    assert pixels.shape == expected.shape
    return np.abs(pixels.astype(float) - expected).max()


def png(width, height, depth, colour_type, rows, *chunks):
    """A PNG written by hand: rows are the raw bytes of each line."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    before = b"".join(chunk(kind, data) for kind, data, late in chunks if not late)
    after = b"".join(chunk(kind, data) for kind, data, late in chunks if late)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", data) + after + chunk(b"IEND", b"")


# --- modes ---


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize(
    ("suffix", "options", "tolerance"),
    [
        (".png", {}, 0),
        (".bmp", {}, 0),
        (".webp", {"lossless": True}, 0),
        (".tif", {}, 0),
        (".jpg", {"quality": 100, "subsampling": 0}, 6),
        (".jpg", {"quality": 100, "subsampling": 0, "progressive": True}, 6),
    ],
)
def test_photographs_in_each_format(tmp_path, name, suffix, options, tolerance):
    pixels = decode(save(tmp_path / f"a{suffix}", Image.fromarray(PHOTOS[name]), **options))
    assert worst(pixels, PHOTOS[name]) <= tolerance
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable


def with_alpha(colour):
    return np.concatenate([colour if colour.ndim == 3 else colour[..., None], ALPHA[..., None]], axis=-1)


def indexed(transparent):
    """A palette picture by hand: each index has a known colour, and index 7 may be transparent."""
    palette = np.random.default_rng(3).integers(0, 256, (256, 3), dtype=np.uint8)
    image = Image.fromarray(GREY, mode=None)
    image = Image.frombytes("P", (256, 200), GREY.tobytes())
    image.putpalette(palette.tobytes())
    expected = palette[GREY].astype(float)
    if transparent:
        expected[GREY == 7] = 255
    return image, expected


MODES = {
    "L": lambda: (Image.fromarray(GREY), grey_to_rgb(GREY), ".png", {}),
    "1": lambda: (Image.fromarray(GREY > 128), grey_to_rgb((GREY > 128) * 255), ".png", {}),
    "RGBA": lambda: (Image.fromarray(with_alpha(PHOTO)), on_white(PHOTO, ALPHA), ".png", {}),
    "RGBA webp": lambda: (
        Image.fromarray(with_alpha(PHOTO)), on_white(PHOTO, ALPHA), ".webp", {"lossless": True, "exact": True}
    ),
    "LA": lambda: (Image.fromarray(with_alpha(GREY)), on_white(grey_to_rgb(GREY), ALPHA), ".png", {}),
    "P": lambda: (*indexed(False), ".png", {}),
    "P transparent": lambda: (*indexed(True), ".png", {"transparency": 7}),
    "P gif": lambda: (*indexed(False), ".gif", {}),
    "L key": lambda: (
        Image.fromarray(GREY), np.where(grey_to_rgb(GREY) == 20, 255, grey_to_rgb(GREY)), ".png", {"transparency": 20}
    ),
    "I;16": lambda: (Image.fromarray(GREY.astype(np.uint16) * 257), grey_to_rgb(GREY), ".png", {}),
    "I;16 tif": lambda: (Image.fromarray(GREY.astype(np.uint16) * 257), grey_to_rgb(GREY), ".tif", {}),
    "F 0..1": lambda: (Image.fromarray((GREY / 255).astype(np.float32)), grey_to_rgb(GREY), ".tif", {}),
    "F 0..255": lambda: (Image.fromarray(GREY.astype(np.float32)), grey_to_rgb(GREY), ".tif", {}),
    "I 0..255": lambda: (Image.fromarray(GREY.astype(np.int32)), grey_to_rgb(GREY), ".tif", {}),
    "I 0..65535": lambda: (Image.fromarray(GREY.astype(np.int32) * 257), grey_to_rgb(GREY), ".tif", {}),
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_every_mode(tmp_path, mode):
    image, expected, suffix, options = MODES[mode]()
    path = save(tmp_path / f"a{suffix}", image, **options)
    # The only rounding is that of laying something half transparent on white.
    assert worst(decode(path), expected) <= (1 if "A" in mode else 0.5 if mode.startswith("F") else 0)
    assert size_after_orientation(path) == probe(path) == (256, 200)


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk(tmp_path, adobe):
    """Ink amounts: red is what neither cyan nor black take away."""
    inks = np.stack([GREY, GREY[::-1], GREY[:, ::-1], GREY // 3], axis=-1)
    expected = (255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:].astype(float)) / 255
    suffix = ".jpg" if adobe else ".tif"  # Adobe's marker, which Pillow writes, says that a JPEG's inks are inverted
    options = {"quality": 100, "subsampling": 0} if adobe else {}
    path = save(tmp_path / f"a{suffix}", Image.fromarray(inks, mode="CMYK"), **options)
    if adobe:
        assert b"Adobe" in path.read_bytes()[:200]
    assert worst(decode(path), expected) <= (8 if adobe else 1)


LEVELS = np.random.default_rng(2).integers(0, 65536, (20, 30, 4))


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bit_png(tmp_path, colour_type, channels):
    """Grey, RGB, grey with alpha, RGB with alpha, with levels that use all 16 bits."""
    levels = LEVELS[..., :channels]
    path = tmp_path / "a.png"
    path.write_bytes(png(30, 20, 16, colour_type, [row.astype(">u2").tobytes() for row in levels]))
    exact = levels / 65535
    colour = exact[..., :1].repeat(3, axis=-1) if channels < 3 else exact[..., :3]
    alpha = exact[..., -1:] if channels in {2, 4} else 1.0
    expected = 255 * (colour * alpha + 1 - alpha)
    # Grey is rounded to the nearest level; of the others Pillow keeps the high byte, and alpha doubles that error.
    assert worst(decode(path), expected) <= {1: 0.5, 3: 1, 2: 2, 4: 2}[channels]


def test_transparent_colour_of_a_16_bit_png(tmp_path):
    colours = np.array([[[0x1234, 0x5678, 0x9ABC], [0xFF00, 0x0100, 0x8000]]])
    key = struct.pack(">HHH", 0x1234, 0x5678, 0x9ABC)
    path = tmp_path / "a.png"
    path.write_bytes(png(2, 1, 16, 2, [colours.astype(">u2").tobytes()], (b"tRNS", key, False)))
    assert decode(path)[0].tolist() == [[255, 255, 255], [255, 1, 128]]
    grey = np.array([[0x1234, 0xFF00]])
    path.write_bytes(png(2, 1, 16, 0, [grey.astype(">u2").tobytes()], (b"tRNS", key[:2], False)))
    assert decode(path)[0].tolist() == [[255, 255, 255], [254, 254, 254]]


@pytest.mark.parametrize("values", [[-0.5, 1.0], [0.0, 70000.0], [0.0, float("nan")], [0.0, float("inf")]])
def test_grey_levels_without_a_usual_range_are_refused(tmp_path, values):
    path = save(tmp_path / "a.tif", Image.fromarray(np.array([values], dtype=np.float32)))
    with pytest.raises(BrokenImage, match=r"a\.tif has grey levels from"):
        decode(path)


def test_an_unsupported_colour_mode_is_refused(tmp_path):
    path = save(tmp_path / "a.tif", Image.new("LAB", (4, 4)))
    with pytest.raises(BrokenImage, match=r"colour mode LAB.*save it as RGB"):
        decode(path)


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    for suffix in (".webp", ".gif"):
        path = save(tmp_path / f"a{suffix}", frames[0], save_all=True, append_images=frames[1:])
        assert worst(decode(path), np.broadcast_to(np.array([255, 0, 0]), (8, 8, 3))) <= 2


# --- orientation ---

# How the stored pixels become the upright ones, by the EXIF standard's table.
UPRIGHT = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).transpose(1, 0, 2),
    8: lambda pixels: np.rot90(pixels, 1),
    0: lambda pixels: pixels,
    9: lambda pixels: pixels,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".jpg"])
def test_exif_orientation(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == ".webp" else {"quality": 100} if suffix == ".jpg" else {}
    path = save(tmp_path / f"a{suffix}", Image.fromarray(PHOTO), exif=exif, **options)
    expected = UPRIGHT[orientation](PHOTO)
    difference = np.abs(decode(path).astype(float) - expected)
    assert difference.mean() < (3 if suffix == ".jpg" else 1e-9)
    assert size_after_orientation(path) == probe(path) == (expected.shape[1], expected.shape[0])


def test_orientation_behind_the_pixels_of_a_png(tmp_path):
    exif = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0112, 3, 1, 6) + bytes(4)
    rows = [bytes([1, 2, 3, 4, 5, 6]), bytes([7, 8, 9, 10, 11, 12]), bytes(6)]
    path = tmp_path / "a.png"
    for late in (False, True):
        path.write_bytes(png(2, 3, 8, 2, rows, (b"eXIf", exif, late)))
        assert size_after_orientation(path) == probe(path) == (3, 2)
        assert decode(path).tolist() == [[[0, 0, 0], [7, 8, 9], [1, 2, 3]], [[0, 0, 0], [10, 11, 12], [4, 5, 6]]]


def test_headers_are_read_without_decoding(tmp_path, monkeypatch):
    paths = [save(tmp_path / f"a{suffix}", Image.fromarray(PHOTO)) for suffix in (".jpg", ".png", ".bmp", ".webp")]
    for kind in {type(Image.open(path)) for path in paths}:
        monkeypatch.setattr(kind, "load", lambda self: pytest.fail("decoded"))
    for path in paths:
        assert size_after_orientation(path) == probe(path) == (256, 200)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_broken_exif_is_no_reason_to_lose_the_picture(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}", Image.fromarray(PHOTO), exif=b"Exif\0\0" + b"nonsense" * 5)
    notes = []
    pixels = decode(path, notes.append)
    assert pixels.shape == PHOTO.shape
    assert size_after_orientation(path) == probe(path) == (256, 200)
    # In a JPEG Pillow passes over it by itself and says nothing.
    assert len(notes) == (suffix != ".jpg")
    assert all(f"a{suffix} has broken EXIF data" in note for note in notes)


# --- colour profiles ---

ADOBE_RGB = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
SRGB_D50 = np.array([(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)])
ADOBE_GAMMA = 563 / 256


def fixed(*values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def icc_profile(space, tags):
    """An ICC profile (version 2.1, display) from its tags, by the specification's layout."""
    white = b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0none\0", b"wtpt": white, **tags}
    offset, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    header = struct.pack(">I4sI4s4s4s", offset + len(body), bytes(4), 0x02100000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249) + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + body


def curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def rgb_profile(primaries, gamma):
    points = {
        name: b"XYZ \0\0\0\0" + fixed(*xyz) for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)
    }
    return icc_profile(b"RGB ", points | {name: curve(gamma) for name in (b"rTRC", b"gTRC", b"bTRC")})


def srgb_curve(linear):
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def from_adobe_rgb(pixels):
    xyz = (pixels / 255) ** ADOBE_GAMMA @ np.array(ADOBE_RGB)
    return 255 * srgb_curve(xyz @ np.linalg.inv(SRGB_D50))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_adobe_rgb_becomes_srgb(tmp_path, suffix):
    profile = rgb_profile(ADOBE_RGB, ADOBE_GAMMA)
    options = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"a{suffix}", Image.fromarray(PHOTO), icc_profile=profile, **options)
    stored = np.asarray(Image.open(path)).astype(float)
    expected = from_adobe_rgb(stored)
    assert np.abs(expected - stored).max() > 15, "the profile must matter for the test to say anything"
    assert worst(decode(path), expected) <= 2.5


def test_profiles_reach_palettes_and_transparency(tmp_path):
    profile = rgb_profile(ADOBE_RGB, ADOBE_GAMMA)
    path = save(tmp_path / "a.png", Image.fromarray(with_alpha(PHOTO)), icc_profile=profile)
    assert worst(decode(path), on_white(from_adobe_rgb(PHOTO), ALPHA)) <= 3
    image, expected = indexed(False)
    path = save(tmp_path / "b.png", image, icc_profile=profile)
    assert worst(decode(path), from_adobe_rgb(expected)) <= 2.5


@pytest.mark.parametrize("deep", [False, True])
def test_grey_profile(tmp_path, deep):
    image = Image.fromarray(GREY.astype(np.uint16) * 257) if deep else Image.fromarray(GREY)
    path = save(tmp_path / "a.png", image, icc_profile=icc_profile(b"GRAY", {b"kTRC": curve(1.0)}))
    assert worst(decode(path), grey_to_rgb(255 * srgb_curve(GREY / 255))) <= 1.5


def test_an_rgb_profile_on_a_grey_picture_counts_by_its_grey_axis(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(GREY), icc_profile=rgb_profile(SRGB_D50.tolist(), 1.0))
    assert worst(decode(path), grey_to_rgb(255 * srgb_curve(GREY / 255))) <= 1.5


def test_a_profile_close_to_srgb_counts_too(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(PHOTO), icc_profile=rgb_profile(SRGB_D50.tolist(), 2.0))
    expected = 255 * srgb_curve((PHOTO / 255) ** 2.0)
    assert 4 < np.abs(expected - PHOTO).max() < 20
    assert worst(decode(path), expected) <= 1.5


def test_srgb_under_any_name_leaves_every_pixel_alone(tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = save(tmp_path / "a.png", Image.fromarray(PHOTO), icc_profile=profile)
    assert b"iCCP" in path.read_bytes()
    assert np.array_equal(decode(path), PHOTO)


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (b"this is no profile", "has a colour profile that cannot be used"),
        (rgb_profile(ADOBE_RGB, ADOBE_GAMMA)[:200], "has a colour profile that cannot be used"),
        (icc_profile(b"GRAY", {b"kTRC": curve(2.0)}), "is RGB but its colour profile is for GRAY"),
        (icc_profile(b"CMYK", {}), "is RGB but its colour profile is for CMYK"),
    ],
)
def test_a_useless_profile_is_reported_and_keeps_the_pixels(tmp_path, profile, words):
    path = save(tmp_path / "a.png", Image.fromarray(PHOTO), icc_profile=profile)
    notes = []
    assert np.array_equal(decode(path, notes.append), PHOTO)
    assert len(notes) == 1
    assert words in notes[0]
    assert "a.png" in notes[0]


# --- damage ---


def stored(suffix, **options):
    stream = BytesIO()
    Image.fromarray(PHOTO[:64, :64]).save(
        stream, format={".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:]), **options
    )
    return stream.getvalue()


FILES = {
    "jpeg": (".jpg", stored(".jpg")),
    "progressive jpeg": (".jpg", stored(".jpg", progressive=True)),
    "png": (".png", stored(".png")),
    "webp": (".webp", stored(".webp")),
    "lossless webp": (".webp", stored(".webp", lossless=True)),
    "bmp": (".bmp", stored(".bmp")),
    "tiff": (".tif", stored(".tif")),
    "gif": (".gif", stored(".gif")),
}


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", FILES)
def test_cut_off_files_are_broken_for_the_decoder_and_for_the_probe(tmp_path, kind):
    suffix, content = FILES[kind]
    path = tmp_path / f"a{suffix}"
    for length in (0, 1, 10, len(content) // 4, len(content) // 2, len(content) * 9 // 10):
        path.write_bytes(content[:length])
        for look in (decode, probe):
            with pytest.raises(BrokenImage) as caught:
                look(path)
            assert str(caught.value).startswith(str(path)), length
            assert caught.value.path == path
            assert caught.value.reason.endswith(".")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", FILES)
def test_changed_bytes_give_a_picture_or_a_broken_image_and_nothing_else(tmp_path, kind):
    suffix, content = FILES[kind]
    path = tmp_path / f"a{suffix}"
    random = np.random.default_rng(7)
    broken = 0
    for _ in range(60):
        changed = bytearray(content)
        # Mostly in the header, where the structure is.
        for place in random.integers(0, random.choice([40, 200, len(content)]), random.integers(1, 5)):
            changed[place] = random.integers(0, 256)
        path.write_bytes(bytes(changed))
        for look in (decode, probe):
            try:
                look(path, *([lambda _: None] if look is decode else []))
            except BrokenImage:
                broken += 1
    assert broken > 0


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(BrokenImage, match=r"gone\.png cannot be opened: No such file"):
        decode(tmp_path / "gone.png")
    with pytest.raises(BrokenImage, match=r"cannot be opened"):
        decode(tmp_path)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(100_000, 100_000, 1, 0, [bytes(10)]))
    for look in (decode, probe, size_after_orientation):
        with pytest.raises(BrokenImage, match=r"bomb\.png has far too many pixels"):
            look(path)


def test_a_broken_image_survives_the_way_between_processes(tmp_path):
    error = pickle.loads(pickle.dumps(BrokenImage(tmp_path / "a.png", "is empty.")))
    assert (error.path, error.reason, str(error)) == (
        tmp_path / "a.png",
        "is empty.",
        f"{tmp_path / 'a.png'} is empty.",
    )


def test_a_mistake_of_ours_does_not_pass_for_a_damaged_file(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", Image.fromarray(PHOTO))
    monkeypatch.setattr(images, "_to_eight_bits", lambda image, path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        decode(path)
