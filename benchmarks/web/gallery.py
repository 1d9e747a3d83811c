"""How quick the gallery is in a real browser: the first thumbnails of a large dataset, and frames while it is scrolled.

python benchmarks/web/gallery.py [--pictures 10000]

The app must be built (`make quickstart` does it), and Chromium installed. Thumbnails are asked for once before, as on a
second visit; the first one also makes them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

SCROLL_SECONDS = 5
SHAPES = 16
FRAMES = """(seconds) => new Promise((done) => {
  const scroller = document.querySelector('[data-testid="gallery"]');
  const times = [];
  const begin = performance.now();
  const frame = (now) => {
    times.push(now);
    scroller.scrollTop += 40;
    if (now - begin < seconds * 1000) requestAnimationFrame(frame);
    else done(times.slice(1).map((time, place) => time - times[place]));
  };
  requestAnimationFrame(frame);
})"""
SHOWN = """() => [...document.querySelectorAll('[data-testid="gallery"] img')]
  .filter((image) => image.complete && image.naturalWidth > 0).length >= 8"""


def make_pictures(folder: Path, number: int) -> None:
    """Pictures that differ in shape and colour, each with a caption."""
    from PIL import Image

    folder.mkdir(parents=True)
    contents = []
    for place in range(SHAPES):
        path = folder / "shape.jpg"
        colours = Image.linear_gradient("L").resize((512 + 32 * place, 1024 - 32 * place))
        Image.merge("RGB", (colours, colours.rotate(90), colours.rotate(180))).save(path)
        contents.append(path.read_bytes())
        path.unlink()
    for place in range(number):
        # Different bytes, so that each has a thumbnail of its own.
        (folder / f"{place:06}.jpg").write_bytes(contents[place % SHAPES] + place.to_bytes(4, "big"))
        (folder / f"{place:06}.txt").write_text(f"picture, shape {place % SHAPES}, group {place % 97}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=10_000)
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as home:
        make_pictures(Path(home) / "datasets" / "many", arguments.pictures)
        environment = {**os.environ, "LORATORY_HOME": home}
        command = [sys.executable, "-m", "loratory.cli", "serve", "--port", "0"]
        server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        found = re.search(r"http://\S+?:(\d+)/", server.stdout.readline())
        assert found
        address = f"http://127.0.0.1:{found[1]}"
        try:
            identifier = _wait(address)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
                for visit in ("first", "second"):
                    page = browser.new_page(viewport={"width": 1280, "height": 800})
                    begin = time.perf_counter()
                    page.goto(f"{address}/datasets/{identifier}")
                    page.wait_for_function(SHOWN)
                    shown = time.perf_counter() - begin
                    times = page.evaluate(FRAMES, SCROLL_SECONDS)
                    nodes = page.evaluate("document.getElementsByTagName('*').length")
                    print(f"{visit} visit: 8 thumbnails after {shown:.2f} s; {len(times) / sum(times) * 1000:.0f} frames "
                          f"a second, the longest {max(times):.0f} ms; {nodes} nodes")  # fmt: skip
                    page.close()
                browser.close()
        finally:
            server.terminate()
            server.wait(20)


def _wait(address: str) -> str:
    """Until the folder was looked at. The dataset's id."""
    import json

    for _ in range(600):
        with urllib.request.urlopen(f"{address}/api/datasets", timeout=30) as answer:
            datasets = json.loads(answer.read())["datasets"]
        if datasets and datasets[0]["summary"]:
            return str(datasets[0]["id"])
        time.sleep(0.5)
    raise SystemExit("The dataset was not looked at within five minutes.")


if __name__ == "__main__":
    main()
