"""Names for every system: whatever comes in, what goes out is taken by Linux, Windows and macOS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loratory.data.safe_names import folded, is_rubbish, numbered, safe_name, split_suffix, wrong_with

# Written out from Microsoft's "Naming Files, Paths, and Namespaces", and not taken from the module.
DEVICES = {"con", "prn", "aux", "nul", *(f"{name}{digit}" for name in ("com", "lpt") for digit in "123456789")}


@given(st.text(st.characters(), max_size=400) | st.sampled_from([f"{name}.png" for name in sorted(DEVICES)]))
def test_a_safe_name_is_taken_everywhere(name):
    safe = safe_name(name)
    assert 0 < len(safe.encode("utf-8")) <= 200
    assert not set(safe) & set('<>:"/\\|?*')
    assert all(ord(sign) >= 32 for sign in safe)
    assert safe not in (".", "..")
    assert safe == safe.rstrip(". ")
    assert safe.split(".")[0].strip().lower() not in DEVICES
    assert wrong_with(safe) is None
    assert safe_name(safe) == safe


@given(st.text(max_size=20), st.integers(0, 150))
def test_a_picture_and_its_caption_stay_together(stem, more):
    stem += "é" * more + "x"
    picture, caption = safe_name(f"{stem}.png"), safe_name(f"{stem}.txt")
    assert picture.removesuffix(".png") == caption.removesuffix(".txt")


def test_long_names_that_begin_alike_stay_two():
    assert safe_name("a" * 500 + "1.png") != safe_name("a" * 500 + "2.png")
    assert safe_name("a" * 500 + "1.png").endswith(".png")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("dog.png", "dog.png"), ("🐕.png", "🐕.png"), ("con.png", "con_.png"), ("LPT1", "LPT1_"),
        ("a:b?.png", "a_b_.png"),
        ("a. ", "a"), ("", "_"), ("..", "_"), ("a\nb", "a_b"), ("u\u0308.png", "\u00fc.png"), (".hidden", ".hidden"),
        ("nul.tar.gz", "nul_.tar.gz"), ("\udcff.png", "_.png"),
    ],
)  # fmt: skip
def test_safe_names(name, safe):
    assert safe_name(name) == safe


def test_small_things():
    assert numbered("dog.png", 2) == "dog (2).png"
    assert split_suffix(".env") == (".env", "")
    assert folded("STRASSE.PNG") == folded("straße.png")
    assert folded("\u00dc") == folded("u\u0308")
    assert [is_rubbish(name) for name in ("__MACOSX", ".DS_Store", "._a.png", "Thumbs.db", "a.png")] == [True] * 4 + [
        False
    ]
