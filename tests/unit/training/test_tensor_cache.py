"""The store of encoded pictures and texts: what goes in comes out, and nothing else ever does."""

from __future__ import annotations

import copy
import logging
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from loratory.files import FAULT_VARIABLE, DiskFull
from loratory.training import tensor_cache
from loratory.training.tensor_cache import TensorCache, fingerprint, key_of, prune

Entry = dict[str, Tensor]


def entry(number: int, dtype: torch.dtype = torch.float32) -> Entry:
    return {"mean": torch.arange(number, number + 6).reshape(2, 3).to(dtype), "deviation": torch.full((1,), number / 8)}


def check(cache: TensorCache, wanted: dict[str, Entry]) -> None:
    for key, tensors in wanted.items():
        assert key in cache
        found = cache.get(key)
        assert found.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert found[name].dtype == tensor.dtype
            assert torch.equal(found[name], tensor)


@pytest.mark.parametrize("on_disk", [False, True])
def test_what_goes_in_comes_out(tmp_path: Path, on_disk: bool) -> None:
    cache = TensorCache(tmp_path / "deep" / "cache" if on_disk else None)
    formats = [torch.float32, torch.bfloat16, torch.float16, torch.int64]
    wanted = {f"key{number}": entry(number, dtype) for number, dtype in enumerate(formats)}
    for key, tensors in wanted.items():
        assert key not in cache
        cache.add(key, tensors)
        check(cache, {key: tensors})
    cache.flush()
    check(cache, wanted)
    with pytest.raises(KeyError):
        cache.get("unknown")
    shards = list(tmp_path.rglob("*.safetensors"))
    assert len(shards) == (1 if on_disk else 0)
    if on_disk:
        check(TensorCache(tmp_path / "deep" / "cache"), wanted)


def test_entries_are_copies(tmp_path: Path) -> None:
    """What the caller does to a tensor afterwards, or that it is a piece of a larger one, must not matter."""
    cache = TensorCache(tmp_path)
    large = torch.arange(12.0).reshape(3, 4)
    cache.add("piece", {"mean": large[:, 1]})
    large.zero_()
    check(cache, {"piece": {"mean": torch.tensor([1.0, 5.0, 9.0])}})
    cache.flush()
    check(TensorCache(tmp_path), {"piece": {"mean": torch.tensor([1.0, 5.0, 9.0])}})


def test_a_second_flush_writes_only_what_is_new(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path)
    cache.flush()
    assert not list(tmp_path.iterdir()), "an empty shard says nothing"
    for number in range(3):
        cache.add(f"key{number}", entry(number))
        cache.flush()
        cache.flush()
    assert len(list(tmp_path.iterdir())) == 3
    check(TensorCache(tmp_path), {f"key{number}": entry(number) for number in range(3)})


def test_a_shard_is_written_as_soon_as_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_cache, "SHARD_BYTES", 60)  # two entries of 28 bytes are less, three are more
    cache = TensorCache(tmp_path)
    for number in range(7):
        cache.add(f"key{number}", entry(number))
        assert len(list(tmp_path.iterdir())) == (number + 1) // 3
    check(cache, {f"key{number}": entry(number) for number in range(7)})


def test_two_processes_may_add_the_same(tmp_path: Path) -> None:
    one, other = TensorCache(tmp_path), TensorCache(tmp_path)
    for cache in (one, other):
        cache.add("same", entry(1))
        cache.flush()
    other.add("more", entry(2))
    other.flush()
    check(TensorCache(tmp_path), {"same": entry(1), "more": entry(2)})


