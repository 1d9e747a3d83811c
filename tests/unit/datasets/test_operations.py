"""What each bulk operation makes of a caption, and what patterns may not do."""

import time

import pytest
from pydantic import TypeAdapter

from loratory.datasets.operations import Operation, Surroundings, compiled
from loratory.errors import UserError

ADAPTER = TypeAdapter[Operation](Operation)


def changed(text: str, *operations: dict, counts: dict[str, int] | None = None) -> str:
    return compiled([ADAPTER.validate_python(each) for each in operations], Surroundings(counts or {}))(text)


@pytest.mark.parametrize(
    ("operation", "before", "after"),
    [
        ({"op": "trigger", "word": "ohwx"}, "dog,  grass", "ohwx, dog,  grass"),
        ({"op": "trigger", "word": "ohwx"}, "", "ohwx"),
        ({"op": "trigger", "word": "ohwx"}, "ohwx, dog", "ohwx, dog"),
        ({"op": "trigger", "word": "ohwx"}, "dog, OHWX, grass", "ohwx, dog, grass"),
        ({"op": "trigger", "word": "ohwx", "place": "last"}, "ohwx, dog\n", "dog, ohwx\n"),
        ({"op": "trigger", "word": "a b"}, "a_b", "a b"),
        ({"op": "trigger", "word": "ohwx"}, "A dog sits.\nIt is brown.", "ohwx, A dog sits.\nIt is brown."),
        ({"op": "add", "tags": ["sun", "dog"]}, "dog", "dog, sun"),
        ({"op": "add", "tags": ["sun"], "place": "first"}, "a\r\nb\r\n", "sun, a\r\nb\r\n"),
        ({"op": "remove", "tags": ["*hair"]}, "long hair, dog , blue_hair", "dog"),
        ({"op": "remove", "tags": ["cat"]}, "dog ,sun", "dog ,sun"),
        ({"op": "remove", "tags": ["smile (x)"]}, r"smile \(x\), dog", "dog"),
        ({"op": "replace", "find": "o"}, "dOg o", "dg "),
        ({"op": "replace", "find": "O", "match_case": True}, "dOg o", "dg o"),
        ({"op": "replace", "find": ".", "replace": r"\1"}, "a.b", r"a\1b"),
        ({"op": "replace", "find": r"(\w+) hair", "replace": r"hair: \1", "regex": True}, "red hair", "hair: red"),
        ({"op": "replace", "find": "dog", "replace": "cat", "whole_tags": True}, "dog, dogs", "cat, dogs"),
        ({"op": "replace", "find": "dog", "whole_tags": True}, "dog, dogs", "dogs"),
        ({"op": "replace_caption", "find": "dog", "replace": "cat"}, " dog\n", "cat"),
        ({"op": "replace_caption", "find": "", "replace": "cat"}, "", "cat"),
        ({"op": "set", "text": "x"}, "dog", "x"),
        ({"op": "sort"}, "b, A, c", "A, b, c"),
        ({"op": "sort", "keep_first": 1}, "z, c, b", "z, b, c"),
        ({"op": "sort", "by": "frequency"}, "a, b, c", "c, b, a"),
        ({"op": "dedupe"}, "dog, a_b, Dog, a b", "dog, a_b"),
        ({"op": "cleanup"}, " dog ,, a   b,\n\n,c \n", "dog, a b\nc"),
        ({"op": "underscores"}, "long_hair, ^_^, o_o", "long hair, ^_^, o_o"),
        ({"op": "underscores", "to": "underscores"}, "long hair, dog", "long_hair, dog"),
    ],
)
def test_operation(operation: dict, before: str, after: str) -> None:
    assert changed(before, operation, counts={"c": 3, "b": 2, "a": 1}) == after


def test_operations_follow_each_other() -> None:
    assert changed("b_cc, a", {"op": "underscores"}, {"op": "sort"}, {"op": "trigger", "word": "x"}) == "x, a, b cc"


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ({"op": "replace", "find": "(", "regex": True}, "cannot be used"),
        ({"op": "replace", "find": "(a{1000}){1000}", "regex": True}, "counted repeats"),
        ({"op": "replace", "find": "a{99999999999}", "regex": True}, "counted repeats"),
        ({"op": "replace", "find": "a", "replace": r"\9", "regex": True}, "replaced by cannot be used"),
        ({"op": "replace", "find": r"^(a|aa|x)+$|^(x+)+y", "regex": True}, "longer than"),
        ({"op": "replace", "find": "a", "replace": "z" * 1000}, "more than 100000 letters"),
        ({"op": "to_utf8"}, "alone"),
    ],
)
def test_what_is_refused(operation: dict, words: str) -> None:
    begun = time.monotonic()
    with pytest.raises(UserError, match=words):
        changed("a" * 200 + "x" * 40 + "!", operation)
    assert time.monotonic() - begun < 2
