"""Which device a run uses, and in which number format."""

from __future__ import annotations

import torch

from loratory.config.train import TrainConfig
from loratory.errors import UserError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(wanted: str) -> torch.device:
    """`auto` is the first of CUDA (also ROCm), XPU, MPS, CPU. Raises UserError for one that is not there."""
    if wanted == "auto":
        for kind in ("cuda", "xpu", "mps"):
            if _is_there(kind):
                return torch.device(kind)
        return torch.device("cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise UserError(f"runtime.device: {wanted!r} is no device; use auto, cpu, cuda, cuda:1, mps or xpu.") from None
    if device.type != "cpu" and not _is_there(device.type, device.index):
        raise UserError(
            f"runtime.device: this machine or this torch has no {wanted}; `loratory doctor` says why. Use auto or cpu."
        )
    return device


def _is_there(kind: str, index: int | None = None) -> bool:
    if kind == "mps":
        return torch.backends.mps.is_available()
    module = getattr(torch, kind, None)
    return module is not None and module.is_available() and (index or 0) < module.device_count()


def check_precision(config: TrainConfig, device: torch.device) -> None:
    """Raises UserError for a number format that the device cannot train in."""
    precision = config.memory.precision
    if precision == "fp16" and device.type == "cpu":
        raise UserError(
            "memory.precision: fp16 on a CPU is hundreds of times slower than fp32; set it to bf16 or fp32."
        )
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError(
            f"memory.precision: {torch.cuda.get_device_name(device)} has no bf16 arithmetic; set it to fp16."
        )


def prepare(config: TrainConfig, device: torch.device) -> None:
    """Settings of torch for the whole process."""
    if config.runtime.deterministic and device.type != "cpu":
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    if device.type == "cuda":
        torch.cuda.set_device(device)
        set_tf32(config)


def set_tf32(config: TrainConfig) -> None:
    """Let CUDA round what is multiplied in fp32, or not. Only there: a CPU may take the same switch for another one."""
    allowed = config.memory.tf32 == "on" or (config.memory.tf32 == "auto" and not config.runtime.deterministic)
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
