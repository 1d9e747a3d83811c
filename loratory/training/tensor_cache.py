"""A store of encoded pictures and texts, addressed by what they were made from.

On disk it is a folder of safetensors shards that only ever grows: a shard appears whole, and nothing in it changes.
An entry's key says everything that went into it, so a stale entry cannot be found, and going back to old settings
finds the old entries again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from loratory.files import declare_points, sweep_temporaries, write_atomic
from loratory.runs.names import new_ulid

declare_points("cache")

log = logging.getLogger(__name__)

SHARD_BYTES = 64 * 2**20
OPEN_SHARDS = 32

Entry = dict[str, Tensor]


def key_of(*parts: object) -> str:
    """A key from everything an entry depends on."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        text = repr(part).encode()
        digest.update(len(text).to_bytes(8, "little") + text)
    return digest.hexdigest()


def fingerprint(*modules: nn.Module) -> str:
    """Changes with any weight of the modules, their names, shapes or number format.

    Each tensor contributes the 64-bit sum of its raw bits and its first 4096 bytes, which runs at the memory's speed: a
    text encoder of 9 GB takes about a second, where a cryptographic hash would take ten at every start.
    """
    digest = hashlib.blake2b(digest_size=16)
    for module in modules:
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            flat = tensor.detach().contiguous().reshape(-1)
            if flat.numel() == 0:
                continue
            width = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[flat.element_size()]
            bits = flat.view(width)
            digest.update(str(int(bits.sum(dtype=torch.int64))).encode())
            digest.update(bits[: 4096 // flat.element_size()].cpu().numpy().tobytes())
    return digest.hexdigest()


class TensorCache:
    """Entries of named tensors by key, in memory and, with a folder, also on disk.

    Entries that were added stay in memory until their shard is written (disk) or for good (memory).
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._memory: dict[str, Entry] = {}
        self._waiting_bytes = 0
        self._where: dict[str, tuple[Path, list[str]]] = {}
        self._shards: OrderedDict[Path, safe_open] = OrderedDict()
        self._used: set[Path] = set()
        self._stack = ExitStack()
        if folder is not None and folder.is_dir():
            sweep_temporaries(folder)
            for path in sorted(folder.glob("*.safetensors")):
                self._read_names(path)

    def _read_names(self, path: Path) -> None:
        try:
            with safe_open(path, "pt") as shard:
                for name in shard.keys():  # noqa: SIM118  (not a dict)
                    key, _, tensor = name.partition("/")
                    self._where.setdefault(key, (path, []))[1].append(tensor)
        except SafetensorError as error:
            # Shards appear whole, so this file was damaged later. What it held is made again.
            log.warning("The cache file %s is damaged (%s) and is not used; delete it.", path, error)

    def __contains__(self, key: str) -> bool:
        return key in self._memory or key in self._where

    def get(self, key: str) -> Entry:
        """The tensors of an entry, on the CPU. Raises KeyError for an unknown key."""
        if key in self._memory:
            return self._memory[key]
        path, names = self._where[key]
        shard = self._open(path)
        return {name: shard.get_tensor(f"{key}/{name}") for name in names}

    def _open(self, path: Path) -> safe_open:
        if path in self._shards:
            self._shards.move_to_end(path)
            return self._shards[path]
        if path not in self._used:
            self._used.add(path)
            # Says when it was last of use, which `prune` goes by. A cache that others own may be read all the same.
            with suppress(PermissionError):
                os.utime(path)
        if len(self._shards) >= OPEN_SHARDS:
            self._shards.popitem(last=False)
        self._shards[path] = safe_open(path, "pt")
        return self._shards[path]

    def add(self, key: str, entry: Entry) -> None:
        """Store an entry. On disk it appears when its shard is full or at `flush`."""
        self.add_all({key: entry})

    def add_all(self, entries: Mapping[str, Entry]) -> None:
        """Store entries that were made together: they stand in one shard, so a kill loses all of them or none."""
        for key, entry in entries.items():
            kept = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in entry.items()}
            self._memory[key] = kept
            self._waiting_bytes += sum(tensor.nbytes for tensor in kept.values())
        if self._folder is not None and self._waiting_bytes >= SHARD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting as one shard. Raises DiskFull."""
        if self._folder is None or not self._memory:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{new_ulid()}.safetensors"
        tensors = {f"{key}/{name}": tensor for key, entry in self._memory.items() for name, tensor in entry.items()}
        write_atomic(path, save(tensors), point="cache")
        for key, entry in self._memory.items():
            self._where[key] = (path, list(entry))
        self._memory = {}
        self._waiting_bytes = 0


def prune(folder: Path, older_than_days: float) -> tuple[int, int]:
    """Delete shards that no run has read for so long. Returns how many files and bytes went."""
    files = size = 0
    for path in _shards_below(folder):
        information = path.stat()
        if time.time() - information.st_mtime > older_than_days * 86400:
            path.unlink()
            files, size = files + 1, size + information.st_size
    return files, size


def _shards_below(folder: Path) -> Iterable[Path]:
    return sorted(folder.rglob("*.safetensors")) if folder.is_dir() else []
