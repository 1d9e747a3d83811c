"""Read the header of a .safetensors file: names, shapes and number formats of its tensors, without torch.

The file: 8 bytes little-endian length N, N bytes of JSON, then the numbers of all tensors without a gap.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, BinaryIO

from loratory.config.architectures.base import Shapes
from loratory.errors import UserError

MAX_HEADER_BYTES = 100_000_000
"""The limit of the reference reader; a header of a 20 B model has about 0.3 MB."""
MAX_TENSORS = 200_000
MAX_NAME_LENGTH = 1024
MAX_RANK = 8
MAX_ELEMENTS = 2**48

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


class _Broken(Exception):
    """Why a header cannot be used, and what to do; becomes a UserError that names the file."""

    def __init__(self, reason: str, advice: str = "download it again, or give another file") -> None:
        super().__init__(f"{reason}; {advice}")


def read_header(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, str], dict[str, str]]:
    """Shapes and dtypes (`F16`, `BF16`, …) by tensor name, and the metadata, of one .safetensors file.

    Reads only the header. Raises UserError when the file is missing, cut off, or not a safetensors file.
    """
    try:
        with path.open("rb") as stream:
            entries, data_bytes = _read_entries(stream, path.stat().st_size)
        metadata = _checked_metadata(entries.pop("__metadata__", {}))
        if len(entries) > MAX_TENSORS:
            raise _Broken(f"it names {len(entries):,} tensors, more than {MAX_TENSORS:,}")
        shapes, dtypes, spans = {}, {}, []
        for name, entry in entries.items():
            shapes[name], dtypes[name], span = _checked_entry(name, entry)
            spans.append(span)
        _check_spans(spans, data_bytes)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the path and the permissions.") from error
    except _Broken as error:
        raise UserError(f"{path} is not a usable .safetensors file: {error}.") from error
    return shapes, dtypes, metadata


def read_lora_header(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, str], dict[str, str]]:
    """`read_header` of what a person named as a LoRA. Raises UserError also for what is no file."""
    if not path.is_file():
        raise UserError(f"{path} is not a file; give a LoRA file that ends in .safetensors.")
    return read_header(path)


def header_of(content: bytes, name: str) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Shapes and metadata of a file of which only the beginning is there, with the whole header. Raises UserError."""
    try:
        length = int.from_bytes(content[:8], "little")
        entries, _ = _read_entries(io.BytesIO(content), max(len(content), 8 + length) if length < 2**40 else 0)
        metadata = _checked_metadata(entries.pop("__metadata__", {}))
        if len(content) < 8 + length:
            raise _Broken("only a part of its header is here")
        return {key: _checked_entry(key, entry)[0] for key, entry in entries.items()}, metadata
    except _Broken as error:
        raise UserError(f"{name} is not a usable .safetensors file: {error}.") from error


def _read_entries(stream: BinaryIO, file_bytes: int) -> tuple[dict[str, Any], int]:
    """The header as a dictionary, and how many bytes of tensors follow it."""
    start = stream.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > MAX_HEADER_BYTES:
        raise _other_kind(start)
    if 8 + length > file_bytes:
        raise _Broken("it is cut off inside its header", "download it again")
    try:
        entries = json.loads(stream.read(length).decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise _Broken(f"its header is not JSON ({type(error).__name__})") from error
    if not isinstance(entries, dict):
        raise _Broken("its header is not a JSON object")
    return entries, file_bytes - 8 - length


def _other_kind(start: bytes) -> _Broken:
    """What begins with these bytes, which are no length. (640 = 0x280 is one, although pickles begin with it, too.)"""
    if start == b"version ":
        return _Broken("it is a Git LFS pointer, not the file itself", "fetch it with `git lfs pull`")
    if start.lstrip()[:1] == b"<":
        return _Broken("it is a web page, so the download went wrong", "download it again")
    if start[:2] in (b"PK", b"\x80\x02"):
        return _Broken("it is a pickle of PyTorch, which could run code when it is loaded", "get it as .safetensors")
    return _Broken("its first bytes are no header: it is broken, or a file of another kind")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Broken("its header names something twice")
    return found


def _checked_metadata(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _Broken("its metadata is not a flat list of texts")
    return metadata


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_ELEMENTS


def _checked_entry(name: str, entry: Any) -> tuple[tuple[int, ...], str, tuple[int, int]]:
    """Shape, dtype and byte span of one tensor."""
    shown = name[:80]
    if len(name) > MAX_NAME_LENGTH:
        raise _Broken(f"a tensor's name is longer than {MAX_NAME_LENGTH} characters ({shown}…)")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _Broken(f"the entry of tensor {shown} is malformed")
    dtype, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise _Broken(f"tensor {shown} has the unknown number format {dtype!r}")
    if not isinstance(shape, list) or len(shape) > MAX_RANK or not all(_is_count(size) for size in shape):
        raise _Broken(f"tensor {shown} has a malformed shape")
    if not isinstance(span, list) or len(span) != 2 or not all(_is_count(offset) for offset in span):
        raise _Broken(f"tensor {shown} has malformed offsets")
    elements = 1
    for size in shape:
        elements *= size
    if elements > MAX_ELEMENTS or elements * BITS[dtype] != 8 * (span[1] - span[0]):
        raise _Broken(f"the size of tensor {shown} does not fit its shape")
    return tuple(shape), dtype, (span[0], span[1])


def _check_spans(spans: list[tuple[int, int]], data_bytes: int) -> None:
    end = 0
    for start, stop in sorted(spans):
        if start != end:
            raise _Broken("its tensors overlap or leave gaps")
        end = stop
    if data_bytes < end:
        raise _Broken(f"it is cut off: {end - data_bytes:,} of {end:,} bytes are missing", "download it again")
    if data_bytes > end:
        raise _Broken(f"it has {data_bytes - end:,} bytes too many at its end", "download it again")


PREFIXES = ("model.diffusion_model.", "model.", "net.", "diffusion_model.")
"""What programs put before the denoiser's names, in the order in which they are looked for."""


def strip_prefix(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """The same tensors with the denoiser's usual prefix taken off; names without it (text encoders) stay."""
    for prefix in PREFIXES:
        if any(name.startswith(prefix) for name in shapes):
            return {name.removeprefix(prefix): shape for name, shape in shapes.items()}
    return dict(shapes)
