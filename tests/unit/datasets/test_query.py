"""The query language against a plain reading of it, and errors at their places."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loratory.data.scan import Item
from loratory.datasets.caption_files import Reading
from loratory.datasets.catalogue import Caption, Catalogue
from loratory.datasets.errors import QueryError
from loratory.datasets.query import find, glob, parse

PICTURES = {
    # path: (width, height, caption)
    "10_dog/a.png": (512, 768, "dog, long hair, smile (face)"),
    "10_dog/b.jpg": (1024, 1024, "Dog, blue_eyes"),
    "c_photo.png": (2048, 1024, "a cat sits at night, in prose with many words"),
    "d.webp": (300, 200, None),
    "e.webp": (640, 640, "  "),
    "sub/deep/f.png": (1600, 900, "dog\ncat, :3"),
}


def catalogue() -> Catalogue:
    items = [Item(path, width, height, None, 1000 * number, 1, 1, "")
             for number, (path, (width, height, _)) in enumerate(sorted(PICTURES.items()), 1)]  # fmt: skip
    made = Catalogue(items, {"d.webp": "d-masklabel.png"}, [], [])
    made.fill(Caption(None if PICTURES[item.path][2] is None else item.path + ".txt", 0, 0,
                      Reading(PICTURES[item.path][2], "x")) for item in items)  # fmt: skip
    return made


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "abcdef"),
        ("   ", "abcdef"),
        ("tag:dog", "abf"),
        ("tag:DOG", "abf"),
        ("tag:do", ""),
        ("tag:do*", "abf"),
        ("tag:?at", "f"),
        ('tag:"blue eyes"', "b"),
        ("tag:blue_eyes", "b"),
        ('tag:"smile (face)"', "a"),
        (r'tag:"smile \(face\)"', "a"),
        ('tag:"do*"', ""),
        ("tag::3", "f"),
        (":3", "f"),
        ("night", "c"),
        ('"at night"', "c"),
        ("caption:a*night", "c"),
        ("name:c_", "c"),
        ("name:?.png", "af"),
        ("path:deep", "f"),
        ("folder:10_dog", "ab"),
        ("type:webp", "de"),
        ("untagged", "de"),
        ("captioned", "abcf"),
        ("masked", "d"),
        ("NOT untagged", "abcf"),
        ("-untagged -tag:dog", "c"),
        ("tag:dog AND tag:cat", "f"),
        ("tag:dog tag:cat", "f"),
        ("tag:dog OR type:webp", "abdef"),
        ("tag:dog type:jpg OR tag:cat", "bf"),
        ("tag:dog (type:jpg OR tag:cat)", "bf"),
        ("NOT (tag:dog OR night)", "de"),
        ("size:>=900", "bcf"),
        ("size:512x768", "a"),
        ("size:>=1024x1024", "bc"),
        ("size:200..640", "ade"),
        ("width:1024", "b"),
        ("height:<=640", "de"),
        ("ratio:16:9", "f"),
        ("ratio:>1.6", "cf"),
        ("tags:>=3", "af"),
        ("words:0", "de"),
        ("letters:<=2", "de"),
        ("bytes:>4k", "ef"),
        ("pixels:>2M", "c"),
    ],
)
def test_what_a_query_finds(query: str, names: str) -> None:
    made = catalogue()
    found = {made.paths[number].rpartition("/")[2][0] for number in range(len(made)) if find(made, query)[number]}
    assert "".join(sorted(found)) == names


@pytest.mark.parametrize(
    ("query", "start", "end", "words"),
    [
        ("tag:dog (cat", 8, 9, "never closed"),
        ("tag:dog )", 8, 9, "closes nothing"),
        ('caption:"a b', 8, 12, "quotation mark"),
        ("tag:", 0, 4, "no value"),
        ("colour:red", 0, 6, "no field 'colour'"),
        ("a OR", 4, 4, "missing after 'OR'"),
        ("OR a", 0, 2, "a condition is missing"),
        ("a AND OR b", 6, 8, "after 'AND'"),
        ("()", 1, 2, "a condition is missing"),
        ("NOT", 3, 3, "missing"),
        ("x size:large", 2, 12, "no number"),
        ("size:1x", 0, 7, "no number"),
        ("(" * 60 + "a" + ")" * 60, 50, 51, "More than 50"),
        ("a" * 5000, 4000, 5000, "5000 letters"),
    ],
)
def test_errors_point_at_the_place(query: str, start: int, end: int, words: str) -> None:
    with pytest.raises(QueryError, match=words) as error:
        parse(query)
    assert (error.value.start, error.value.end) == (start, end)


Told = tuple[str, Callable[[str], bool]]


def _leaf() -> st.SearchStrategy[Told]:
    captions = {path: caption or "" for path, (_, _, caption) in PICTURES.items()}

    def told(query: str, test: Callable[[str], bool]) -> Told:
        return query, test

    tags = {path: [tag.strip().casefold() for line in text.split("\n") for tag in line.split(",")]
            for path, text in captions.items()}  # fmt: skip
    return st.sampled_from([
        told("tag:dog", lambda path: "dog" in tags[path]),
        told("tag:cat", lambda path: "cat" in tags[path]),
        told("night", lambda path: "night" in captions[path].casefold()),
        told('"a"', lambda path: "a" in captions[path].casefold()),
        told("type:png", lambda path: path.endswith(".png")),
        told("untagged", lambda path: not captions[path].strip()),
        told("width:>1000", lambda path: PICTURES[path][0] > 1000),
    ])  # fmt: skip


def _joined(inner: st.SearchStrategy[Told]) -> st.SearchStrategy[Told]:
    def both(word: str, join: Callable[[bool, bool], bool]) -> Callable[[tuple[Told, Told]], Told]:
        return lambda pair: (
            f"({pair[0][0]}){word}({pair[1][0]})", lambda path: join(pair[0][1](path), pair[1][1](path)),
        )  # fmt: skip

    pairs = st.tuples(inner, inner)
    return st.one_of(
        pairs.map(both(" AND ", lambda a, b: a and b)),
        pairs.map(both(" ", lambda a, b: a and b)),
        pairs.map(both(" OR ", lambda a, b: a or b)),
        st.tuples(st.sampled_from(["NOT ", "-"]), inner).map(
            lambda pair: (f"{pair[0]}({pair[1][0]})", lambda path: not pair[1][1](path))
        ),
    )


MADE = catalogue()


@settings(max_examples=150, deadline=None)
@given(st.recursive(_leaf(), _joined, max_leaves=8))
def test_any_tree_means_what_it_says(told: Told) -> None:
    query, test = told
    mask = find(MADE, query)
    assert {path for number, path in enumerate(MADE.paths) if mask[number]} == set(filter(test, PICTURES))


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), st.text(alphabet='()-":*?. tagORNOTAND><=1x\\', max_size=40)))
def test_any_text_is_a_query_or_has_a_place_for_its_error(text: str) -> None:
    try:
        mask = find(MADE, text)
    except QueryError as error:
        assert 0 <= error.start <= error.end <= max(len(text), 1)
        assert str(error).endswith((".", '".', ")"))
    else:
        assert len(mask) == len(PICTURES)


def test_wildcards_cannot_take_for_ever() -> None:
    looks = glob("*a" * 500 + "b", inside=False)
    assert looks("a" * 20_000) is False


@settings(max_examples=200, deadline=None)
@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_wildcards_are_those_of_file_names(pattern: str, text: str) -> None:
    from fnmatch import fnmatchcase

    assert glob(pattern)(text) == fnmatchcase(text, pattern)
