"""How fast recipes learn: the loss on pictures that are kept back, against the time spent on training.

    python benchmarks/learning/run.py [--steps 240] [--every 40] [--only NAME …] [--output FILE]

Each recipe teaches the bundled model the demo concept from its twelve pictures and the ordinary ones beside them, as
the quickstart does. The loss is measured on lories before backgrounds that no training picture has: fixed noise, fixed
times, plain mean square, so the losses of all recipes compare exactly. Time is CPU time of one thread without the
measuring; the recipes run one after the other, so on a busy machine compare times roughly. Writes
benchmarks/results/learning.json and docs/images/learning.png (needs `pip install "loratory[benchmarks]"`).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np
import torch
from rich.console import Console

from loratory.config.load import parse
from loratory.console import Show
from loratory.demo.concept import UNSEEN_BACKGROUNDS, draw_lory, lory_caption, random_lory, write_dataset
from loratory.demo.concept import write_ordinary as write_ordinary_pictures
from loratory.files import write_json
from loratory.runs import read_metrics
from loratory.training.loop import StopFlag, Training
from loratory.training.run import run_training

Settings = dict[str, Any]

KEPT_BACK = 12
COSINE: Settings = {"schedule": {"type": "cosine", "warmup_steps": 20}}


def adamw(rate: float, **more: Any) -> Settings:
    return {"optimizer": {"type": "adamw", "learning_rate": rate, **more}}


RECIPES: dict[str, Settings] = {
    "AdamW 5e-4": adamw(5e-4),
    "AdamW 2.5e-3, cosine": adamw(2.5e-3) | COSINE,
    "AdamW 2.5e-3, cosine, min-SNR 5": adamw(2.5e-3) | COSINE | {"objective": {"min_snr_gamma": 5.0}},
    "AdamW 1e-3, LoRA+ 8": adamw(1e-3, lora_plus_ratio=8.0) | COSINE,
    "AdamW 2.5e-3, cosine, DoRA": adamw(2.5e-3) | COSINE | {"network": {"decompose": True}},
    "AdamW 2.5e-3, cosine, EMA": adamw(2.5e-3) | COSINE | {"ema": {"decay": 0.98}},
    "AdamW schedule-free 2.5e-3": {
        "optimizer": {"type": "adamw_schedule_free", "learning_rate": 2.5e-3}, "schedule": {"type": "none"},
    },
    "Prodigy": {"optimizer": {"type": "prodigy"}} | COSINE,
    "Lion 3e-4": {"optimizer": {"type": "lion", "learning_rate": 3e-4}} | COSINE,
    "Muon 5e-3": {"optimizer": {"type": "muon", "learning_rate": 5e-3}} | COSINE,
}  # fmt: skip


def write_pictures(folder: Path) -> None:
    """The quickstart's two datasets, and lories before unseen backgrounds."""
    for name in ("lory", "ordinary", "kept_back"):
        (folder / name).mkdir(parents=True)
    write_dataset(folder / "lory")
    write_ordinary_pictures(folder / "ordinary")
    random = np.random.default_rng(17)
    for number in range(KEPT_BACK):
        scene = random_lory(random, UNSEEN_BACKGROUNDS)
        draw_lory(scene, random).save(folder / "kept_back" / f"{number:02}.png")
        (folder / "kept_back" / f"{number:02}.txt").write_text(lory_caption(scene, wording=number), encoding="utf-8")


def job(name: str, settings: Mapping[str, Any], pictures: Path, output: Path, steps: int, every: int) -> Settings:
    """The quickstart's job with the recipe's settings."""
    return {
        "name": "".join(sign if sign.isalnum() else "_" for sign in name),
        "model": {"path": "demo"},
        "datasets": [{"path": str(pictures / "lory"), "num_repeats": 10}, {"path": str(pictures / "ordinary")}],
        "batching": {"size": 4, "buckets": {"resolution": 128}},
        "duration": {"steps": steps},
        "memory": {"precision": "fp32"},
        "validation": {"path": str(pictures / "kept_back"), "every_n_steps": every, "timesteps": 8, "keep_best": False},
        "sampling": {"before_first_step": False},
        "saving": {"output_dir": str(output), "export_every_n_steps": None, "checkpoint_every_n_minutes": 600},
        "runtime": {"device": "cpu"},
        **{key: value for key, value in settings.items() if key != "network"},
        "network": {"rank": 16, "conv_rank": 16, **settings.get("network", {})},
    }


