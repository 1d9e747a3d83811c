"""Picture files become pixels: one decoder for everything that a dataset folder may hold."""

import logging
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageChops, ImageCms, UnidentifiedImageError

from loratory.errors import UserError

Note = Callable[[str], None]
Result = TypeVar("Result")

# Recognised by content, whatever the file's suffix says. "JPEG" includes the MPO of many phones and cameras.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")

_log = logging.getLogger(__name__)

# What Pillow raises on damaged bytes, besides OSError; all of them mean "this file cannot be decoded".
_DAMAGE = (
    SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, KeyError, TypeError, OverflowError,
    AttributeError, RuntimeError,
)  # fmt: skip

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = frozenset({5, 6, 7, 8})
_ALPHA = {"LA": "L", "La": "L", "PA": "RGB", "RGBA": "RGB", "RGBa": "RGB"}


class BrokenImage(UserError):
    """A picture file that cannot be used. `reason` is the message without the path in front."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type["BrokenImage"], tuple[Path, str]]:
        # An exception is rebuilt from its one message by default; this one must survive the way between processes.
        return BrokenImage, (self.path, self.reason)


def decode(path: Path, note: Note = _log.warning, *, opaque: bool = False) -> NDArray[np.uint8]:
    """The picture as uint8 (H, W, 3) sRGB, upright by its EXIF orientation; of an animation, the first frame.

    Transparency is laid on white; with `opaque` it is left out, so that the colours below it show. 16-bit levels are
    scaled to 8 bits by 257. 32-bit grey (TIFF) is read in the smallest usual range that holds all its values: 0..1
    (floats only), 0..255 or 0..65535. An embedded colour profile other than sRGB is applied (relative colorimetric,
    black point compensation); one that is broken or made for another kind of pixels is left out, the pixels stay, and
    `note` is called with a sentence that says so.
    Raises BrokenImage, which names the file.
    """
    image, profile = _load(path, note)
    return np.array(_to_srgb(image, profile, path, note, opaque), dtype=np.uint8)


def decode_small(path: Path, side: int) -> NDArray[np.uint8]:
    """As decode(), but shrunk so that no side is longer than `side` pixels; never enlarged. JPEG is read at a fraction
    of its size, so that large photos cost little. Raises BrokenImage."""

    def use(image: Image.Image, file: BinaryIO) -> tuple[Image.Image, bytes | None, int]:
        orientation = _orientation(image, path, _log.debug)
        if image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB"):
            image.draft(image.mode, (2 * side, 2 * side))
        image.load()
        if max(image.size) > side and image.mode in ("L", "RGB", "RGBA"):
            image.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=2.0)
        return image, image.info.get("icc_profile") or None, orientation

    image, profile, orientation = _read(path, use)
    turn = _UPRIGHT.get(orientation) if image.format != "TIFF" else None
    small = _to_srgb(image if turn is None else image.transpose(turn), profile, path, _log.debug, False)
    small.thumbnail((side, side), Image.Resampling.BOX)
    return np.array(small, dtype=np.uint8)


def decode_mask(path: Path) -> NDArray[np.uint8]:
    """A mask's levels as uint8 (H, W), upright like decode(): the red channel, and what is transparent counts as black.

    Red is what kohya's trainer takes; of a grey mask it is the brightness. Levels are no colours: a colour profile is
    left out. Raises BrokenImage.
    """
    image, _ = _load(path, _log.warning)
    colour, alpha = _split_alpha(_to_eight_bits(image, path))
    red = colour.convert("RGB").getchannel("R")
    return np.array(red if alpha is None else ImageChops.multiply(red, alpha), dtype=np.uint8)


def decode_alpha(path: Path) -> NDArray[np.uint8]:
    """How opaque a picture is, as uint8 (H, W), upright like decode(); 255 all over without an alpha channel.

    Raises BrokenImage.
    """
    image, _ = _load(path, _log.warning)
    _, alpha = _split_alpha(_to_eight_bits(image, path))
    return np.full(image.size[::-1], 255, dtype=np.uint8) if alpha is None else np.array(alpha, dtype=np.uint8)


def has_alpha(path: Path) -> bool:
    """Can parts of the picture be transparent? From the header alone. Raises BrokenImage."""
    return _read(path, lambda image, file: image.has_transparency_data)


def size_after_orientation(path: Path) -> tuple[int, int]:
    """(width, height) of what decode() will return, from the header alone. Raises BrokenImage."""
    return _read(path, lambda image, file: _upright_size(image, file, path, _log.warning))


def probe(path: Path) -> tuple[int, int]:
    """(width, height) like size_after_orientation(), and a check that the file has not been cut off.

    Reads the header and the few bytes that show where the file should end; only if these leave a doubt is the picture
    decoded. Damage in the middle shows only in decode(). Raises BrokenImage.
    """

    def look(image: Image.Image, file: BinaryIO) -> tuple[int, int]:
        size = _upright_size(image, file, path, _log.warning)
        position = file.tell()
        complete = _ends_properly(image.format, file)
        file.seek(position)
        if not complete:
            image.load()
        return size

    return _read(path, look)


def _read(path: Path, use: Callable[[Image.Image, BinaryIO], Result]) -> Result:
    """use(image, file) of the opened picture; whatever goes wrong in Pillow becomes a BrokenImage."""
    try:
        with path.open("rb") as file:
            try:
                image = Image.open(file, formats=FORMATS)
            except UnidentifiedImageError as error:
                raise BrokenImage(path, _what_it_is(file)) from error
            return use(image, file)
    except BrokenImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrokenImage(
            path, f"has far too many pixels to be a picture for training ({error}); shrink it."
        ) from error
    except OSError as error:
        if error.errno is not None:
            raise BrokenImage(path, f"cannot be opened: {error.strerror}; check the file and its rights.") from error
        raise BrokenImage(path, f"is damaged ({error}); replace it or remove it.") from error
    except _DAMAGE as error:
        raise BrokenImage(path, f"is damaged ({error or type(error).__name__}); replace it or remove it.") from error


def _load(path: Path, note: Note) -> tuple[Image.Image, bytes | None]:
    """The upright image in the mode it was stored in, and its colour profile."""

    def use(image: Image.Image, file: BinaryIO) -> tuple[Image.Image, bytes | None]:
        deep_key = image.format == "PNG" and "RGB;16B" in str(getattr(image, "tile", ""))
        image.load()
        key = image.info.get("transparency")
        if deep_key and isinstance(key, tuple):
            # Pillow keeps the high byte of 16-bit RGB but leaves the transparent colour at 16 bits.
            image.info["transparency"] = tuple(level >> 8 for level in key)
        turn = _UPRIGHT.get(_orientation(image, path, note))
        profile = image.info.get("icc_profile") or None
        return (image if turn is None else image.transpose(turn)), profile

    return _read(path, use)


# --- orientation ---


def _upright_size(image: Image.Image, file: BinaryIO, path: Path, note: Note) -> tuple[int, int]:
    if image.format == "PNG" and _png_layout(file)[1]:
        image.load()  # the orientation may stand behind the pixels
    width, height = image.size
    if image.format == "TIFF":
        return width, height  # Pillow turns TIFF by itself
    return (height, width) if _orientation(image, path, note) in _SWAPS_SIDES else (width, height)


def _orientation(image: Image.Image, path: Path, note: Note) -> int:
    """The EXIF orientation 1 to 8; 1 if there is none or it is broken."""
    try:
        # Of the base class: PNG's own getexif() decodes the whole picture, to find what may stand behind the pixels.
        found = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except (OSError, *_DAMAGE):
        note(f"{path} has broken EXIF data; it is used as it lies in the file, without turning.")
        return 1
    return found if found in _UPRIGHT else 1


# --- completeness ---


def _ends_properly(format_name: str | None, file: BinaryIO) -> bool:
    """Whether the file's structure shows that nothing is missing at its end. False means: not known, decode it."""
    size = file.seek(0, 2)
    file.seek(0)
    match format_name:
        case "JPEG" | "MPO":
            file.seek(max(0, size - 64))
            # The pixels' bytes cannot hold an end marker, but an embedded thumbnail can: so it must stand at the end.
            return file.read().rstrip(b"\0\r\n ").endswith(b"\xff\xd9")
        case "PNG":
            return _png_layout(file)[0]
        case "WEBP":
            return bool(int.from_bytes(file.read(8)[4:], "little") + 8 <= size)
        case "BMP":
            return bool(14 < int.from_bytes(file.read(6)[2:], "little") <= size)
        case _:
            return False


