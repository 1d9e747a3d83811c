"""Paths of clients: what is in a root, what leads out of it, and what can be no name."""

from __future__ import annotations

import pytest

from loratory.server.paths import inside, new_inside, new_name
from loratory.server.problems import Refused


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("", "bad_path"), ("/a", "bad_path"), ("\\a", "bad_path"), ("a/../b", "bad_path"), ("..", "bad_path"),
        ("C:/a", "bad_path"), ("a\0", "bad_path"), ("a\nb", "bad_path"), ("\udc80", "bad_path"), ("a/...", "bad_path"),
        ("a/con", "bad_path"), ("NUL.txt", "bad_path"), ("com1/b", "bad_path"), ("x" * 256, "name_too_long"),
        ("é" * 128, "name_too_long"), ("a/" * 1100 + "b", "name_too_long"), ("away/secret.txt", "outside"),
        ("away", "outside"), ("beside/x", "outside"), ("loop/x", "bad_path"),
    ],
)  # fmt: skip
def test_refused(tmp_path, path, code):
    root = tmp_path / "data"
    root.mkdir()
    (tmp_path / "data-secret").mkdir()
    (root / "away").symlink_to(tmp_path)
    (root / "beside").symlink_to(tmp_path / "data-secret")
    (root / "loop").symlink_to(root / "loop")
    with pytest.raises(Refused) as error:
        inside(root, path)
    assert (error.value.code, error.value.status in (400, 403)) == (code, True)
    assert len(error.value.message) < 700


@pytest.mark.parametrize("path", ["a", "a/b.png", "a\\b", "./a", "a//b", "🐕/ü.png", "a b/c.d.e", "x" * 255, ".hidden"])
def test_taken(tmp_path, path):
    found = inside(tmp_path, path)
    assert tmp_path.resolve() in found.parents


def test_a_link_inside_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert inside(tmp_path, "link/a") == tmp_path.resolve() / "real" / "a"


def test_new_names_are_held_to_more_than_old_ones(tmp_path):
    """What lies there may have any name that this system takes; what is made must have one for every system."""
    (tmp_path / "what?").mkdir()
    assert new_inside(tmp_path, "what?/a.png") == tmp_path.resolve() / "what?" / "a.png"
    with pytest.raises(Refused) as error:
        new_inside(tmp_path, "new?/a.png")
    assert error.value.more["suggested"] == "new_"
    (tmp_path / "file").write_text("x")
    with pytest.raises(Refused, match="is a file"):
        new_inside(tmp_path, "file/a.png")
    assert new_name("u\u0308.png") == "\u00fc.png"
