"""The browser of the browser tests: `python scripts/chromium.py` sees that there is one.

Playwright's own builds cannot be had everywhere, so it is a Chromium or Chrome of the machine's. Where this may install
Debian's (as root, with apt-get), it does; elsewhere it says what to do. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Google/Chrome/Application/chrome.exe",
)
INSTALL = ("apt-get", "install", "--yes", "--no-install-recommends", "chromium")


def find() -> str | None:
    """The program; None where there is none."""
    on_path = [path for path in map(shutil.which, NAMES) if path]
    return next(iter([*on_path, *(path for path in PLACES if Path(path).is_file())]), None)


def may_install() -> bool:
    """As root on a system with apt-get."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get") is not None


def install() -> str:
    """Install it; returns "", or why that did not work."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    said = ""
    for command in (INSTALL, ("apt-get", "update"), INSTALL):  # lists of packages may be old, or not there
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False
        )
        if done.returncode == 0 and find():
            return ""
        lines = [line.strip() for line in f"{done.stdout}{done.stderr}".splitlines() if line.strip()]
        said = lines[-1] if lines else "no message"
    return said


def main() -> int:
    if find() or os.environ.get("LORATORY_SKIP_WEB"):
        return 0
    why = ""
    if may_install():
        print(f"Installing Chromium for the browser tests, about 400 MB: {' '.join(INSTALL)}", flush=True)
        why = install()
        if not why:
            return 0
        why = f" (apt-get: {why})"
    print(
        f"The browser tests need Chromium or Chrome, and this machine has none{why}: on Debian run `sudo apt-get "
        "install --no-install-recommends chromium`, elsewhere see https://www.google.com/chrome/.",
        flush=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
