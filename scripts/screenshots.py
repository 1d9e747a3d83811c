"""Pictures of every page: python scripts/screenshots.py [ADDRESS], of a server with something to see.

Without an address a server of its own is started, with the demo dataset and a short training on the bundled model.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import sync_playwright

from tests.e2e.web.studio import DESKTOP, PHONE, Studio, settle

IMAGES = ROOT / "docs" / "images"
PAGES = {"home": "/", "datasets": "/datasets", "train": "/train", "runs": "/runs", "models": "/models",
         "settings": "/settings"}  # fmt: skip
LOOKS = {"light": ("light", DESKTOP), "dark": ("dark", DESKTOP), "phone": ("light", PHONE)}


def job(home: Path, name: str, steps: int) -> dict[str, object]:
    return {
        "job": "train", "name": name, "model": {"path": "demo"},
        "datasets": [{"path": str(home / "datasets" / "lory"), "num_repeats": 10}],
        "network": {"rank": 8}, "optimizer": {"type": "adamw", "learning_rate": 0.002},
        "batching": {"size": 2, "buckets": {"resolution": 128}}, "duration": {"steps": steps},
        "memory": {"precision": "fp32"},
        "sampling": {"prompts": ["a lory in the center on a green background --d 3 --l 3"], "every_n_steps": 50},
        "saving": {"output_dir": str(home / "output")},
    }  # fmt: skip


def take(address: str) -> None:
    """Each page in each look."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        for look, (scheme, (width, height)) in LOOKS.items():
            page = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
            )
            for name, path in PAGES.items():
                page.goto(address + path)
                settle(page)
                page.screenshot(path=IMAGES / f"{name}-{look}.png")
            page.close()
        browser.close()


def main() -> None:
    """With a server of its own, unless an address is given."""
    if len(sys.argv) > 1:
        take(sys.argv[1].rstrip("/"))
        return
    from loratory.demo.concept import write_dataset

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        (home / "datasets" / "lory").mkdir(parents=True)
        write_dataset(home / "datasets" / "lory")
        studio = Studio(home)
        try:
            first = studio.ask("POST", "/api/jobs", {"config": job(home, "lory", 200), "queue": "cpu"})
            studio.wait_for(f"/api/jobs/{first['id']}", lambda answer: answer["state"] == "finished", 600)
            take(studio.address)
        finally:
            studio.end()


if __name__ == "__main__":
    main()
