"""What a live chart of 100,000 points costs the browser: `python benchmarks/web/chart.py [--output FILE]`.

The page of a run with 100,000 steps is open in Debian's Chromium and gets ten steps a second as the engine's events
over its own WebSocket (the server looks four times a second; a relay in between sends them at 10 Hz), and the run's
progress once a second. Counted is the time of the page's main thread (scripts, styles, layout, painting) by the
thread's own clock, so other programs do not count. Beside it, in the same browser: the same page while nothing comes,
and two such lines drawn by uPlot alone without thinning. The budget is 15 % of the main thread.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import CDPSession, Page, WebSocketRoute, sync_playwright

from loratory.files import HOME_VARIABLE
from loratory.runs import MetricsLog, RunFolder

STEPS = 100_000
HERTZ = 10
SECONDS = 10
BUDGET = 15.0
PLAIN = """([steps, seconds, hertz]) => new Promise((done) => {
  const canvas = document.createElement("div");
  canvas.style.cssText = "position: fixed; inset: 0; width: 640px; height: 340px; z-index: 9";
  document.body.append(canvas);
  const x = [], loss = [], mean = [];
  let before = 0;
  const push = (step) => {
    const value = 0.2 + Math.exp(-step / 20000) + 0.1 * Math.sin(step * 12.9898);
    before = 0.9 * before + 0.1 * value;
    x.push(step); loss.push(value); mean.push(before);
  };
  for (let step = 1; step <= steps; step += 1) push(step);
  const series = [{}, {stroke: "#aaf"}, {stroke: "#44c", width: 2}];
  const plot = new uPlot({width: 640, height: 340, series, scales: {x: {time: false}}}, [x, loss, mean], canvas);
  let left = seconds * hertz;
  const timer = setInterval(() => {
    push(x.length + 1);
    plot.setData([x, loss, mean]);
    left -= 1;
    if (!left) { clearInterval(timer); canvas.remove(); done(x.length); }
  }, 1000 / hertz);
})"""


def line(step: int, begin: float) -> dict[str, float]:
    """As many numbers as an engine writes for a step."""
    loss = 0.2 + math.exp(-step / 20_000) + 0.1 * math.sin(step * 12.9898)
    named = {f"number_{place}": 0.123456 * place for place in range(20)}
    return {"loss": loss, "lr/unet": 0.001, "epoch": 1 + step // 500, **named, "time": begin + step / HERTZ}


def make_run(home: Path) -> tuple[RunFolder, MetricsLog]:
    """A run that has made its 100,000 steps."""
    run = RunFolder.create(home / "output", "long")
    run.write_config("model: {path: demo}\n")
    metrics = run.metrics()
    for step in range(1, STEPS + 1):
        metrics.append(step, **{name: value for name, value in line(step, 0).items() if name != "time"})
    metrics.flush()
    return run, metrics


class Relay:
    """Between the page and the server; sends the page ten steps a second while it is told to."""

    def __init__(self, page: Page) -> None:
        self._socket: WebSocketRoute | None = None
        self._cursor = ""
        page.route_web_socket(re.compile(r"/api/jobs/.*/events"), self._take)

    def _take(self, socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        self._socket = socket

        def pass_on(message: str | bytes) -> None:
            self._cursor = json.loads(message)["cursor"]
            socket.send(message)

        server.on_message(pass_on)

    def feed(self, page: Page, run: RunFolder, seconds: float, first: int) -> int:
        """Send, and let the run say once a second how far it is; the last step that was sent."""
        assert self._socket is not None
        begin = time.perf_counter()
        step = first
        while time.perf_counter() - begin < seconds:
            event = {"cursor": self._cursor, "kind": "metrics", "source": "metrics", "time": None, "seq": None,
                     "data": {"lines": [{"step": step, **line(step, begin)}]}}  # fmt: skip
            self._socket.send(json.dumps({"events": [event], "cursor": self._cursor}))
            if step % HERTZ == 0:
                run.write_status("training", step=step, total_steps=10 * STEPS, iterations_per_second=HERTZ)
            step += 1
            page.wait_for_timeout(max(0, 1000 * (begin + (step - first) / HERTZ - time.perf_counter())))
        return step - 1


class Cost:
    """Share of the page's main thread within a block, by its own clock."""

    def __init__(self, session: CDPSession) -> None:
        self._session = session

    def _read(self) -> dict[str, float]:
        found: dict[str, Any] = self._session.send("Performance.getMetrics")
        return {each["name"]: each["value"] for each in found["metrics"]}

    def __enter__(self) -> Cost:
        self._before, self._begin = self._read(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        after, elapsed = self._read(), time.perf_counter() - self._begin
        self.share = {
            name: round(100 * (after[metric] - self._before[metric]) / elapsed, 1)
            for name, metric in {"main thread, %": "TaskDuration", "of it scripts, %": "ScriptDuration"}.items()
        }


def measure(address: str, run: RunFolder) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    uplot = (ROOT / "web/node_modules/uplot/dist/uPlot.iife.min.js").read_text(encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        relay = Relay(page)
        page.goto(f"{address}/runs/{run.id}")
        page.wait_for_selector(f"[data-last='{STEPS}']", timeout=60_000)
        page.wait_for_timeout(3000)
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        with Cost(session) as idle:
            page.wait_for_timeout(1000 * SECONDS)
        found["nothing comes"] = idle.share
        with Cost(session) as live:
            last = relay.feed(page, run, SECONDS, STEPS + 1)
        page.wait_for_selector(f"[data-last='{last}']", timeout=5_000)
        found["ten steps a second"] = live.share
        page.evaluate(uplot + "; window.uPlot = uPlot; 0")
        with Cost(session) as plain:
            page.evaluate(PLAIN, [STEPS, SECONDS, HERTZ])
        found["uPlot alone, two lines, without thinning"] = plain.share
        browser.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ[HOME_VARIABLE] = home
        run, metrics = make_run(Path(home))
        with run.lock(), metrics:
            run.write_status("training", step=STEPS, total_steps=10 * STEPS)
            command = [sys.executable, "-m", "loratory.cli", "serve", "--port", "0"]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
            try:
                assert server.stdout is not None
                address = re.search(r"http://\S+?:\d+", server.stdout.readline())
                assert address
                found = measure(address[0], run)
            finally:
                server.terminate()
                server.wait(20)
    result = {
        "benchmark": "web_chart", "points": STEPS, "updates a second": HERTZ, "seconds": SECONDS,
        "budget, % of the main thread": BUDGET, "chart": found,
        "machine": {"system": platform.system(), "cores": os.cpu_count()},
    }  # fmt: skip
    print(json.dumps(result, indent=2))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return int(found["ten steps a second"]["main thread, %"] > BUDGET)


if __name__ == "__main__":
    sys.exit(main())
