"""Pictures that look alike: a fingerprint of 64 bits for each, and groups of those that differ in few of them.

The fingerprint says for each of 8 x 8 places whether the picture becomes brighter to the right there ("difference
hash", N. Krawetz 2013). Groups are found through parts of fingerprints and not by comparing each with each: two that
differ in at most d bits agree in at least one of d + 1 parts (the pigeonhole principle).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]
_Pairs = tuple[Places, Places]

BITS = 64
_SIDE = 8
_COMPARED_AT_ONCE = 2048
_LEAST_BITS = 40
_COLOUR_TOLERANCE = 24


def fingerprint(pixels: NDArray[np.uint8]) -> int:
    """The 64 bits of a picture, uint8 (H, W, 3) with at least 9 x 8 pixels: row by row, left to right."""
    grey = _mean_in_blocks(pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114]), _SIDE, _SIDE + 1)
    bits = grey[:, 1:] > grey[:, :-1] + 0.5
    return int.from_bytes(np.packbits(bits.reshape(-1)).tobytes(), "big")


def sharpness(pixels: NDArray[np.uint8]) -> float:
    """The variance of the Laplacian of a picture's brightness (Pech-Pacheco et al. 2000); low: blurred."""
    grey = pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    if min(grey.shape) < 3:
        return 0.0
    inner = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    return float(inner.var())


def mean_colour(pixels: NDArray[np.uint8]) -> int:
    """Red, green and blue on average, 8 bits each."""
    red, green, blue = (round(value) for value in pixels.reshape(-1, 3).mean(axis=0))
    return int(red) << 16 | int(green) << 8 | int(blue)


def groups(prints: NDArray[np.uint64], colours: NDArray[np.int64], distance: int = 5) -> list[list[int]]:
    """Pictures that differ in at most `distance` bits, and little in colour, from another one of their group."""
    unique, place = np.unique(np.stack([prints.astype(np.uint64), colours.astype(np.uint64)], axis=1), axis=0,
                                     return_inverse=True)  # fmt: skip
    parent = np.arange(len(unique))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = int(parent[number])
        return number

    hashes, shades = unique[:, 0], unique[:, 1].astype(np.int64)
    for low, high in _near_pairs(hashes, hashes, np.arange(len(hashes)), BITS, distance):
        keep = _alike(shades[low], shades[high])
        for one, other in zip(low[keep].tolist(), high[keep].tolist(), strict=True):
            a, b = root(one), root(other)
            if a != b:
                parent[max(a, b)] = min(a, b)
    roots = np.array([root(number) for number in range(len(unique))], dtype=np.int64)[place.reshape(-1)]
    order = np.argsort(roots, kind="stable")
    cuts = np.flatnonzero(np.diff(roots[order])) + 1
    return [part.tolist() for part in np.split(order, cuts) if len(part) > 1]


def _alike(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
    near = np.ones(len(one), dtype=np.bool_)
    for shift in (16, 8, 0):
        near &= np.abs((one >> shift & 255) - (other >> shift & 255)) <= _COLOUR_TOLERANCE
    return near


def _near_pairs(hashes: Hashes, turned: Hashes, members: Places, width: int, distance: int) -> Iterator[_Pairs]:
    """Pairs of places in `hashes` that differ in at most `distance` bits, each at least once, as two arrays.

    turned: the hashes of `members`, turned so that only their lowest `width` bits may differ.
    """
    edges = [round(width * number / (distance + 1)) for number in range(distance + 2)]
    for low, high in itertools.pairwise(edges):
        if low == high:
            continue
        keys = turned >> np.uint64(low) & _ones(high - low)
        order = np.argsort(keys, kind="stable")
        cuts = np.flatnonzero(np.diff(keys[order])) + 1
        for part in np.split(order, cuts):
            rest = width - (high - low)
            if len(part) > _COMPARED_AT_ONCE and rest >= _LEAST_BITS:
                # These agree in one part; so what differs lies in the other bits, in which parts are looked at again.
                kept = turned[part] & _ones(width)
                again = kept >> np.uint64(high % 64) if high < 64 else np.zeros_like(kept)
                again |= kept << np.uint64(width - high) & _ones(width)
                yield from _near_pairs(hashes, again, members[part], rest, distance)
            elif len(part) > 1:
                yield from _compared(hashes, members[part], distance)


def _compared(hashes: Hashes, members: Places, distance: int) -> Iterator[_Pairs]:
    """Each with each, or, of very many that agree in most bits, each with its neighbours by number."""
    members = members[np.argsort(hashes[members], kind="stable")]
    for start in range(0, len(members), _COMPARED_AT_ONCE):
        some = members[start : start + _COMPARED_AT_ONCE]
        others = members[start : start + 2 * _COMPARED_AT_ONCE]
        near = np.bitwise_count(hashes[some][:, None] ^ hashes[others][None, :]) <= distance
        one, other = np.nonzero(np.triu(near, 1))
        yield some[one], others[other]


def _ones(count: int) -> np.uint64:
    return np.uint64((1 << count) - 1)


def _mean_in_blocks(grey: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
    """The picture in rows x columns blocks, each its mean."""
    bands = [band.mean(axis=0) for band in np.array_split(grey, rows, axis=0)]
    return np.array([[part.mean() for part in np.array_split(band, columns)] for band in bands])