def _png_layout(file: BinaryIO) -> tuple[bool, bool]:
    """Walks over a PNG's chunks: (its end chunk is there, metadata stands behind the pixels). Keeps the position."""
    position = file.tell()
    size = file.seek(0, 2)
    offset, pixels_seen, late_metadata, complete = 8, False, False, False
    while offset + 12 <= size and not complete:
        file.seek(offset)
        length, kind = struct.unpack(">I4s", file.read(8))
        offset += 12 + length
        pixels_seen = pixels_seen or kind == b"IDAT"
        late_metadata = late_metadata or (pixels_seen and kind in {b"eXIf", b"iTXt", b"tEXt", b"zTXt"})
        complete = kind == b"IEND" and offset <= size
    file.seek(position)
    return complete, late_metadata


def _what_it_is(file: BinaryIO) -> str:
    """Why Pillow does not know this file, as the end of a sentence that begins with its name."""
    file.seek(0)
    head = file.read(512)
    if not head:
        return "is empty; replace it or remove it."
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS placeholder, not the picture itself; fetch the pictures with 'git lfs pull'."
    if head[4:8] == b"ftyp" and head[8:12] in {b"heic", b"heix", b"heif", b"mif1", b"msf1", b"avif", b"avis"}:
        return "is a HEIC or AVIF picture, which cannot be read here; convert it to JPEG or PNG."
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return "is a JPEG XL picture, which cannot be read here; convert it to JPEG or PNG."
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "is a web page, not a picture (a download that failed?); replace it or remove it."
    if b"\0" not in head and head.decode("utf-8", "replace").count("\ufffd") <= 1:
        # One replacement is allowed: the head may end in the middle of a letter.
        return "holds text, not a picture; replace it or remove it."
    return "is not a picture that can be read, or its beginning is damaged; replace it or remove it."


