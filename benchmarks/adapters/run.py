"""A training step with our LoRA against the same step with peft's: a tiny UNet of SDXL's kind, every attention layer.

    python benchmarks/adapters/run.py [--pairs 300] [--output benchmarks/results/adapters.json]

A step is forward, backward and a fused AdamW step. Steps of the two alternate, so that a busy machine slows both alike;
CPU time of the process is compared, one thread. `plain` is ours without the fast path. Target: at least 10 % less CPU
time than peft's.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig as PeftConfig
from peft import inject_adapter_in_model
from torch import Tensor, nn

from loratory.config.architectures import SPECS, ArchitectureSpec
from loratory.config.network import LoraConfig, TargetsConfig
from loratory.networks import fast
from loratory.networks.base import inject
from tests.tiny import TINY

TARGET_PERCENT = 10.0
RANK, ALPHA, BATCH = 16, 8.0, 1
WARM_UP_STEPS = 5
SIDES = (8, 16, 32)
"""Of the latents; what the adapters cost beside the model falls with it."""


@dataclass(frozen=True)
class Parts:
    denoiser: nn.Module
    text_encoders: dict[str, nn.Module]


@dataclass(frozen=True)
class Model:
    spec: ArchitectureSpec
    components: Parts


def our_parameters(unet: nn.Module, *, plain: bool) -> list[nn.Parameter]:
    model = Model(SPECS["sdxl"], Parts(unet, {}))
    config = LoraConfig(rank=RANK, alpha=ALPHA, targets=TargetsConfig(preset="attn-only"))
    usual = fast.can_be_fast
    if plain:
        fast.can_be_fast = lambda layer, base: False
    try:
        network = inject(model, config, seed=0)
    finally:
        fast.can_be_fast = usual
    unet.network = [network]  # kept alive, and no part of the model
    for layer in network.layers.values():
        nn.init.normal_(layer.up, std=0.01)
    return list(network.parameters())


def peft_parameters(unet: nn.Module) -> list[nn.Parameter]:
    layers = ["to_q", "to_k", "to_v", "to_out.0"]
    inject_adapter_in_model(PeftConfig(r=RANK, lora_alpha=ALPHA, target_modules=layers), unet)
    found = {name: parameter for name, parameter in unet.named_parameters() if "lora_" in name}
    for name, parameter in found.items():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.01)
    return list(found.values())


def make_step(unet: nn.Module, parameters: list[nn.Parameter], side: int) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    torch.manual_seed(1)
    width = unet.config.cross_attention_dim
    inputs = {
        "sample": torch.randn(BATCH, 4, side, side),
        "timestep": torch.full((BATCH,), 500),
        "encoder_hidden_states": torch.randn(BATCH, 77, width),
        "added_cond_kwargs": {
            "text_embeds": torch.randn(BATCH, unet.config.projection_class_embeddings_input_dim - 48),
            "time_ids": torch.tensor([[512.0, 512, 0, 0, 512, 512]]).expand(BATCH, -1),
        },
    }
    target: Tensor = torch.randn(BATCH, 4, side, side)

    def step() -> None:
        torch.nn.functional.mse_loss(unet(**inputs).sample, target).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def measure(base: nn.Module, side: int, pairs: int) -> dict[str, float]:
    """Milliseconds of a step with peft's LoRA, and what ours saves of it, in percent."""
    unets = {name: copy.deepcopy(base) for name in ("peft", "loratory", "loratory, plain")}
    parameters = {
        "peft": peft_parameters(unets["peft"]),
        "loratory": our_parameters(unets["loratory"], plain=False),
        "loratory, plain": our_parameters(unets["loratory, plain"], plain=True),
    }
    assert len({sum(p.numel() for p in each) for each in parameters.values()}) == 1, "they do not train the same"
    steps = {name: make_step(unets[name], parameters[name], side) for name in unets}
    times: dict[str, list[float]] = {name: [] for name in unets}
    for number in range(pairs + WARM_UP_STEPS):
        for name, step in steps.items():
            started = time.process_time()
            step()
            if number >= WARM_UP_STEPS:
                times[name].append(time.process_time() - started)
    theirs = times.pop("peft")
    saved = {
        name: statistics.median(1 - mine / other for mine, other in zip(values, theirs, strict=True))
        for name, values in times.items()
    }
    return {
        "peft, ms": round(1000 * statistics.median(theirs), 2),
        **{f"{name}, % less": round(100 * share, 1) for name, share in saved.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "adapters.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = TINY["sdxl"](Path(folder) / "sdxl")
        base = UNet2DConditionModel.from_pretrained(path, subfolder="unet").requires_grad_(False).train()
    results = {f"latents {side}×{side}": measure(base, side, options.pairs) for side in SIDES}
    for name, figures in results.items():
        print(name, figures)
    record = {
        "benchmark": "adapters",
        "rank": RANK,
        "pairs": options.pairs,
        "steps": results,
        "target, % less": TARGET_PERCENT,
        "machine": {"system": platform.system(), "threads": torch.get_num_threads(), "torch": torch.__version__},
    }
    options.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
