"""Pictures of every page into docs/images/studio: `python scripts/screenshots.py [--steps N] [PAGE …]`.

A server of its own is started with the demo pictures; two short trainings on the bundled model are awaited, a third one
runs and a fourth one waits while the pictures are taken (about five minutes on two cores). Each page is taken in light,
in dark and on a phone, with 256 colours, so that all of them together stay small.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from scripts import chromium
from tests.e2e.web.studio import DESKTOP, PHONE, Studio, settle

IMAGES = ROOT / "docs" / "images" / "studio"
LOOKS = {"light": ("light", DESKTOP), "dark": ("dark", DESKTOP), "phone": ("light", PHONE)}
PAGES = {
    "home": "/",
    "datasets": "/datasets",
    "gallery": "/datasets/{dataset}",
    "editor": "/datasets/{dataset}?item=lory_03.png",
    "checks": "/datasets/{dataset}?tab=checks",
    "train": "/train?dataset={dataset}",
    "settings-of-a-job": "/train?mode=all&tab=LoRA",
    "runs": "/runs",
    "run": "/runs/{run}",
    "samples": "/runs/{run}?tab=samples&all=true",
    "metrics": "/runs/{run}?tab=metrics",
    "compare": "/runs/compare?ids=%5B%22{run}%22%2C%22{other}%22%5D",
    "models": "/models",
    "settings": "/settings",
}
PROMPTS = [
    "a large yellow star on a purple background --d 3 --l 3",
    "a large lory at the left on a purple background --d 3 --l 3",
    "a lory in the center on a green background --d 3 --l 3",
]
AT_REST = """() => document.fonts.ready.then(() =>
  [...document.images].every((image) => image.complete || image.getBoundingClientRect().top > innerHeight))"""


def job(home: Path, name: str, steps: int, rank: int) -> dict[str, object]:
    return {
        "job": "train", "name": name, "model": {"path": "demo"},
        "datasets": [{"path": str(home / "datasets" / "lory"), "num_repeats": 10},
                     {"path": str(home / "datasets" / "shapes")}],
        "network": {"rank": rank, "conv_rank": rank}, "optimizer": {"type": "adamw", "learning_rate": 0.0025},
        "schedule": {"type": "cosine", "warmup_steps": 20},
        "batching": {"size": 4, "buckets": {"resolution": 128}}, "duration": {"steps": steps},
        "memory": {"precision": "fp32"}, "sampling": {"prompts": PROMPTS, "every_n_steps": max(steps // 4, 1)},
        "saving": {"output_dir": str(home / "output")},
    }  # fmt: skip


def is_over(answer: Any) -> bool:
    assert answer["state"] not in ("failed", "died", "stopped"), answer
    return bool(answer["state"] == "finished")


@contextmanager
def something_to_see(steps: int) -> Iterator[tuple[str, dict[str, str]]]:
    """A server with datasets, two runs that are done, one that works and one that waits; and their ids."""
    from loratory.demo.concept import write_dataset, write_ordinary

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "loratory"
        for name, write in (("lory", write_dataset), ("shapes", write_ordinary)):
            (home / "datasets" / name).mkdir(parents=True)
            write(home / "datasets" / name)
        studio = Studio(home)
        try:
            ids = {}
            for key, rank in (("other", 4), ("run", 16)):
                asked = {"config": job(home, f"lory-rank-{rank}", steps, rank), "queue": "cpu"}
                ids[key] = studio.ask("POST", "/api/jobs", asked)["id"]
                studio.wait_for(f"/api/jobs/{ids[key]}", is_over, 1800)
            notes = {"notes": "Rank 16, twelve pictures.", "tags": ["keep"]}
            version = studio.ask("GET", f"/api/runs/{ids['run']}")["notes"]["version"]
            studio.ask("PUT", f"/api/runs/{ids['run']}/notes", {**notes, "version": version})
            found = studio.wait_for("/api/datasets", lambda answer: all(each["summary"] for each in answer["datasets"]))
            ids["dataset"] = next(each["id"] for each in found["datasets"] if each["name"] == "lory")
            studio.ask("POST", f"/api/datasets/{ids['dataset']}/checks", {})
            working = studio.ask("POST", "/api/jobs", {"config": job(home, "lory-long", 5000, 8), "queue": "cpu"})["id"]
            studio.ask("POST", "/api/jobs", {"config": job(home, "lory-rank-64", 800, 64), "queue": "cpu"})
            studio.wait_for(f"/api/jobs/{working}", lambda answer: answer["state"] == "running", 300)
            studio.wait_for(f"/api/runs/{working}", lambda answer: (answer["facts"].get("step") or 0) > 3, 300)
            try:
                yield studio.address, ids
            finally:
                studio.ask("POST", f"/api/jobs/{working}/stop", {})
                studio.wait_for(f"/api/jobs/{working}", lambda answer: answer["state"] == "stopped", 120)
        finally:
            studio.end()


def save(page: Page, path: Path) -> None:
    """With a palette: a page has few colours, and a file of a quarter the size."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)


def take(address: str, ids: dict[str, str], names: list[str]) -> None:
    """Each page in each look."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find())
        for look, (scheme, (width, height)) in LOOKS.items():
            page = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
            )
            for name in names:
                page.goto(address + PAGES[name].format(**ids), wait_until="networkidle")
                settle(page)
                page.wait_for_function(AT_REST)
                page.mouse.move(width - 1, height - 1)
                page.wait_for_timeout(500)
                save(page, IMAGES / f"{name}-{look}.png")
            page.close()
        browser.close()
    taken = sorted(IMAGES.glob("*.png"))
    print(f"{len(taken)} pictures, {sum(path.stat().st_size for path in taken) / 1e6:.1f} MB, in {IMAGES}")


def main() -> None:
    """With a server of its own, unless an address is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="PAGE", help=f"only these: {', '.join(PAGES)}")
    parser.add_argument("--steps", type=int, default=200, help="of each training")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in PAGES]:
        parser.error(f"there is no page {', '.join(unknown)}; there are {', '.join(PAGES)}")
    import hatch_build

    hatch_build.make_fresh()
    with something_to_see(options.steps) as (address, ids):
        take(address, ids, options.names or list(PAGES))


if __name__ == "__main__":
    main()
