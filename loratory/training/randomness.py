"""Randomness as a function of where we are, never of history.

Every draw comes from a Philox stream (Salmon et al. 2011) whose key is the seed and the stream's name, and whose
counter starts at the place: (epoch or step, slot). So a resumed run needs no generator state, and changing one kind of
draw leaves all others as they were.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, name: str, *place: int) -> np.random.Generator:
    """The generator for one place, given by up to three non-negative numbers below 2^64; those left out count as 0.

    Streams of different places never overlap: the lowest counter word alone runs while numbers are drawn, and 2^64
    blocks fit into it.
    """
    assert len(place) <= 3, "a Philox counter has room for three numbers"
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()
    key = np.frombuffer(digest, dtype="<u8").astype(np.uint64)
    counter = np.zeros(4, dtype=np.uint64)
    counter[1 : 1 + len(place)] = place
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def micro_batch_seed(seed: int, step: int, micro_batch: int) -> int:
    """A 63-bit seed for draws that are made on the device (dropout) in one micro-batch."""
    digest = hashlib.blake2b(f"{seed}/device/{step}/{micro_batch}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
