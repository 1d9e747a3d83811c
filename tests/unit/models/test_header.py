"""The reader of .safetensors headers against files written by hand and by the reference library."""

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from loratory.config.architectures import header as header_module
from loratory.config.architectures import read_header
from loratory.errors import UserError


def write(path, header, data=b"", length=None):
    """A .safetensors file from a header (an object, or raw bytes) and the bytes that follow it."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


def entry(dtype="F32", shape=(2,), span=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(span)}


def test_reads_what_the_library_writes(tmp_path):
    tensors = {
        "a.weight": torch.zeros(3, 4, dtype=torch.bfloat16),
        "b": torch.zeros((), dtype=torch.float32),
        "c": torch.zeros(0, 5, dtype=torch.float16),
        "d": torch.zeros(7, dtype=torch.int64),
        "e": torch.zeros(2, 2).to(torch.float8_e4m3fn),
        "f": torch.zeros(3, dtype=torch.bool),
    }
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt", "note": "größer"})
    shapes, dtypes, metadata = read_header(tmp_path / "x.safetensors")
    assert shapes == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert dtypes == {"a.weight": "BF16", "b": "F32", "c": "F16", "d": "I64", "e": "F8_E4M3", "f": "BOOL"}
    assert metadata == {"format": "pt", "note": "größer"}


def test_reads_what_is_written_by_hand(tmp_path):
    header = json.dumps({"x": entry("F4", (3, 4), (0, 6)), "y": entry(span=(6, 14))}).encode() + b"   "
    shapes, dtypes, metadata = read_header(write(tmp_path / "x.safetensors", header, bytes(14)))
    assert (shapes, dtypes, metadata) == ({"x": (3, 4), "y": (2,)}, {"x": "F4", "y": "F32"}, {})


@pytest.mark.parametrize(
    ("header", "data", "wanted"),
    [
        ({"x": entry()}, bytes(5), "it is cut off: 3 of 8 bytes are missing; download it again"),
        ({"x": entry()}, bytes(9), "it has 1 bytes too many"),
        ({"x": entry(span=(4, 12))}, bytes(12), "leave gaps"),
        ({"x": entry(), "y": entry(span=(4, 12))}, bytes(12), "overlap"),
        ({"x": entry(shape=(3,))}, bytes(8), "the size of tensor x does not fit its shape"),
        ({"x": entry(shape=(2**40, 2**40, 0), span=(0, 0))}, b"", None),
        ({"x": entry(shape=(2**48, 2**48), span=(0, 8))}, bytes(8), "does not fit its shape"),
        ({"x": entry(shape=(-2,))}, bytes(8), "malformed shape"),
        ({"x": entry(shape=(1,) * 9)}, bytes(8), "malformed shape"),
        ({"x": entry(shape=(True,))}, bytes(8), "malformed shape"),
        ({"x": entry(dtype="F33")}, bytes(8), "unknown number format 'F33'"),
        ({"x": entry(dtype=["F32"])}, bytes(8), "unknown number format"),
        ({"x": entry(span=(0, 8, 9))}, bytes(8), "malformed offsets"),
        ({"x": entry(span=(8, 0))}, bytes(8), "does not fit its shape"),
        ({"x": [1]}, b"", "malformed"),
        ({"x": {"dtype": "F32", "shape": [2]}}, b"", "malformed"),
        ({"n" * 1025: entry()}, bytes(8), "longer than 1024 characters"),
        ({"__metadata__": {"a": 1}}, b"", "not a flat list of texts"),
        ({"__metadata__": ["a"]}, b"", "not a flat list of texts"),
        ([1, 2], b"", "not a JSON object"),
        (b"{nonsense", b"", "not JSON"),
        (b'{"\xff": 1}', b"", "not JSON"),
        (b"[" * 200_000, b"", "not JSON (RecursionError)"),
        (b'{"x": 1, "x": 2}', b"", "names something twice"),
        (b'{"x":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}}', bytes(8), "names something twice"),
    ],
)
def test_broken_headers(header, data, wanted, tmp_path):
    file = write(tmp_path / "x.safetensors", header, data)
    if wanted is None:
        assert read_header(file)[0] == {"x": tuple(header["x"]["shape"])}
        return
    with pytest.raises(UserError) as caught:
        read_header(file)
    assert wanted in str(caught.value) and str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", "its first bytes are no header"),
        (b"abc", "its first bytes are no header"),
        (struct.pack("<Q", 100) + b"{}", "it is cut off inside its header"),
        (struct.pack("<Q", 2**40) + b"{}", "its first bytes are no header"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "it is a Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "it is a web page"),
        (b"\n\n<html>some page</html>", "it is a web page"),
        (b"PK\x03\x04\x00\x00\x08\x08" + bytes(100), "it is a pickle of PyTorch, .*; get it as .safetensors"),
    ],
)
def test_other_content(content, wanted, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=wanted):
        read_header(tmp_path / "x.safetensors")


@pytest.mark.parametrize("length", [0x280, int.from_bytes(b"PK", "little"), int.from_bytes(b" <", "little")])
def test_a_length_is_no_other_kind_of_file(length, tmp_path):
    """The first bytes are those of a pickle, a zip archive and a web page, but with six zeros behind them."""
    header = json.dumps({"x": entry()}).encode().ljust(length)
    assert read_header(write(tmp_path / "x.safetensors", header, bytes(8)))[0] == {"x": (2,)}


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "x.safetensors", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            read_header(path)


def test_too_many_tensors(tmp_path, monkeypatch):
    monkeypatch.setattr(header_module, "MAX_TENSORS", 1000)
    header = {str(number): entry("U8", (0,), (0, 0)) for number in range(1001)}
    with pytest.raises(UserError, match="it names 1,001 tensors, more than 1,000"):
        read_header(write(tmp_path / "x.safetensors", header))
    del header["0"]
    assert len(read_header(write(tmp_path / "x.safetensors", header))[0]) == 1000