class Clock:
    """CPU time of the process without what the measuring takes."""

    def __init__(self) -> None:
        self.measuring = 0.0
        self.began: float | None = None
        self.at: dict[int, float] = {}

    def watch(self, training: Training) -> None:
        look = training.validation.look

        def timed(training: Training, step: int) -> None:
            begin = time.process_time()
            if self.began is None:
                self.began = begin
            self.at[step] = begin - self.began - self.measuring
            look(training, step)
            self.measuring += time.process_time() - begin

        training.validation.look = timed  # type: ignore[method-assign]


def measure(name: str, pictures: Path, output: Path, steps: int, every: int) -> dict[str, Any]:
    """Loss and time of one recipe at every measurement."""
    clock = Clock()
    config = parse(job(name, RECIPES[name], pictures, output, steps, every), name)
    quiet = Show(Console(file=io.StringIO()))
    run = run_training(config, quiet, StopFlag(), prepare_training=clock.watch).run
    found = {
        line["step"]: line["validation_loss"] for line in read_metrics(run.metrics_path)[0] if "validation_loss" in line
    }
    points = sorted(found)
    return {
        "steps": points,
        "seconds": [round(clock.at[step], 1) for step in points],
        "losses": [round(float(found[step]), 5) for step in points],
    }


def summary(curve: Mapping[str, Any], wanted: float) -> dict[str, Any]:
    """A line of the table. `wanted` is the loss whose time is compared."""
    best = min(curve["losses"])
    reached = [seconds for seconds, loss in zip(curve["seconds"], curve["losses"], strict=True) if loss <= wanted]
    return {
        "loss at the end": curve["losses"][-1],
        "lowest loss": best,
        "at step": curve["steps"][curve["losses"].index(best)],
        f"CPU seconds to {wanted:.4f}": reached[0] if reached else "not reached",
        "CPU ms per step": round(1000 * curve["seconds"][-1] / curve["steps"][-1]),
    }


def plot(curves: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5.5), dpi=110)
    colours = pyplot.get_cmap("tab10")
    for number, (name, curve) in enumerate(curves.items()):
        axes.plot(curve["seconds"], curve["losses"], marker="o", markersize=3, color=colours(number % 10), label=name)
    axes.set_xlabel("CPU seconds of training, one thread")
    axes.set_ylabel("loss on lories before unseen backgrounds")
    axes.set_title("Ten recipes on the bundled model: lower and further left is better")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--every", type=int, default=40, help="steps between two measurements")
    parser.add_argument("--only", action="append", choices=list(RECIPES), help="this recipe; may be given again")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "learning.json")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs" / "images" / "learning.png")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ.setdefault("LORATORY_HOME", str(work / "home"))
        write_pictures(work / "pictures")
        curves = {}
        for name in arguments.only or RECIPES:
            curves[name] = measure(name, work / "pictures", work / "output", arguments.steps, arguments.every)
            print(f"{name}: {curves[name]['losses']}", flush=True)
    # Four fifths of the way from the untrained model to the lowest loss of all.
    start = min(curve["losses"][0] for curve in curves.values())
    best = min(min(curve["losses"]) for curve in curves.values())
    wanted = start - 0.8 * (start - best)
    write_json(
        arguments.output,
        {
            "benchmark": "learning",
            "steps": arguments.steps,
            "recipes": {name: summary(curve, wanted) for name, curve in curves.items()},
            "loss before training": start,
            "machine": {"system": platform.system(), "threads": 1, "torch": torch.__version__},
            "plot": "images/learning.png",
        },
    )
    plot(curves, arguments.picture)
    print(json.dumps(json.loads(arguments.output.read_text(encoding="utf-8"))["recipes"], indent=1))


if __name__ == "__main__":
    main()
