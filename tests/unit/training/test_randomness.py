"""Random numbers are functions of a place: the same on every machine, in every order, with every NumPy."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from loratory.training.randomness import micro_batch_seed, stream

WORD = 2**64 - 1


def philox(key: tuple[int, int], counter: list[int]) -> list[int]:
    """Philox 4x64 with ten rounds, from the paper (Salmon et al. 2011, section 3.3 and table 2)."""
    first, second = key
    for _ in range(10):
        upper, lower = 0xD2E7470EE14C6C93 * counter[0], 0xCA5A826395121157 * counter[2]
        counter = [lower >> 64 ^ counter[1] ^ first, lower & WORD, upper >> 64 ^ counter[3] ^ second, upper & WORD]
        first, second = first + 0x9E3779B97F4A7C15 & WORD, second + 0xBB67AE8584CAA73B & WORD
    return counter


@pytest.mark.parametrize(
    ("seed", "name", "place"),
    [(42, "noise", (0, 0)), (42, "noise", (3, 1)), (0, "time", ()), (2**63 - 1, "crop", (2**40, 7, 2**64 - 1))],
)
def test_numbers_are_those_of_the_paper(seed: int, name: str, place: tuple[int, ...]) -> None:
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()
    key = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
    where = [*place, 0, 0, 0][:3]
    # NumPy counts up before it draws, so that the first block is number 1.
    words = [word for block in (1, 2) for word in philox(key, [block, *where])]
    assert stream(seed, name, *place).random(8).tolist() == [(word >> 11) * 2.0**-53 for word in words]


def test_what_numpy_makes_of_them_stays_what_it_was() -> None:
    """Normal draws and permutations are NumPy's own; a run that is resumed with another NumPy must get the same."""
    assert stream(42, "noise", 3, 1).standard_normal(4, dtype=np.float32).tolist() == [
        0.043556295335292816, -1.9697781801223755, 0.039172373712062836, -0.10433447360992432
    ]  # fmt: skip
    assert stream(42, "noise", 3, 1).standard_normal(3).tolist() == [
        0.31474896996022284, 0.45135164626443036, 0.3908983759078361
    ]  # fmt: skip
    assert stream(42, "bucket-order", 1, 0).permutation(8).tolist() == [5, 2, 3, 1, 7, 0, 4, 6]
    assert stream(42, "crop", 1, 0).integers(np.array([5, 100])).tolist() == [2, 27]


PLACES = [
    (seed, name, place) for seed in (1, 2) for name in ("noise", "time") for place in ((0,), (1,), (0, 1), (1, 1))
]


def test_streams_differ_by_seed_name_and_place() -> None:
    drawn = [stream(seed, name, *place).random(50) for seed, name, place in PLACES]
    assert len(np.unique(np.concatenate(drawn))) == 50 * len(PLACES)


def test_long_streams_do_not_run_into_one_another() -> None:
    """The next place begins 2^64 blocks later, whatever was drawn here."""
    first, second = (stream(5, "noise", slot).integers(0, 2**63, 40_000) for slot in (0, 1))
    assert not np.intersect1d(first, second).size


PROGRAM = """
from loratory.training.randomness import stream
for seed, name, place in {places!r}:
    print(*stream(seed, name, *place).standard_normal(3))
"""


def test_another_process_draws_the_same_in_another_order() -> None:
    program = PROGRAM.format(places=PLACES[::-1])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    here = [" ".join(map(str, stream(seed, name, *place).standard_normal(3))) for seed, name, place in PLACES]
    assert done.stdout.split("\n")[-2::-1] == here


def test_places_that_cannot_be() -> None:
    with pytest.raises(AssertionError, match="three numbers"):
        stream(1, "noise", 0, 0, 0, 0)
    with pytest.raises(OverflowError):
        stream(1, "noise", -1)


def test_seeds_for_the_device() -> None:
    """torch takes signed 64-bit seeds, so the highest bit stays free."""
    seeds = {(step, batch): micro_batch_seed(42, step, batch) for step in range(20) for batch in range(5)}
    assert len(set(seeds.values())) == 100
    assert all(0 <= seed < 2**63 for seed in seeds.values())
    digest = hashlib.blake2b(b"42/device/1/0", digest_size=8).digest()
    assert seeds[1, 0] == int.from_bytes(digest, "little") // 2
    assert micro_batch_seed(43, 1, 0) != seeds[1, 0]
