"""What kind of failure an error is, for programs: one word that stays the same when libraries change their words."""

from __future__ import annotations

import torch

from loratory.errors import UserError
from loratory.files import is_disk_full

_NO_MEMORY = (
    "out of memory",  # CUDA, ROCm, XPU and MPS, where the error is not torch.OutOfMemoryError
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "can't allocate memory",  # torch's own allocator on the CPU
    "not enough memory",
)


def code_of(error: BaseException) -> str:
    """A UserError's own code; disk_full, out_of_memory (of the card), out_of_ram, else unknown."""
    if is_disk_full(error):
        return "disk_full"
    if isinstance(error, UserError):
        return error.code
    if isinstance(error, MemoryError):
        return "out_of_ram"
    words = str(error).lower()
    if isinstance(error, torch.OutOfMemoryError):
        return "out_of_memory"
    if isinstance(error, RuntimeError) and any(each in words for each in _NO_MEMORY):
        return "out_of_ram" if "defaultcpuallocator" in words else "out_of_memory"
    return "unknown"
