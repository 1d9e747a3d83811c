"""What each number format of the frozen weights takes: bytes, and the time of a training step beside one in bf16.

    python benchmarks/formats/run.py [--rounds 10] [--device cuda] [--output benchmarks/results/formats.json]

Blocks of Flux.1 of a sixth of its width, a LoRA of rank 16, forward and backward for one picture of 512 tokens. Every
round runs each format once and compares it with bf16 in the same round, so that a busy machine slows all alike; the
figures are medians. On a CPU processor time is measured, one thread. The loss is the distance of the output from that
of the full weights, as a share of it; the weights are random.
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
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from loratory.config.architectures import SPECS
from loratory.config.network import LoraConfig
from loratory.models.base import Components
from loratory.models.common.storage import FORMATS, pack_weights
from loratory.networks.base import inject

HEADS, TOKENS, TEXT, RANK = 4, 448, 64, 16
WIDTH = HEADS * 128
WARM_UP_ROUNDS = 1


class Model:
    """As much of an architecture as a network asks for."""

    def __init__(self, denoiser: nn.Module) -> None:
        self.spec = SPECS["flux1"]
        self.components = Components(denoiser, {}, nn.Module())


def blocks(device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    net = FluxTransformer2DModel(
        in_channels=64, num_layers=1, num_single_layers=2, attention_head_dim=128, num_attention_heads=HEADS,
        joint_attention_dim=WIDTH, pooled_projection_dim=768,
    )  # fmt: skip
    return net.to(device, torch.bfloat16).requires_grad_(False)


def inputs(device: torch.device) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    floats = {
        "hidden_states": torch.randn(1, TOKENS, 64, generator=generator),
        "encoder_hidden_states": torch.randn(1, TEXT, WIDTH, generator=generator),
        "pooled_projections": torch.randn(1, 768, generator=generator),
        "timestep": torch.tensor([0.5]),
    }
    ids = {"img_ids": torch.zeros(TOKENS, 3), "txt_ids": torch.zeros(TEXT, 3)}
    return {name: each.to(device, torch.bfloat16) for name, each in floats.items()} | {
        name: each.to(device) for name, each in ids.items()
    }


def seconds(net: nn.Module, given: dict[str, Tensor]) -> float:
    """Of a step without its optimizer."""
    device = given["hidden_states"].device
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    started = clock()
    net(**given, return_dict=False)[0].float().square().mean().backward()
    if device.type != "cpu":
        torch.accelerator.synchronize()
    return clock() - started


def bytes_of(net: nn.Module, paths: list[str]) -> int:
    layers = [net.get_submodule(path) for path in paths]
    return sum(
        each.nbytes
        for layer in layers
        for name, each in [*layer.named_parameters(), *layer.named_buffers()]
        if name != "bias"
    )


def prepared(device: torch.device) -> tuple[dict[str, nn.Module], dict[str, dict[str, float]]]:
    """The blocks in every format, with a fresh LoRA, and what is known of each before a step."""
    given, full = inputs(device), blocks(device)
    nets, figures = {"bf16": full}, {}
    with torch.no_grad():
        wanted = full(**given, return_dict=False)[0].float()
    for name, form in FORMATS.items():
        net = copy.deepcopy(full)
        paths = pack_weights(net, form)
        with torch.no_grad():
            found = net(**given, return_dict=False)[0].float()
        figures[name] = {
            "bits of a number": round(bytes_of(net, paths) / bytes_of(full, paths) * 16, 2),
            "loss of the output": round(float((found - wanted).norm() / wanted.norm()), 4),
        }
        nets[name] = net
    for net in nets.values():
        inject(Model(net), LoraConfig(rank=RANK), seed=0).to(device).train()
    return nets, figures


def measure(device: torch.device, rounds: int) -> tuple[float, dict[str, dict[str, float]]]:
    """Milliseconds of a step in bf16, and for each format what it takes."""
    nets, figures = prepared(device)
    given = inputs(device)
    times: dict[str, list[float]] = {name: [] for name in nets}
    for number in range(rounds + WARM_UP_ROUNDS):
        for name, net in nets.items():
            taken = seconds(net, given)
            if number >= WARM_UP_ROUNDS:
                times[name].append(taken)
    alone = times.pop("bf16")
    for name, values in times.items():
        ratio = statistics.median(taken / plain for taken, plain in zip(values, alone, strict=True))
        figures[name]["step, times bf16"] = round(ratio, 2)
    return 1000 * statistics.median(alone), figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "formats.json")
    options = parser.parse_args()
    device = torch.device(options.device)
    milliseconds, figures = measure(device, options.rounds)
    record: dict[str, Any] = {
        "benchmark": "formats",
        "rounds": options.rounds,
        "step in bf16, milliseconds": round(milliseconds, 1),
        "format": figures,
        "machine": {
            "torch": torch.__version__, "python": platform.python_version(), "threads": torch.get_num_threads(),
            "device": str(device),
        },
    }  # fmt: skip
    options.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