# --- colours ---


def _to_srgb(image: Image.Image, profile: bytes | None, path: Path, note: Note, opaque: bool) -> Image.Image:
    colour, alpha = _split_alpha(_to_eight_bits(image, path))
    if colour.mode not in {"L", "RGB", "CMYK"}:
        if colour.mode not in {"1", "P", "YCbCr"}:
            raise BrokenImage(
                path, f"is stored in the colour mode {colour.mode}, which is not supported; save it as RGB."
            )
        colour = colour.convert("L" if colour.mode == "1" else "RGB")
    if profile is not None:
        colour = _apply_profile(colour, profile, path, note)
    colour = colour.convert("RGB")
    if alpha is None or opaque:
        return colour
    white = Image.new("RGB", colour.size, "white")
    white.paste(colour, mask=alpha)
    return white


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours without transparency, and the transparency (L, 255 is opaque) if there is any."""
    if image.mode not in _ALPHA:
        if not image.has_transparency_data:
            return image, None
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    elif image.mode in {"La", "RGBa"}:
        image = image.convert(image.mode.upper())
    return image.convert(_ALPHA[image.mode]), image.getchannel("A")


def _to_eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """Grey levels of 16 or 32 bits scaled to 8 (mode L, or LA if one level is declared transparent)."""
    if not image.mode.startswith(("I", "F")):
        return image
    values: NDArray[Any] = np.asarray(image)
    highest: float = 65535
    if not image.mode.startswith("I;16"):
        low, high = float(values.min()), float(values.max())
        ranges = (1, 255, 65535) if image.mode == "F" else (255, 65535)
        highest = next((limit for limit in ranges if high <= limit), 0)
        if not (low >= 0 and highest):  # written so that a NaN fails
            raise BrokenImage(
                path, f"has grey levels from {low:g} to {high:g}; save it with 8 or 16 bits, or with levels 0 to 1."
            )
    levels = np.floor(np.multiply(values, 255 / highest, dtype=np.float32) + np.float32(0.5)).astype(np.uint8)
    grey = Image.fromarray(levels)
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return grey


def _apply_profile(colour: Image.Image, profile: bytes, path: Path, note: Note) -> Image.Image:
    """The colours in sRGB; unchanged, with a note, if the profile is broken or does not belong to such pixels."""
    try:
        space = _profile_space(profile)
        if space == "RGB" and colour.mode == "L":
            colour = colour.convert("RGB")  # many programs put an RGB profile on grey pictures; it has a grey axis too
        expected = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(space)
        if expected != colour.mode:
            note(f"{path} is {colour.mode} but its colour profile is for {space}; the profile is left out.")
            return colour
        transform = _transform_to_srgb(profile, colour.mode)
        return colour if transform is None else transform.apply(colour)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        note(f"{path} has a colour profile that cannot be used ({error}); its colours are taken as sRGB.")
        return colour


def _open_profile(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(BytesIO(profile))


@lru_cache(maxsize=64)
def _profile_space(profile: bytes) -> str:
    return _open_profile(profile).profile.xcolor_space.strip()


@lru_cache(maxsize=64)
def _transform_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from the profile to sRGB, or None if it changes no colour by more than two levels."""
    # lcms' shortcut for one channel is off by up to ten levels in dark tones, and no faster than the exact way.
    exact = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
    transform = ImageCms.buildTransform(
        _open_profile(profile),
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | exact,
    )
    if mode == "CMYK":
        return transform
    # Judged by what it does, not by its name: there are dozens of sRGB profiles with all kinds of names.
    steps = np.linspace(0, 255, 16).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(256, 16, 3)
    before = Image.fromarray(grid if mode == "RGB" else np.arange(256, dtype=np.uint8).reshape(16, 16))
    after = np.asarray(transform.apply(before), dtype=np.int16)
    change = np.abs(after - np.asarray(before.convert("RGB"), dtype=np.int16)).max()
    return None if change <= 2 else transform
