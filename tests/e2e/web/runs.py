"""Runs for browser tests, written as an engine writes them: a list, a chart or a lost connection needs no training."""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Page, expect

from loratory.config.load import dump, parse
from loratory.runs import RunFolder
from tests.e2e.jobs import changed

PROMPTS = ("a lory on a green background", "a lory on a blue background")


def job(home: Path, name: str, **changes: Any) -> dict[str, Any]:
    """A job on the bundled model; `optimizer__learning_rate=1` stands for a dotted path."""
    data: dict[str, Any] = {
        "job": "train", "name": name, "model": {"path": "demo"},
        "datasets": [{"path": str(home / "datasets" / "lory")}], "network": {"rank": 4},
        "optimizer": {"type": "adamw", "learning_rate": 0.002},
        "batching": {"buckets": {"resolution": 64, "step": 32, "minimum": 32}}, "duration": {"steps": 40},
        "memory": {"precision": "fp32"}, "runtime": {"device": "cpu"},
        "sampling": {"prompts": [f"{each} --s 1 --w 64 --h 64" for each in PROMPTS], "every_n_steps": 10},
        "saving": {"output_dir": str(home / "output"), "checkpoint_every_n_steps": 10},
    }  # fmt: skip
    return changed(data, {path.replace("__", "."): value for path, value in changes.items()})


class Engine:
    """Something that works on a run while the test is inside the block."""

    def __init__(self, home: Path, name: str, folder: str = "output", **changes: Any) -> None:
        config = parse(job(home, name, **changes), "the job")
        self.run = RunFolder.create(home / folder, name, dump(config))
        self.total = config.duration.steps
        self.step = 0
        self._open = ExitStack()

    @property
    def id(self) -> str:
        return self.run.id

    def __enter__(self) -> Engine:
        self._open.enter_context(self.run.lock())
        self._metrics = self._open.enter_context(self.run.metrics())
        self.run.write_status("starting")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    def train(self, steps: int, **more: Any) -> None:
        """So many steps at once, a log line for each."""
        lines = []
        for _ in range(steps):
            self.step += 1
            loss = 0.2 + math.exp(-self.step / 30) + 0.1 * math.sin(self.step)
            self._metrics.append(
                self.step, **{"loss": loss, "lr/unet": 0.002, "epoch": 1 + (self.step - 1) // 12, **more}
            )
            lines.append(f"2026-11-22 02:49:13,206 INFO loratory.training.loop: step {self.step}\n")
        self._metrics.flush()
        with self.run.log_path.open("a", encoding="utf-8") as log:
            log.writelines(lines)
        self.run.write_status("training", step=self.step, total_steps=self.total, epoch=1 + (self.step - 1) // 12,
                              iterations_per_second=2.5, eta_seconds=(self.total or 0) - self.step)  # fmt: skip

    def sample(self, prompts: tuple[str, ...] = PROMPTS) -> list[str]:
        """Pictures of this step, with what made them."""
        files = []
        self.run.samples_path.mkdir(exist_ok=True)
        for number, prompt in enumerate(prompts):
            about = PngInfo()
            about.add_text("parameters", f"{prompt}\nSteps: 4, Seed: {number}, Size: 64x64")
            path = self.run.sample_path(self.step, number, f"{sum(prompt.encode()):08x}")
            Image.new("RGB", (64, 64), (self.step % 256, 90 * number, 160)).save(path, pnginfo=about)
            files.append(path.name)
        self.run.emit("samples", step=self.step, files=files)
        return files

    def end(self, state: str = "finished", **more: Any) -> None:
        self.run.write_status(state, **more)  # type: ignore[arg-type]
        self.run.emit(state)


def finished(home: Path, name: str, steps: int = 40, folder: str = "output", **changes: Any) -> Engine:
    """A run that has ended, with numbers and samples of three steps."""
    with Engine(home, name, folder, duration__steps=steps, **changes) as engine:
        engine.sample()
        for _ in range(2):
            engine.train(steps // 2)
            engine.sample()
        engine.run.final_export_path.write_bytes(bytes(range(256)) * 40)
        engine.end()
    return engine


def drawn(page: Page, section: str = "Loss") -> dict[str, Any]:
    """What the chart shows: how many points, the last step, and the ranges of its axes."""
    data = page.get_by_role("region", name=section).locator("[data-points]").evaluate("each => ({...each.dataset})")
    ranges = {name: [float(part) for part in data[name].split()] for name in ("x", "y")}
    return {"points": int(data["points"]), "last": int(data["last"]), **ranges}


def until_drawn(page: Page, last: int, section: str = "Loss", timeout: float = 15_000) -> dict[str, Any]:
    chart = page.get_by_role("region", name=section).locator("[data-points]")
    expect(chart).to_have_attribute("data-last", str(last), timeout=timeout)
    return drawn(page, section)
