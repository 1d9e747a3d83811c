"""The query language of datasets: tokens, a tree, and which pictures it finds (docs/guide/datasets.md).

    tag:dog -tag:cat (caption:"at night" OR name:IMG_*) size:>=1024 NOT untagged

A letter that is no part of a query is said with its place. Every query is evaluated on whole columns at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from loratory.datasets.catalogue import Catalogue
from loratory.datasets.errors import QueryError

Mask = NDArray[np.bool_]

_LONGEST = 4000
_DEEPEST = 50
_WORDS = {"AND", "OR", "NOT"}
_TOKEN = re.compile(
    r"""\s*(?:(?P<sign>[()])|(?P<minus>-)(?=[^\s)])|(?P<word>(?:[^\s()":]+:)?"(?:\\.|[^"\\])*"|[^\s()"]+)|(?P<open>[^\s]))""",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a query. kind: `(`, `)`, `-`, AND, OR, NOT or term."""

    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `field` is empty for a bare word; `quoted` values have no wildcards."""

    field: str
    value: str
    quoted: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Not:
    inner: Node


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Node, ...]


Node = Term | Not | AllOf | AnyOf


def find(catalogue: Catalogue, text: str) -> Mask:
    """Which pictures a query finds; all for an empty one. Raises QueryError."""
    node = parse(text)
    return np.ones(len(catalogue), dtype=np.bool_) if node is None else evaluate(node, catalogue)


# --- text to tree ---


def tokens(text: str) -> list[Token]:
    """The pieces of a query. Raises QueryError."""
    if len(text) > _LONGEST:
        raise QueryError(f"The query has {len(text)} letters; {_LONGEST} are the most.", _LONGEST, len(text))
    found: list[Token] = []
    position = 0
    while position < len(text) and text[position:].strip():
        match = _TOKEN.match(text, position)
        assert match is not None, "every sign but a space begins a token"
        kind, piece = str(match.lastgroup), match[str(match.lastgroup)]
        start, position = match.start(kind), match.end()
        if kind == "open":
            raise QueryError(f'The quotation mark at letter {start + 1} is never closed; add a second ".', start,
                             len(text))  # fmt: skip
        name = "-" if kind == "minus" else piece if kind == "sign" or piece in _WORDS else "term"
        found.append(Token(name, piece, start, position))
    return found


def parse(text: str) -> Node | None:
    """The tree of a query; None for an empty one. NOT binds closest, then AND (or nothing between), then OR.

    Raises QueryError.
    """
    parser = _Parser(tokens(text), len(text))
    if not parser.tokens:
        return None
    node = parser.either()
    if (rest := parser.next()) is not None:
        raise QueryError(f"The bracket at letter {rest.start + 1} closes nothing; leave it out.", rest.start, rest.end)
    return node


class _Parser:
    """Recursive descent: either := both (OR both)*; both := one ([AND] one)*;
    one := (NOT | -) one | (either) | term."""

    def __init__(self, found: Sequence[Token], length: int) -> None:
        self.tokens, self.place, self.length, self.depth = found, 0, length, 0

    def next(self) -> Token | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def take(self, *kinds: str) -> Token | None:
        token = self.next()
        if token is None or token.kind not in kinds:
            return None
        self.place += 1
        return token

    def either(self) -> Node:
        parts = [self.both()]
        while self.take("OR"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def both(self) -> Node:
        parts = [self.one()]
        while (token := self.next()) is not None and token.kind not in ("OR", ")"):
            self.take("AND")
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def one(self) -> Node:
        self.depth += 1
        try:
            if self.depth > _DEEPEST:
                token = self.tokens[min(self.place, len(self.tokens) - 1)]
                raise QueryError(f"More than {_DEEPEST} brackets or NOTs lie in each other.", token.start, token.end)
            if self.take("NOT", "-"):
                return Not(self.one())
            if opening := self.take("("):
                inner = self.either()
                if not self.take(")"):
                    raise QueryError(f"The bracket at letter {opening.start + 1} is never closed; add a ).",
                                     opening.start, opening.end)  # fmt: skip
                return inner
            if word := self.take("term"):
                return term(word)
            raise self.missing()
        finally:
            self.depth -= 1

    def missing(self) -> QueryError:
        token, last = self.next(), self.tokens[self.place - 1] if self.place else None
        after = f"after {last.text!r}" if last else "at the start"
        if token is None:
            return QueryError(f"Something is missing {after} at the end; add a condition.", self.length, self.length)
        return QueryError(
            f"Before {token.text!r} at letter {token.start + 1}, {after}, a condition is missing.",
            token.start, token.end,
        )  # fmt: skip


def term(token: Token) -> Term:
    """One condition from its text. Raises QueryError for a field that there is not."""
    head, colon, tail = token.text.partition(":")
    field, value = ("", token.text) if not colon or not head or head.startswith('"') else (head.lower(), tail)
    start, end = token.start, token.end
    if field and field not in FIELDS:
        # "masterpiece:1.2" is a text that somebody looks for; a mere typing error is more likely a wrong field.
        known = ", ".join(f"{name}:" for name in FIELDS)
        raise QueryError(
            f"There is no field {field!r} (letter {start + 1}); there are {known}. "
            f'To look for a text with a colon, write caption:"{token.text}".', start, start + len(head),
        )  # fmt: skip
    quoted = value.startswith('"')
    if quoted:
        value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
    if field and not value:
        raise QueryError(f"{field}: at letter {start + 1} has no value; write {field}:something.", start, end)
    found = Term(field, value, quoted, start, end)
    if field in _NUMBERS or field == "ratio":
        limits(found)
    if field == "size":
        _size_limits(found)
    return found


# --- tree to pictures ---


def evaluate(node: Node, catalogue: Catalogue) -> Mask:
    """Which pictures a tree finds."""
    match node:
        case Not(inner):
            return ~evaluate(inner, catalogue)
        case AllOf(parts):
            return reduce(np.logical_and, (evaluate(part, catalogue) for part in parts))
        case AnyOf(parts):
            return reduce(np.logical_or, (evaluate(part, catalogue) for part in parts))
        case Term(field="") if not node.quoted and node.value.lower() in FLAGS:
            return FLAGS[node.value.lower()](catalogue)
        case Term():
            return FIELDS[node.field or "caption"](node, catalogue)


def glob(pattern: str, literal: bool = False, inside: bool = False) -> Callable[[str], bool]:
    """Does a text look like a pattern with * (anything) and ? (one sign)? Cases of letters count alike.

    inside: anywhere in the text. The time is at most the product of both lengths, whatever the pattern.
    """
    folded = pattern.casefold()
    if literal or not set(folded) & set("*?"):
        return (lambda text: folded in text.casefold()) if inside else (lambda text: folded == text.casefold())
    if inside:
        folded = f"*{folded}*"
    parts = [re.escape(part).replace(r"\?", ".") for part in re.split(r"\*+", folded)]
    if len(parts) == 1:
        found = re.compile(parts[0], re.DOTALL)
    else:
        # Atomic groups take the first place where a part fits: no later one could help, so none is tried.
        middle = "".join(f"(?>.*?{part})" for part in parts[1:-1])
        found = re.compile(f"{parts[0]}{middle}.*{parts[-1]}", re.DOTALL)
    return lambda text: found.fullmatch(text.casefold()) is not None


def _column(catalogue: Catalogue, test: Callable[[int], bool]) -> Mask:
    return np.fromiter(map(test, range(len(catalogue))), dtype=np.bool_, count=len(catalogue))


def plain(tag: str) -> str:
    """A tag as it is compared: underscores are spaces, and a backslash before a bracket says nothing."""
    return tag.replace("\\(", "(").replace("\\)", ")").replace("_", " ")


def _tag(term: Term, catalogue: Catalogue) -> Mask:
    looks = glob(plain(term.value), term.quoted)
    flat = catalogue.flat_tags()
    wanted = np.fromiter((looks(plain(tag)) for tag in catalogue.vocabulary), dtype=np.bool_,
                         count=len(catalogue.vocabulary))  # fmt: skip
    found = np.zeros(len(catalogue), dtype=np.bool_)
    if len(flat.tags):
        found[flat.items[wanted[flat.tags]]] = True
    return found


def _caption(term: Term, catalogue: Catalogue) -> Mask:
    looks = glob(term.value, term.quoted, inside=True)
    return _column(catalogue, lambda number: looks(catalogue.text(number)))


def _name(term: Term, catalogue: Catalogue) -> Mask:
    looks = glob(term.value, term.quoted, inside=not set(term.value) & set("*?"))
    return _column(catalogue, lambda number: looks(catalogue.paths[number].rpartition("/")[2]))


def _path(term: Term, catalogue: Catalogue) -> Mask:
    looks = glob(term.value, term.quoted, inside=not set(term.value) & set("*?"))
    return _column(catalogue, lambda number: looks(catalogue.paths[number]))


def _folder(term: Term, catalogue: Catalogue) -> Mask:
    looks = glob(term.value.strip("/"), term.quoted)
    return _column(catalogue, lambda number: looks(catalogue.paths[number].rpartition("/")[0]))


def _type(term: Term, catalogue: Catalogue) -> Mask:
    looks = glob(term.value.lstrip("."), term.quoted)
    return _column(catalogue, lambda number: looks(catalogue.paths[number].rpartition(".")[2]))


_NUMBER = r"(\d{1,12}(?:\.\d{1,6})?)(k|kb|m|mb|g|gb)?"
_LIMIT = re.compile(rf"(>=|<=|>|<|=)?{_NUMBER}", re.IGNORECASE)
_RANGE = re.compile(rf"{_NUMBER}\.\.{_NUMBER}", re.IGNORECASE)
_RATIO = re.compile(r"(>=|<=|>|<|=)?(\d{1,5}):(\d{1,5})")
_UNITS = {"": 1, "k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9}
_COMPARE: dict[str, Callable[[NDArray[np.float64], float], Mask]] = {
    ">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal, "=": np.isclose,
}  # fmt: skip
_SIZE = re.compile(r"(>=|<=|>|<|=)?(\d{1,6})x(\d{1,6})", re.IGNORECASE)


def limits(term: Term) -> list[tuple[str, float]]:
    """What `>=512`, `512`, `512..1024`, `2MB` or (as a ratio) `16:9` ask for. Raises QueryError."""
    value = term.value
    if term.field == "ratio" and (match := _RATIO.fullmatch(value)) and int(match[3]):
        return [(match[1] or "=", int(match[2]) / int(match[3]))]
    if match := _RANGE.fullmatch(value):
        return [(">=", float(match[1]) * _UNITS[(match[2] or "").lower()]),
                ("<=", float(match[3]) * _UNITS[(match[4] or "").lower()])]  # fmt: skip
    if match := _LIMIT.fullmatch(value):
        return [(match[1] or "=", float(match[2]) * _UNITS[(match[3] or "").lower()])]
    raise QueryError(
        f"{value!r} at letter {term.start + 1} is no number; write {term.field}:>=512, {term.field}:512 or "
        f"{term.field}:512..1024.", term.start, term.end,
    )  # fmt: skip


def _compared(values: NDArray[np.float64], wanted: Sequence[tuple[str, float]]) -> Mask:
    return reduce(np.logical_and, (_COMPARE[sign](values, limit) for sign, limit in wanted))


def _size_limits(term: Term) -> tuple[str, float, float] | None:
    match = _SIZE.fullmatch(term.value)
    if match is None:
        limits(term)
        return None
    return match[1] or "=", float(match[2]), float(match[3])


def _size(term: Term, catalogue: Catalogue) -> Mask:
    """`512x768`: both sides; a number alone: the shorter side."""
    width, height = catalogue.sizes[:, 0].astype(np.float64), catalogue.sizes[:, 1].astype(np.float64)
    both = _size_limits(term)
    if both is None:
        return _compared(np.minimum(width, height), limits(term))
    sign, wide, high = both
    return _COMPARE[sign](width, wide) & _COMPARE[sign](height, high)


def _counts(count: Callable[[str], int]) -> Callable[[Catalogue], NDArray[np.float64]]:
    def column(catalogue: Catalogue) -> NDArray[np.float64]:
        return np.fromiter((count(catalogue.text(number)) for number in range(len(catalogue))), dtype=np.float64,
                           count=len(catalogue))  # fmt: skip

    return column


def _tags_each(catalogue: Catalogue) -> NDArray[np.float64]:
    return np.bincount(catalogue.flat_tags().items, minlength=len(catalogue)).astype(np.float64)


_NUMBERS: dict[str, Callable[[Catalogue], NDArray[np.float64]]] = {
    "width": lambda catalogue: catalogue.sizes[:, 0].astype(np.float64),
    "height": lambda catalogue: catalogue.sizes[:, 1].astype(np.float64),
    "pixels": lambda catalogue: catalogue.sizes.prod(axis=1).astype(np.float64),
    "bytes": lambda catalogue: catalogue.bytes.astype(np.float64),
    "repeats": lambda catalogue: catalogue.repeats.astype(np.float64),
    "tags": _tags_each,
    "words": _counts(lambda text: len(text.split())),
    "letters": _counts(len),
}


def _number(term: Term, catalogue: Catalogue) -> Mask:
    return _compared(_NUMBERS[term.field](catalogue), limits(term))


def _ratio(term: Term, catalogue: Catalogue) -> Mask:
    ratios = catalogue.sizes[:, 0] / np.maximum(catalogue.sizes[:, 1], 1)
    return _compared(ratios, limits(term))


FIELDS: dict[str, Callable[[Term, Catalogue], Mask]] = {
    "tag": _tag, "caption": _caption, "name": _name, "path": _path, "folder": _folder, "type": _type, "size": _size,
    "ratio": _ratio, **dict.fromkeys(_NUMBERS, _number),
}  # fmt: skip
FLAGS: dict[str, Callable[[Catalogue], Mask]] = {
    "untagged": lambda catalogue: ~catalogue.captioned(),
    "captioned": lambda catalogue: catalogue.captioned(),
    "masked": lambda catalogue: _column(catalogue, lambda number: catalogue.paths[number] in catalogue.masks),
    "unreadable": lambda catalogue: _column(catalogue, lambda number: bool(catalogue.captions[number].reading.problem)),
}
"""Words that stand alone; to look for them as texts, put them in quotation marks."""
