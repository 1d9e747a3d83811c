"""What a LoRA costs beside a bare frozen layer, ours and peft's: Linear 1280, 2048 tokens, forward and backward.

Every round runs each variant once, so that a busy machine slows all of them alike; the figures are medians of the
rounds' ratios. `python benchmarks/network/run.py [--rounds N] [--device cuda]`
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from peft import LoraConfig as PeftConfig
from peft import inject_adapter_in_model
from torch import Tensor, nn

from loratory.config.network import LoraConfig
from loratory.networks.lora import make_layer

WIDTH, TOKENS, RANK, ALPHA = 1280, 2048, 16, 8.0
RESULTS = Path(__file__).parent.parent / "results" / "network.json"
Forward = Callable[[Tensor], Tensor]


def ours(base: nn.Module) -> Forward:
    layer = make_layer(base, LoraConfig(rank=RANK, alpha=ALPHA), torch.Generator().manual_seed(0))
    nn.init.normal_(layer.up, std=0.01)
    return lambda x: layer(x, base(x))


def peft(base: nn.Module, adapter_dtype: torch.dtype) -> Forward:
    holder = nn.ModuleDict({"layer": copy.deepcopy(base)})
    inject_adapter_in_model(PeftConfig(r=RANK, lora_alpha=ALPHA, target_modules=["layer"]), holder)
    for name, parameter in holder.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(adapter_dtype)
    return holder["layer"]


def seconds(forward: Forward, x: Tensor, pull: Tensor) -> float:
    started = time.perf_counter()
    forward(x).backward(pull)
    if x.device.type != "cpu":
        torch.accelerator.synchronize()
    taken = time.perf_counter() - started
    x.grad = None
    return taken


def measure(dtype: torch.dtype, device: torch.device, rounds: int) -> dict[str, float]:
    """Seconds of the bare layer, and each variant's time divided by it."""
    torch.manual_seed(0)
    base = nn.Linear(WIDTH, WIDTH, device=device, dtype=dtype).requires_grad_(False)
    x = torch.randn(1, TOKENS, WIDTH, device=device, dtype=dtype, requires_grad=True)
    pull = torch.randn_like(x)
    variants: dict[str, Forward] = {"bare": base, "loratory (fp32 adapter)": ours(base)}
    for adapter_dtype in {dtype, torch.float32}:
        variants[f"peft ({'fp32' if adapter_dtype == torch.float32 else 'bf16'} adapter)"] = peft(base, adapter_dtype)
    times: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds + 2):
        for name, forward in variants.items():
            taken = seconds(forward, x, pull)
            if number >= 2:  # the first rounds warm up
                times[name].append(taken)
    ratios = {
        name: statistics.median(taken / bare for taken, bare in zip(values, times["bare"], strict=True))
        for name, values in times.items()
        if name != "bare"
    }
    return {"bare seconds": statistics.median(times["bare"]), **ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    results = {
        name: measure(dtype, device, options.rounds)
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
    }
    for name, figures in results.items():
        bare = figures["bare seconds"]
        print(f"{name}: bare Linear({WIDTH}), {TOKENS} tokens: {bare * 1000:.1f} ms")
        for variant, ratio in figures.items():
            if variant != "bare seconds":
                print(f"    {variant:<26} {ratio:.2f} × bare")
    RESULTS.parent.mkdir(exist_ok=True)
    record = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "rank": RANK,
        "rounds": options.rounds,
        "figures": results,
    }
    RESULTS.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
