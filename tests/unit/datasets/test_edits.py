"""Edits of captions: nothing is lost, whatever is edited, by whom, and wherever it is cut off."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from loratory import files
from loratory.datasets.caption_files import NO_FILE, version_of
from loratory.datasets.edits import apply_edit, finish, plan_edit, restore_caption, undo, write_caption
from loratory.datasets.errors import NotThere, Stale
from loratory.datasets.journal import Journal, Step
from loratory.datasets.library import Library
from loratory.datasets.operations import Operation
from loratory.datasets.shelf import Opened, selection
from loratory.errors import UserError
from tests.unit.datasets.folders import contents, make_dataset, open_dataset

ADAPTER = TypeAdapter[list[Operation]](list[Operation])
UTF16 = "ein Hund".encode("utf-16")
CP1252 = "schöner Hund".encode("cp1252")


def bulk(opened: Opened, *operations: dict, query: str = "") -> Step:
    numbers = selection(opened, None, query)
    return plan_edit(opened, numbers, ADAPTER.validate_python(list(operations)), "me")


def test_two_editors_lose_nothing() -> None:
    opened = open_dataset(make_dataset("dogs", {"a": "dog"}))
    old = version_of(b"dog")
    write_caption(opened, "a.png", "dog, sun", old, "one")
    with pytest.raises(Stale) as error:
        write_caption(opened, "a.png", "cat", old, "other")
    difference = error.value.differences[0]
    assert (difference.expected, difference.now, difference.version) == ("cat", "dog, sun", version_of(b"dog, sun"))
    assert contents(opened.dataset.path) == {"a.txt": b"dog, sun"}


def test_a_new_caption_has_the_chosen_ending_and_may_not_meet_another() -> None:
    opened = open_dataset(make_dataset("dogs", {"a": None}))
    opened.settings = opened.settings.model_copy(update={"caption_extension": ".caption"})
    assert write_caption(opened, "a.png", "", NO_FILE, "me") is None
    assert contents(opened.dataset.path, "*.caption") == {}
    (opened.dataset.path / "a.txt").write_bytes(b"put there by another program")
    with pytest.raises(Stale):
        write_caption(opened, "a.png", "dog", NO_FILE, "me")
    (opened.dataset.path / "a.txt").unlink()
    write_caption(opened, "a.png", "dog", NO_FILE, "me")
    assert contents(opened.dataset.path, "*.caption") == {"a.caption": b"dog"}


def test_history_of_a_caption_and_going_back() -> None:
    opened = open_dataset(make_dataset("dogs", {"a": b"\xef\xbb\xbfdog\r\n"}))
    first = Journal(opened.dataset)
    write_caption(opened, "a.png", "cat", version_of(b"\xef\xbb\xbfdog\r\n"), "one")
    step = write_caption(opened, "a.png", "cow", version_of(b"cat"), "two")
    assert step is not None
    history = first.of_item("a.png")
    assert [(each.who, change.before, change.after) for each, change in history] == [
        ("two", b"cat", b"cow"), ("one", b"\xef\xbb\xbfdog\r\n", b"cat"),
    ]  # fmt: skip
    restore_caption(opened, "a.png", history[1][0].id, version_of(b"cow"), "me")
    assert contents(opened.dataset.path) == {"a.txt": b"cat"}
    undo(opened, history[1][0].id, "me")
    assert contents(opened.dataset.path) == {"a.txt": b"\xef\xbb\xbfdog\r\n"}
    with pytest.raises(UserError, match="undone already"):
        undo(opened, history[1][0].id, "me")
    with pytest.raises(NotThere):
        restore_caption(opened, "a.png", "nothing", version_of(b"\xef\xbb\xbfdog\r\n"), "me")


def test_encodings_are_never_destroyed() -> None:
    captions = {"utf16": UTF16, "cp1252": CP1252, "marked": b"\xef\xbb\xbfdog", "zeros": b"\0\0", "fine": "Ünï, 🐕"}
    opened = open_dataset(make_dataset("dogs", captions))
    before = contents(opened.dataset.path)
    step = apply_edit(opened, bulk(opened, {"op": "trigger", "word": "ohwx"}).id)
    after = contents(opened.dataset.path)
    assert {name for name in after if after[name] == before[name]} == {"utf16.txt", "cp1252.txt"}
    count, reasons = Journal(opened.dataset).left_out(step.id)
    assert count == 2 and "not UTF-8" in dict(reasons)["cp1252.png"] and "UTF-16" in dict(reasons)["utf16.png"]
    assert after["fine.txt"].decode() == "ohwx, Ünï, 🐕"
    assert after["marked.txt"] == b"ohwx, dog"
    with pytest.raises(UserError, match="not written over"):
        write_caption(opened, "cp1252.png", "dog", version_of(CP1252), "me")
    turned = apply_edit(opened, bulk(opened, {"op": "to_utf8", "encoding": "cp1252"}).id)
    assert contents(opened.dataset.path)["utf16.txt"].decode() == "ein Hund"
    assert contents(opened.dataset.path)["cp1252.txt"].decode() == "schöner Hund"
    undo(opened, turned.id, "me")
    undo(opened, step.id, "me")
    assert contents(opened.dataset.path) == before


def test_json_captions_keep_what_else_they_say() -> None:
    dataset = make_dataset("dogs", {"a": None, "b": None, "c": None, "d": None})
    (dataset.path / "a.json").write_text('{"caption": "dog", "score": 3}')
    (dataset.path / "b.json").write_text('{"tags": ["dog", "sun"], "id": 1}')
    (dataset.path / "c.json").write_text('{"caption": "x", "tags": ["dog"]}')
    (dataset.path / "d.json").write_text('["neither"]')
    opened = open_dataset(dataset)
    step = apply_edit(opened, bulk(opened, {"op": "replace", "find": "dog", "replace": "cat"}).id)
    assert {name: __import__("json").loads(data) for name, data in contents(dataset.path, "*.json").items()} == {
        "a.json": {"caption": "cat", "score": 3}, "b.json": {"tags": ["cat", "sun"], "id": 1},
        "c.json": {"caption": "x", "tags": ["dog"]}, "d.json": ["neither"],
    }  # fmt: skip
    assert Journal(dataset).left_out(step.id)[0] == 2


def test_a_preview_of_old_captions_is_refused_or_leaves_them_out() -> None:
    opened = open_dataset(make_dataset("dogs", {"a": "dog", "b": "cat"}))
    plan = bulk(opened, {"op": "trigger", "word": "x"})
    (opened.dataset.path / "a.txt").write_bytes(b"DOG")
    with pytest.raises(Stale) as error:
        apply_edit(opened, plan.id)
    assert (error.value.count, error.value.differences[0].now) == (1, "DOG")
    assert contents(opened.dataset.path) == {"a.txt": b"DOG", "b.txt": b"cat"}
    assert apply_edit(opened, plan.id, skip_changed=True).count == 1
    assert contents(opened.dataset.path) == {"a.txt": b"DOG", "b.txt": b"x, cat"}
    assert apply_edit(opened, plan.id).state == "done", "a second time does nothing"


def test_a_wrong_operation_plans_nothing() -> None:
    opened = open_dataset(make_dataset("dogs", {"a": "dog"}))
    with pytest.raises(UserError):
        bulk(opened, {"op": "replace", "find": "(", "regex": True})
    assert not Journal(opened.dataset).exists()


OPERATIONS = st.one_of(
    st.builds(lambda word, place: {"op": "trigger", "word": word, "place": place},
              st.sampled_from(["ohwx", "dog", "a b"]), st.sampled_from(["first", "last"])),
    st.builds(lambda tags: {"op": "add", "tags": tags}, st.lists(st.sampled_from(["x", "y", "dog"]), min_size=1)),
    st.builds(lambda tag: {"op": "remove", "tags": [tag]}, st.sampled_from(["dog", "*", "s?n"])),
    st.builds(lambda old, new: {"op": "replace", "find": old, "replace": new, "regex": True},
              st.sampled_from(["o", r"(\w+)", r"\s*,\s*", "$"]), st.sampled_from(["", "q", r"\g<0>\n"])),
    st.sampled_from([{"op": "sort"}, {"op": "dedupe"}, {"op": "cleanup"}, {"op": "underscores"},
                     {"op": "set", "text": "all"}, {"op": "replace_caption", "find": "", "replace": "new"},
                     {"op": "sort", "by": "frequency", "keep_first": 1}]),
)  # fmt: skip
BYTES = st.one_of(
    st.none(), st.sampled_from([b"", b"\n", UTF16, CP1252, b"\xef\xbb\xbfdog,  sun\r\n", b"dog,sun\r\ncat\r\n"]),
    st.text("dog, sun_\n", max_size=20).map(str.encode),
)  # fmt: skip


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(BYTES, min_size=2, max_size=4), st.lists(st.lists(OPERATIONS, min_size=1, max_size=2), max_size=4))
def test_any_edits_undone_leave_the_bytes_from_before(
    tmp_path_factory: pytest.TempPathFactory, captions: list, edits: list
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORATORY_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr("os.fsync", lambda descriptor: None)
        patch.setattr("os.sync", lambda: None)
        patch.setattr("loratory.datasets.journal.SYNCHRONOUS", "OFF")
        opened = open_dataset(
            make_dataset("dogs", {f"p{i}": data for i, data in enumerate(captions)}, width=8, height=8)
        )
        states, steps = [contents(opened.dataset.path)], []
        for operations in edits:
            steps.append(apply_edit(opened, bulk(opened, *operations).id))
            states.append(contents(opened.dataset.path))
        undone = []
        for step, before in zip(reversed(steps), reversed(states[:-1]), strict=True):
            undone.append(undo(opened, step.id, "me"))
            assert contents(opened.dataset.path) == before
        for step, after in zip(reversed(undone), states[1:], strict=True):
            undo(opened, step.id, "me")
            assert contents(opened.dataset.path) == after
        look = open_dataset(opened.dataset)
        assert [each.reading for each in opened.catalogue.captions] == [
            each.reading for each in look.catalogue.captions
        ], "what is in memory is what is on the disk"


# --- cut off ---


class Killed(BaseException):
    """The process ends here: nothing of ours runs any more."""


POINTS = [
    ("edit.applying", 1), ("caption.before_write", 2), ("caption.before_rename", 1), ("caption.after_rename", 2),
    ("caption.before_remove", 1), ("caption.after_remove", 1), ("edit.written", 1), ("edit.done", 1),
]  # fmt: skip


def prepared() -> tuple[Opened, Step, dict[str, bytes], dict[str, bytes]]:
    """An edit that changes, makes and removes files: the undoing of one that did the opposite."""
    opened = open_dataset(make_dataset("dogs", {"a": "dog", "b": None, "c": "x", "d": "cow", "e": "cat"}))
    old = contents(opened.dataset.path)
    step = apply_edit(opened, bulk(opened, {"op": "replace_caption", "find": "", "replace": "new"},
                                   {"op": "replace", "find": "c", "replace": "k"}).id)  # fmt: skip
    return opened, step, contents(opened.dataset.path), old


@pytest.mark.parametrize(("point", "nth"), POINTS)
def test_killed_at_every_write_point(point: str, nth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, step, old, new = prepared()

    def die(number: int, sign: int) -> None:
        raise Killed

    monkeypatch.setattr(files.os, "kill", die)
    monkeypatch.setenv("LORATORY_FAULT", f"{point}:{nth}=kill")
    with pytest.raises(Killed):
        undo(opened, step.id, "me")
    monkeypatch.delenv("LORATORY_FAULT")
    now = contents(opened.dataset.path)
    assert all(now.get(name) in (old.get(name), new.get(name)) for name in now.keys() | old.keys()), "all files whole"
    finish(Library())
    assert contents(opened.dataset.path) == new
    assert Journal(opened.dataset).half_done() == []
    assert Journal(opened.dataset).step(step.id).undone_by is not None
    assert finish(Library()) == []


def test_what_somebody_else_wrote_into_a_half_done_edit_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, step, _, new = prepared()
    monkeypatch.setattr(files.os, "kill", lambda number, sign: (_ for _ in ()).throw(Killed()))
    monkeypatch.setenv("LORATORY_FAULT", "edit.applying")
    with pytest.raises(Killed):
        undo(opened, step.id, "me")
    monkeypatch.delenv("LORATORY_FAULT")
    (opened.dataset.path / "d.txt").write_bytes(b"by hand")
    (opened.dataset.path / "e.txt").write_bytes(b"ca")  # the beginning of the new one: a power cut
    assert "was finished" in finish(Library())[0]
    assert contents(opened.dataset.path) == new | {"d.txt": b"by hand"}
    last = Journal(opened.dataset).steps()[0]
    assert Journal(opened.dataset).left_out(last.id)[1][0][0] == "d.png"


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_full_disk_in_the_middle_takes_the_edit_back(nth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, step, old, _ = prepared()
    monkeypatch.setenv("LORATORY_FAULT", f"caption.before_write:{nth}=enospc")
    if nth > 2:
        undo(opened, step.id, "me")
        return
    with pytest.raises(files.DiskFull):
        undo(opened, step.id, "me")
    assert contents(opened.dataset.path) == old
    monkeypatch.delenv("LORATORY_FAULT")
    assert Journal(opened.dataset).steps()[0].state == "failed"
    undo(opened, step.id, "me")


def test_a_damaged_history_says_what_is_lost(own_home: Path) -> None:
    opened = open_dataset(make_dataset("dogs", {"a": "dog"}))
    opened.dataset.state.mkdir(parents=True)
    (opened.dataset.state / "edits.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match="only undo is lost"):
        write_caption(opened, "a.png", "cat", version_of(b"dog"), "me")
    assert contents(opened.dataset.path) == {"a.txt": b"dog"}
