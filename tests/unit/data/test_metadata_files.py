"""Captions of many pictures in one file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loratory.data.metadata_files import CaptionTable
from loratory.errors import UserError


def table(folder: Path, content: object, name: str = "meta.json") -> CaptionTable:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return CaptionTable(path)


def test_pictures_are_found_by_path_and_name(tmp_path: Path) -> None:
    found = table(tmp_path, {
        str(tmp_path / "set" / "a.png"): {"caption": "whole path", "tags": ""},
        "sub/b.png": {"caption": "in the folder", "tags": "x, y"},
        "c": {"tags": ["one", "two"]},
        "d.png": {"caption": "by name", "train_resolution": [512, 512]},
        "F:\\pictures\\e.png": {"caption": "elsewhere"},
    })  # fmt: skip
    root = tmp_path / "set"
    assert found.of(root, "a.png") == "whole path"
    assert found.of(root, "sub/b.png") == "in the folder, x, y"
    assert found.of(root, "c.jpg") == "one, two"
    assert found.of(root, "deep/d.png") == "by name"
    assert found.of(root, "e.png") is None
    assert found.of(root, "f.png") is None


def test_json_lines(tmp_path: Path) -> None:
    lines = '{"image_path": "a.png", "caption": "one", "tags": "t"}\n\n{"image_path": "b.png", "caption": "two"}\n'
    found = table(tmp_path, lines, "meta.jsonl")
    assert [found.of(tmp_path, name) for name in ("a.png", "b.png")] == ["one, t", "two"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not valid JSON"),
        ([1], "is no object"),
        ({}, "names no picture"),
        ({"a.png": "text"}, "holds no texts .* of a.png"),
        ({"a.png": {"caption": 1}}, "holds no texts"),
    ],
)  # fmt: skip
def test_wrong_files_are_refused(tmp_path: Path, content: object, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        table(tmp_path, content)


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        CaptionTable(tmp_path / "none.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        CaptionTable(tmp_path / "bytes.json")
    with pytest.raises(UserError, match="has no image_path"):
        table(tmp_path, '{"caption": "x"}', "a.jsonl")