# Damage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [0, 5, 100, -1])
def test_a_damaged_shard_is_named_and_not_used(left: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = TensorCache(tmp_path)
    cache.add("lost", entry(1))
    cache.flush()
    (victim,) = tmp_path.iterdir()
    cache.add("kept", entry(2))
    cache.flush()
    victim.write_bytes(victim.read_bytes()[:left])
    with caplog.at_level(logging.WARNING):
        again = TensorCache(tmp_path)
    assert "lost" not in again
    check(again, {"kept": entry(2)})
    assert [str(victim) in record.getMessage() for record in caplog.records] == [True]
    again.add("lost", entry(1))
    again.flush()
    check(TensorCache(tmp_path), {"lost": entry(1), "kept": entry(2)})


POINTS = ["cache.before_write", "cache.before_rename", "cache.after_rename"]


@pytest.mark.skipif(sys.platform == "win32", reason="platform: a process is forked and killed")
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_leaves_only_whole_shards(point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FAULT_VARIABLE, f"{point}:2")
    child = os.fork()
    if child == 0:
        try:
            cache = TensorCache(tmp_path)
            for number in range(3):
                cache.add(f"key{number}", entry(number))
                cache.flush()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    monkeypatch.delenv(FAULT_VARIABLE)
    cache = TensorCache(tmp_path)
    written = 2 if point == "cache.after_rename" else 1
    assert [f"key{number}" in cache for number in range(3)] == [number < written for number in range(3)]
    check(cache, {f"key{number}": entry(number) for number in range(written)})
    leftovers = [path for path in tmp_path.iterdir() if path.suffix != ".safetensors"]
    assert len(leftovers) == (1 if point == "cache.before_rename" else 0)
    # They are swept as soon as no other process can still be writing them.
    for path in leftovers:
        os.utime(path, (0, 0))
    TensorCache(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors"}


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = TensorCache(tmp_path)
    cache.add("key", entry(1))
    monkeypatch.setenv(FAULT_VARIABLE, "cache.before_rename=enospc")
    with pytest.raises(DiskFull, match="full"):
        cache.flush()
    monkeypatch.delenv(FAULT_VARIABLE)
    assert not list(tmp_path.iterdir())
    check(cache, {"key": entry(1)})
    cache.flush()
    check(TensorCache(tmp_path), {"key": entry(1)})


# Many shards -------------------------------------------------------------------------------------------------


def test_few_shards_are_open_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {f"key{number}": entry(number) for number in range(5)}
    cache = TensorCache(tmp_path)
    for key, tensors in wanted.items():
        cache.add(key, tensors)
        cache.flush()
    opened: list[Path] = []
    real = tensor_cache.safe_open

    def counting(path: Path, framework: str) -> object:
        opened.append(path)
        return real(path, framework)

    monkeypatch.setattr(tensor_cache, "OPEN_SHARDS", 2)
    monkeypatch.setattr(tensor_cache, "safe_open", counting)
    for _ in range(2):
        check(cache, wanted)
    assert len(opened) == 10, "in turn, each of the five is pushed out before it comes again"
    opened.clear()
    for key in ("key0", "key1", "key0", "key2", "key0", "key1"):
        check(cache, {key: wanted[key]})
    assert len(opened) == 4, "the one not used for longest is closed: key0 stays open, key1 is opened again"


def test_prune_deletes_what_was_not_read_for_long(tmp_path: Path) -> None:
    days = 86400.0
    sizes = {}
    for number, folder in enumerate(["latents/a", "latents/b", "texts/c"]):
        cache = TensorCache(tmp_path / folder)
        cache.add("key", entry(number))
        cache.flush()
        (shard,) = (tmp_path / folder).iterdir()
        os.utime(shard, (time.time() - 40 * days, time.time() - 40 * days))
        sizes[folder] = shard.stat().st_size
    check(TensorCache(tmp_path / "latents/b"), {"key": entry(1)})  # reading makes it young again
    assert prune(tmp_path, 50) == (0, 0)
    assert prune(tmp_path, 30) == (2, sizes["latents/a"] + sizes["texts/c"])
    assert [path.parent.name for path in tmp_path.rglob("*.safetensors")] == ["b"]
    assert prune(tmp_path / "nowhere", 0) == (0, 0)


def test_only_opening_a_cache_does_not_make_it_young(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path)
    cache.add("key", entry(1))
    cache.flush()
    (shard,) = tmp_path.iterdir()
    os.utime(shard, (1000, 1000))
    again = TensorCache(tmp_path)
    assert "key" in again
    assert shard.stat().st_mtime == 1000
    again.get("key")
    assert shard.stat().st_mtime > 1000


# Keys and fingerprints ---------------------------------------------------------------------------------------


def test_a_cache_of_others_is_read_though_its_times_cannot_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = TensorCache(tmp_path)
    owner.add("key", entry(1))
    owner.flush()

    def refuse(*_arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refuse)
    check(TensorCache(tmp_path), {"key": entry(1)})


def test_keys_tell_their_parts_apart() -> None:
    parts: list[tuple[object, ...]] = [
        ("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("1",), (1,), (1.0,), (True,), (None,), ("None",), ((1, 2),),
        (1, 2), (),
    ]  # fmt: skip
    assert len({key_of(*each) for each in parts}) == len(parts)
    assert key_of("a", 1) == key_of("a", 1)
    assert len(key_of("a")) == 32


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(40, 50), nn.LayerNorm(50), nn.Conv2d(3, 4, 3)).to(dtype)
    module.register_buffer("steps", torch.arange(3))
    module.register_buffer("empty", torch.zeros(0))
    return module


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("place", [0, 3, 1023, 1024, 1500, 1999])  # 0.weight has 2000 numbers
def test_one_flipped_bit_changes_the_fingerprint(dtype: torch.dtype, place: int) -> None:
    module = network(dtype)
    before = fingerprint(module)
    width = {2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
    bits = module[0].weight.data.view(width).view(-1)
    for bit in (0, 8 * dtype.itemsize - 2, 8 * dtype.itemsize - 1):
        mask = torch.tensor(1, dtype=torch.int64).bitwise_left_shift(torch.tensor(bit)).to(width)
        bits[place] ^= mask
        assert fingerprint(module) != before, bit
        bits[place] ^= mask
    assert fingerprint(module) == before


def test_what_else_changes_the_fingerprint() -> None:
    plain = fingerprint(network())
    assert fingerprint(copy.deepcopy(network())) == plain
    others = {
        "number format": network(torch.bfloat16),
        "name": nn.Sequential(*network().children(), nn.Identity()),  # the buffers are gone
        "wrapped": nn.ModuleDict({"inner": network()}),
        "buffer": network(),
        "shape": network(),
    }
    others["buffer"].steps[1] = 7
    others["shape"][0].weight.data = others["shape"][0].weight.data.reshape(50, 40).reshape(25, 80)
    found = {name: fingerprint(module) for name, module in others.items()}
    assert len({plain, *found.values()}) == 1 + len(others), found
    assert fingerprint(network(), network()) != plain


def test_the_fingerprint_does_not_depend_on_how_tensors_lie_in_memory() -> None:
    module = network()
    strided = copy.deepcopy(module)
    strided[2].weight.data = strided[2].weight.data.to(memory_format=torch.channels_last)
    assert not strided[2].weight.is_contiguous()
    assert fingerprint(strided) == fingerprint(module)
