"""What a LoRA costs beside a bare frozen layer, ours and peft's: Linear 1280, 2048 tokens, forward and backward.

    python benchmarks/network/run.py [--rounds 20] [--device cuda] [--output benchmarks/results/network.json]

Every round runs each variant once and compares it with the bare layer of the same round, so that a busy machine slows
all alike; the figures are medians. On a CPU processor time is measured, one thread. Target: at most 1.2 times the bare
layer; on a CPU with matrix instructions a bare bf16 layer takes so little that memory traffic alone costs more.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch
from peft import LoraConfig as PeftConfig
from peft import inject_adapter_in_model
from torch import Tensor, nn

from loratory.config.network import LoraConfig
from loratory.networks.base import Network
from loratory.networks.types.lora import make_layer

WIDTH, TOKENS, RANK, ALPHA = 1280, 2048, 16, 8.0
WARM_UP_ROUNDS = 2
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
Forward = Callable[[Tensor], Tensor]


def ours(base: nn.Module, *, attached: bool) -> Forward:
    base = copy.deepcopy(base)
    layer = make_layer(base, LoraConfig(rank=RANK, alpha=ALPHA), torch.Generator().manual_seed(0), "layer")
    nn.init.normal_(layer.up, std=0.01)
    if not attached:
        return lambda x: layer(x, base(x))
    Network({"unet.layer": layer}, {"unet.layer": base}).attach()
    return base


def peft(base: nn.Module, adapter_dtype: torch.dtype) -> Forward:
    holder = nn.ModuleDict({"layer": copy.deepcopy(base)})
    inject_adapter_in_model(PeftConfig(r=RANK, lora_alpha=ALPHA, target_modules=["layer"]), holder)
    for name, parameter in holder.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(adapter_dtype)
    return holder["layer"]


def seconds(forward: Forward, x: Tensor, pull: Tensor) -> float:
    clock = time.process_time if x.device.type == "cpu" else time.perf_counter
    started = clock()
    forward(x).backward(pull)
    if x.device.type != "cpu":
        torch.accelerator.synchronize()
    taken = clock() - started
    x.grad = None
    return taken


def measure(precision: str, device: torch.device, rounds: int) -> dict[str, float]:
    """Milliseconds of the bare layer, and how many times as long each variant takes."""
    dtype = PRECISIONS[precision]
    torch.manual_seed(0)
    base = nn.Linear(WIDTH, WIDTH, device=device, dtype=dtype).requires_grad_(False)
    x = torch.randn(1, TOKENS, WIDTH, device=device, dtype=dtype, requires_grad=True)
    pull = torch.randn_like(x)
    variants: dict[str, Forward] = {
        "bare": base,
        "loratory, fp32 adapter": ours(base, attached=True),
        "loratory, fp32 adapter, plain form": ours(base, attached=False),
    }
    for adapter in dict.fromkeys((precision, "fp32")):
        variants[f"peft, {adapter} adapter"] = peft(base, PRECISIONS[adapter])
    times: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds + WARM_UP_ROUNDS):
        for name, forward in variants.items():
            taken = seconds(forward, x, pull)
            if number >= WARM_UP_ROUNDS:
                times[name].append(taken)
    bare = times.pop("bare")
    ratios = {
        name: statistics.median(taken / alone for taken, alone in zip(values, bare, strict=True))
        for name, values in times.items()
    }
    return {
        "bare, milliseconds": round(1000 * statistics.median(bare), 1),
        **{n: round(r, 3) for n, r in ratios.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "network.json")
    options = parser.parse_args()
    device = torch.device(options.device)
    results = {precision: measure(precision, device, options.rounds) for precision in PRECISIONS}
    for precision, figures in results.items():
        print(precision)
        for name, value in figures.items():
            print(f"    {name:<36} {value}{'' if 'milliseconds' in name else ' × bare'}")
    record = {
        "benchmark": "network",
        "rank": RANK,
        "rounds": options.rounds,
        "ratios": results,
        "machine": {
            "system": platform.system(),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
    }
    options.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
