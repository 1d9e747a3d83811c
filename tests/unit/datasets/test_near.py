"""Look-alikes: the same as comparing each with each, without doing so."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from loratory.datasets.near import fingerprint, groups, sharpness

BITS = st.integers(0, 2**64 - 1)


def by_comparing(prints: list[int], distance: int) -> set[frozenset[int]]:
    """Groups by comparing each with each: the expected side."""
    group = list(range(len(prints)))
    for one in range(len(prints)):
        for other in range(one):
            if (prints[one] ^ prints[other]).bit_count() <= distance:
                old, new = group[one], group[other]
                group = [new if each == old else each for each in group]
    found = [frozenset(place for place, each in enumerate(group) if each == name) for name in set(group)]
    return {each for each in found if len(each) > 1}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(BITS, st.lists(st.integers(0, 63), max_size=8)), max_size=12), st.integers(0, 8),
       st.booleans())  # fmt: skip
def test_groups_are_those_of_comparing_each_with_each(rows: list, distance: int, small: bool) -> None:
    prints = []
    for base, flipped in rows:
        prints.append(base)
        prints.append(base ^ sum({1 << bit for bit in flipped}))
    with pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr("loratory.datasets.near._COMPARED_AT_ONCE", 2)
            patch.setattr("loratory.datasets.near._LEAST_BITS", 50)
        found = groups(np.array(prints, dtype=np.uint64), np.zeros(len(prints), dtype=np.int64), distance)
    if not small:
        assert {frozenset(each) for each in found} == by_comparing(prints, distance)
    else:
        # Cut small for the test, blocks of what agrees nearly everywhere are compared with their neighbours alone.
        wanted = by_comparing(prints, distance)
        assert all(any(set(each) <= group for group in wanted) for each in found)


def test_large_parts_are_split_again_and_nothing_is_missed() -> None:
    random = np.random.default_rng(3)
    prints = random.integers(0, 2**40, 6000, dtype=np.uint64)  # the upper 24 bits of all agree
    prints[3000:] = prints[:3000] ^ (np.uint64(1) << random.integers(0, 40, 3000).astype(np.uint64))
    found = groups(prints, np.zeros(6000, dtype=np.int64), 3)
    pairs = {frozenset(each) for each in found}
    assert sum(any({number, number + 3000} <= each for each in pairs) for number in range(0, 3000, 100)) == 30


def test_a_hundred_thousand_are_not_compared_each_with_each() -> None:
    random = np.random.default_rng(4)
    prints = random.integers(0, 2**64, 30_000, dtype=np.uint64, endpoint=False)
    begun = time.process_time()
    assert groups(prints, np.zeros(len(prints), dtype=np.int64)) == []
    assert time.process_time() - begun < 4


def test_another_colour_is_another_picture() -> None:
    prints = np.zeros(3, dtype=np.uint64)
    assert groups(prints, np.array([0x101010, 0x202020, 0xFF0000])) == [[0, 1]]


def test_fingerprint_and_sharpness_of_known_pictures() -> None:
    ramp = np.repeat(np.arange(90, dtype=np.uint8)[None, :, None], 80, axis=0).repeat(3, axis=2)
    assert fingerprint(ramp) == 2**64 - 1
    assert fingerprint(ramp[:, ::-1]) == 0
    half = ramp.copy()
    half[40:] = half[40:, ::-1]
    assert fingerprint(half) == (2**32 - 1) << 32
    assert sharpness(ramp) == pytest.approx(0, abs=1e-9)
    board = np.indices((10, 10)).sum(axis=0) % 2 * 255
    picture = np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8)
    # Each inner point differs by 255 from its four neighbours: the Laplacian is +-1020, half each.
    assert sharpness(picture) == pytest.approx(1020**2, rel=1e-6)


def test_a_shrunk_copy_looks_alike() -> None:
    random = np.random.default_rng(5)
    large = Image.fromarray(random.integers(0, 256, (6, 9, 3), dtype=np.uint8)).resize((900, 600), 3)
    small = large.resize((300, 200))
    apart = (fingerprint(np.array(large)) ^ fingerprint(np.array(small))).bit_count()
    assert apart <= 5
