"""What a first visit of Home loads: `python benchmarks/web/first_load.py [--no-build]`.

Builds the app, starts a server with nothing in it, opens Home in a new browser profile, and waits until nothing loads any
more. Sizes are those of gzip (level 9; the font is compressed already), whatever browser and server agreed on; servers send
Brotli to browsers that take it, which is a tenth less. The promise is 250 kB for the page, scripts and styles that Home
cannot be shown without, counted from the build's manifest. The font comes to it, and what is fetched once Home is shown
(dialogs, notices), so that it is there when it is needed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "loratory" / "server" / "static"
RESULT = ROOT / "benchmarks" / "results" / "web_first_load.json"
LIMIT_BYTES = 250_000
LATER_BYTES = 40_000
"""For what is fetched without being asked for, once Home is shown: what may be needed next must not become the most."""
HOME = "src/routes/home.tsx"


def size(path: Path) -> int:
    """As gzip makes it; fonts are compressed already."""
    plain = path.read_bytes()
    return len(plain) if path.suffix == ".woff2" else len(gzip.compress(plain, 9, mtime=0))


def needed(static: Path = STATIC) -> dict[str, int]:
    """Page, scripts and styles that Home cannot be shown without, by the build's manifest, with their sizes."""
    manifest: dict[str, Any] = json.loads((static / ".vite" / "manifest.json").read_text(encoding="utf-8"))

    def with_imports(key: str, seen: set[str]) -> Iterator[str]:
        if key not in seen:
            seen.add(key)
            yield from (manifest[key]["file"], *manifest[key].get("css", ()))
            for each in manifest[key].get("imports", ()):
                yield from with_imports(each, seen)

    seen: set[str] = set()
    names = {name for key in ("index.html", HOME) for name in with_imports(key, seen)} | {"index.html", "scheme.js"}
    return {name: size(static / name) for name in sorted(names)}


def fetched(browser: Any, address: str) -> dict[str, int]:
    """Files of the app that a browser fetches for Home until it is at rest, with their sizes as gzip makes them."""
    page = browser.new_page()
    asked: list[str] = []
    page.on("requestfinished", lambda request: asked.append(request.url))
    page.goto(f"{address}/", wait_until="networkidle")
    page.locator("h1").wait_for()
    page.wait_for_load_state("networkidle")
    page.close()
    names = {url.removeprefix(f"{address}/").partition("?")[0] or "index.html" for url in asked}
    return {name: size(STATIC / name) for name in sorted(names) if (STATIC / name).is_file()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-build", action="store_true", help="take the app as it lies there")
    sys.path.insert(0, str(ROOT))
    from playwright.sync_api import sync_playwright

    import hatch_build
    from loratory.files import write_json
    from scripts import chromium
    from tests.e2e.web.studio import Studio

    if not parser.parse_args().no_build:
        hatch_build.make_fresh()
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        studio = Studio(Path(home))
        try:
            browser = playwright.chromium.launch(executable_path=chromium.find())
            files = fetched(browser, studio.address)
            browser.close()
        finally:
            studio.end()
    code = needed()
    fonts = sum(bytes_ for name, bytes_ in files.items() if name.endswith(".woff2"))
    total = sum(code.values())
    result = {
        "page, scripts and styles before Home shows, bytes": total,
        "limit": LIMIT_BYTES,
        "in files": len(code),
        "font, bytes": fonts,
        "all until nothing loads any more, bytes": sum(files.values()),
    }
    write_json(RESULT, result)
    largest = sorted(files.items(), key=lambda each: -each[1])[:8]
    sys.stdout.write(json.dumps({**result, "largest": dict(largest)}, indent=1) + "\n")
    return 0 if total <= LIMIT_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
