"""Weights in a text: `(word)`, `[word]`, `(word:1.3)`, as AUTOMATIC1111's interface introduced them."""

from __future__ import annotations

import re

UP = 1.1
"""What round brackets multiply by; square ones divide by it."""

_PIECE = re.compile(r"\\[()\[\]\\]|[(\[\]]|:\s*([+-]?\d*\.?\d+)\s*\)|\)|[^\\()\[\]:]+|.", re.DOTALL)


def weighted_parts(text: str) -> list[tuple[str, float]]:
    """The parts of a text and their weights, neighbours of one weight joined; [("", 1.0)] for an empty text.

    Nested brackets multiply. `\\(` is a bracket. A bracket that is never closed reaches to the end; one that was never
    opened is a sign like any other, and so is a number outside of round brackets.
    """
    parts: list[str] = []
    weights: list[float] = []
    open_brackets: list[tuple[str, int]] = []

    def add(piece: str) -> None:
        parts.append(piece)
        weights.append(1.0)

    def close(kind: str, factor: float) -> bool:
        if not any(each == kind for each, _ in open_brackets):
            return False
        # The last one of its kind: brackets may overlap, "(a [b) c]".
        place = max(i for i, (each, _) in enumerate(open_brackets) if each == kind)
        _, start = open_brackets.pop(place)
        for i in range(start, len(weights)):
            weights[i] *= factor
        return True

    for match in _PIECE.finditer(text):
        piece = match[0]
        if piece.startswith("\\") and len(piece) == 2:
            add(piece[1])
        elif piece in ("(", "["):
            open_brackets.append((piece, len(parts)))
        elif piece.endswith(")"):
            if not close("(", UP if match[1] is None else float(match[1])):
                add(piece)
        elif piece == "]":
            if not close("[", 1 / UP):
                add(piece)
        else:
            add(piece)
    while open_brackets:
        kind = open_brackets[-1][0]
        close(kind, UP if kind == "(" else 1 / UP)
    return _joined(parts, weights)


def _joined(texts: list[str], weights: list[float]) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for text, weight in zip(texts, weights, strict=True):
        if found and found[-1][1] == weight:
            found[-1] = (found[-1][0] + text, weight)
        else:
            found.append((text, weight))
    return found or [("", 1.0)]
