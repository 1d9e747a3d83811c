"""What our training loop costs on top of a bare one.

    python benchmarks/loop/run.py [--pairs 200]

After every step of an ordinary run (`run_training` with caching, metrics, events, control files, status) a bare step
runs on the same modules, the same adapter and data of the same shape: forward, backward, clip, optimizer, schedule.
Steps of the two alternate, so that a busy machine slows both alike. CPU time of the whole process is compared;
batches are made in the training thread (prefetch 0), so that their cost counts as ours. Target: at most 3 %.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from loratory.config.load import parse
from loratory.console import Show
from loratory.files import write_json
from loratory.training.loop import StopFlag, Training
from loratory.training.run import run_training
from tests.tiny import TINY

TARGET_PERCENT = 3.0


def job(folder: Path, steps: int) -> dict:
    pictures = folder / "pictures"
    pictures.mkdir()
    random = np.random.default_rng(0)
    for i in range(8):
        Image.fromarray(random.integers(0, 256, (512, 512, 3), dtype=np.uint8)).save(pictures / f"{i}.png")
        (pictures / f"{i}.txt").write_text(f"a picture of noise, number {i}", encoding="utf-8")
    return {
        "name": "loop",
        "model": {"path": str(TINY["sdxl"](folder / "sdxl"))},
        "datasets": [{"path": str(pictures)}],
        "batching": {"size": 1, "buckets": {"resolution": 512}},
        "duration": {"steps": steps},
        "memory": {"precision": "fp32"},
        "runtime": {"prefetch": 0, "device": "cpu"},
        "schedule": {"type": "cosine", "warmup_steps": 10},
        "saving": {"output_dir": str(folder / "out"), "export_every_n_steps": None, "checkpoint_every_n_minutes": None},
        "sampling": {"before_first_step": False},
    }


class Bare:
    """The least that a training step can be."""

    def __init__(self, training: Training) -> None:
        model = training.architecture
        self.unet = model.components.denoiser
        self.parameters = list(training.network.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4, fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: 1 / (1 + step))
        self.noisy, self.target = torch.randn(2, 1, 4, 64, 64).unbind(0)
        with torch.no_grad():
            self.conditioning = model.collate(model.encode_prompts(["a picture of noise"]))
        self.sizes = torch.tensor([[512, 512, 0, 0, 512, 512]])
        self.model = model

    def step(self, number: int) -> None:
        prediction = self.model.predict(self.noisy, torch.tensor([number % 1000]), self.conditioning, self.sizes)
        functional.mse_loss(prediction.float(), self.target).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    ours: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        os.environ["LORATORY_HOME"] = str(folder / "home")
        warm_up = 5
        config = parse(job(folder, pairs + warm_up), "benchmark")

        def prepare(training: Training) -> None:
            rival = Bare(training)
            last = [0.0]

            def measure(done: int) -> None:
                middle = time.process_time()
                rival.step(done)
                end = time.process_time()
                if done > warm_up:
                    ours.append(middle - last[0])
                    bare.append(end - middle)
                last[0] = time.process_time()

            training.on_step = measure

        run_training(config, Show(), StopFlag(), prepare_training=prepare)
    overhead = 100 * (statistics.median(ours) / statistics.median(bare) - 1)
    of_pairs = 100 * (statistics.median(a / b for a, b in zip(ours, bare, strict=True)) - 1)
    result = {
        "pairs": len(ours),
        "ours_ms": round(1000 * statistics.median(ours), 2),
        "bare_ms": round(1000 * statistics.median(bare), 2),
        "overhead_percent": round(overhead, 2),
        "overhead_percent_median_of_pairs": round(of_pairs, 2),
        "target_percent": TARGET_PERCENT,
        "machine": {"torch": torch.__version__, "python": platform.python_version(), "threads": 1},
    }
    write_json(ROOT / "benchmarks" / "results" / "loop.json", result)
    sys.stdout.write(
        f"ours {result['ours_ms']} ms, bare {result['bare_ms']} ms of CPU time per step; overhead {overhead:.2f} % "
        f"(median of pairs {of_pairs:.2f} %), target {TARGET_PERCENT} %\n"
    )
    return 0 if overhead <= TARGET_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
