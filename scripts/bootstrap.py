"""Make `.venv` and install Loratory into it.

Standard library only, and any Python from 3.8 can start it: it looks for a supported Python by itself. It asks nothing.

    python3 scripts/bootstrap.py                       what running Loratory needs
    python3 scripts/bootstrap.py --dev                 and what the tests need, Chromium too where that can be had
    python3 scripts/bootstrap.py --torch-index URL     with PyTorch's build from that index (CUDA, ROCm, XPU)
    python3 scripts/bootstrap.py --freeze              write the versions found in .venv to constraints.txt

pip and its own configuration decide where packages come from. A second call with nothing changed takes no time. The
browser app is built with it, and again where its sources changed; LORATORY_SKIP_WEB=1 leaves it out.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

ROOT = Path(__file__).resolve().parent.parent
SUPPORTED = ((3, 11), (3, 12), (3, 13))
STAMP = "loratory-stamp.json"
HEARTBEAT_SECONDS = 15.0
NEVER_PINNED = re.compile(r"^(pip|setuptools|wheel|loratory|triton|cuda-[a-z-]+|nvidia-[a-z0-9-]+)$")
SKIP_WEB = "LORATORY_SKIP_WEB"
APP_FAILED = "The browser app could not be built"  # hatch_build.py says why in the same line, also from within pip
STAGES = ("Browser app: ", "Collecting ", "Downloading ", "Processing ", "Building ", "Preparing ", "Installing ")
PACKAGES = "sysconfig.get_path('purelib')"
PROBE = "import sys; print('.'.join(map(str, sys.version_info[:3])))"


class SetupError(Exception):
    """Something on this machine stands in the way. The message is one readable sentence."""


def say(text: str) -> None:
    """Write one line at once, also into a pipe."""
    print(text, flush=True)


def pip_environment() -> dict[str, str]:
    """The environment for Python and pip, without what would lead an install out of the virtual environment."""
    misleading = {"PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV"}
    kept = {name: value for name, value in os.environ.items() if name not in misleading}
    return {**kept, "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_USER": "0"}


def run_quietly(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a short command without a terminal and keep what it says."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=pip_environment(),
            check=False,
        )
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, stdout=str(error))


def python_version(command: list[str]) -> tuple[int, int, int] | None:
    """The version of a Python, or None where the command does not run one (pyenv's shims may not)."""
    answer = run_quietly([*command, "-c", PROBE])
    match = re.search(r"^(\d+)\.(\d+)\.(\d+)\s*$", answer.stdout or "", re.MULTILINE)
    if answer.returncode or not match:
        return None
    return int(match[1]), int(match[2]), int(match[3])


def candidates() -> Iterable[list[str]]:
    """Commands that may start a supported Python, the one that runs this file first."""
    yield [sys.executable]
    for major, minor in SUPPORTED:
        if os.name == "nt" and shutil.which("py"):
            yield ["py", f"-{major}.{minor}"]
        if shutil.which(f"python{major}.{minor}"):
            yield [f"python{major}.{minor}"]


def find_python(commands: Iterable[list[str]]) -> list[str]:
    """The first command that runs a supported Python.

    Raises:
        SetupError: none does.
    """
    found = []
    for command in commands:
        version = python_version(command)
        if version and version[:2] in SUPPORTED:
            return command
        if version:
            found.append(".".join(map(str, version)))
    seen = f"found only {', '.join(found)}" if found else "found none"
    raise SetupError(
        f"Loratory needs Python 3.11, 3.12 or 3.13, and this machine has none of them ({seen}): install one, on Debian "
        "and Ubuntu with `sudo apt install python3 python3-venv`, elsewhere from https://www.python.org/downloads/, "
        "and run this again."
    )


def venv_python(folder: Path) -> Path:
    """Where a virtual environment keeps its interpreter."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def fetch_pip(into: Path) -> Path:
    """Download pip's newest wheel from the package index (PEP 503), checked against the hash that the index gives.

    Raises:
        OSError: the index cannot be reached (urllib's errors are OSErrors).
        ValueError: it has no pip, or what came is not what it announced.
    """
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
    with urllib.request.urlopen(urllib.request.Request(index, headers={"Accept": "text/html"}), timeout=30) as answer:
        page = answer.read().decode("utf-8")
    links = re.findall(r'href="([^"]+)"[^>]*>\s*pip-(\d[\d.]*)-py3-none-any\.whl\s*<', page)
    if not links:
        raise ValueError(f"{index} lists no pip")
    link, version = max(links, key=lambda link: [int(part) for part in link[1].split(".")])
    url, _, digest = urljoin(index, html.unescape(link)).partition("#sha256=")
    with urllib.request.urlopen(url, timeout=60) as answer:
        data = answer.read()
    if digest and hashlib.sha256(data).hexdigest() != digest:
        raise ValueError(f"pip {version} arrived damaged")
    wheel = into / f"pip-{version}-py3-none-any.whl"
    wheel.write_bytes(data)
    return wheel


def add_pip(python: list[str], folder: Path) -> None:
    """Put pip into an environment made without it: Debian ships Python without ensurepip.

    Raises:
        SetupError: neither the machine's own pip nor the package index can help.
    """
    inside = str(venv_python(folder))
    own = run_quietly([*python, "-m", "pip", "--python", inside, "install", "--quiet", "pip"])
    if own.returncode == 0:
        return
    try:
        wheel = fetch_pip(folder)
        answer = run_quietly([inside, f"{wheel}/pip", "install", "--quiet", "--no-index", str(wheel)])
        reason = last_line(answer.stdout) if answer.returncode else ""
    except (OSError, ValueError) as error:
        reason = str(error)
    if reason:
        raise SetupError(
            "This Python comes without pip and ensurepip, and pip could not be fetched from the package index "
            f"({reason}): install it, on Debian and Ubuntu with `sudo apt install python3-venv`, and run this again."
        )


def make_environment(python: list[str], folder: Path) -> None:
    """Make the virtual environment anew.

    Raises:
        SetupError: Python's venv module is missing or fails.
    """
    with_pip = run_quietly([*python, "-c", "import ensurepip"]).returncode == 0
    options = ["--clear"] if with_pip else ["--clear", "--without-pip"]
    answer = run_quietly([*python, "-m", "venv", *options, str(folder)])
    if answer.returncode:
        raise SetupError(
            f"The virtual environment {folder} could not be made ({last_line(answer.stdout)}): on Debian and Ubuntu "
            "run `sudo apt install python3-venv`, and run this again."
        )
    if not with_pip:
        add_pip(python, folder)


def last_line(text: str | None) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def fingerprint(root: Path) -> str:
    """Changes when what must be installed changes."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


def read_stamp(folder: Path) -> dict[str, Any]:
    """What the last complete install was made from; empty where there was none."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def plan_install(
    stamp: dict[str, Any], inputs: str, version: str, dev: bool, torch_index: str | None
) -> dict[str, Any]:
    """The stamp to write: what is asked for now, and what was asked for before (test tools, a chosen PyTorch build)."""
    return {
        "inputs": inputs,
        "python": version,
        "dev": dev or bool(stamp.get("dev")),
        "torch_index": torch_index or stamp.get("torch_index"),
    }


def without_torch(constraints: str) -> str:
    """The constraints for a machine whose PyTorch comes from an index of its own."""
    return "".join(line for line in constraints.splitlines(keepends=True) if not line.startswith("torch=="))


def pip_commands(plan: dict[str, Any], root: Path, folder: Path) -> list[list[str]]:
    """The pip calls that make the plan true. `root` holds pyproject.toml and constraints.txt."""
    target = f"{root}[dev]" if plan["dev"] else str(root)
    if not plan["torch_index"]:
        return [["install", "--no-compile", "-c", str(root / "constraints.txt"), "-e", target]]
    wanted = re.search(r'"(torch[<>=!~][^"]*)"', (root / "pyproject.toml").read_text(encoding="utf-8"))
    if not wanted:
        raise SetupError(f"{root / 'pyproject.toml'} names no torch: the checkout is damaged, clone it again.")
    rest = folder / "constraints-without-torch.txt"
    rest.write_text(without_torch((root / "constraints.txt").read_text(encoding="utf-8")), encoding="utf-8")
    return [
        ["install", "--no-compile", "--index-url", plan["torch_index"], wanted[1]],
        ["install", "--no-compile", "-c", str(rest), "-e", target],
    ]


def run_pip(arguments: list[str], folder: Path, heartbeat: float = HEARTBEAT_SECONDS) -> None:
    """Run the environment's pip. Raises SetupError where it fails."""
    run_logged([str(venv_python(folder)), "-m", "pip", *arguments], "pip could not install Loratory", folder, heartbeat)


def compile_packages(folder: Path) -> None:
    """Write the bytecode of what was installed, on all cores: pip does it on one, which is half of its time.

    A file that does not compile is no error: packages ship templates and code for other versions of Python.
    """
    code = f"import compileall, sysconfig; compileall.compile_dir({PACKAGES}, quiet=2, workers=0)"
    run_logged([str(venv_python(folder)), "-c", code], "The installed packages could not be compiled", folder)


def run_logged(command: list[str], complaint: str, folder: Path, heartbeat: float = HEARTBEAT_SECONDS) -> None:
    """Run a program, its words in a log file, with a sign of life now and then.

    Raises:
        SetupError: it failed; the message holds the complaint, its last error and the log's place.
    """
    log = folder / "install.log"
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=pip_environment(),
    )
    lines: list[str] = []
    reader = threading.Thread(target=_drain, args=(process, log, lines), daemon=True)
    reader.start()
    try:
        while True:
            try:
                process.wait(timeout=heartbeat)
                break
            except subprocess.TimeoutExpired:
                doing = next((line for line in reversed(lines) if line.startswith(STAGES)), "starting")
                say(f"  {time.monotonic() - started:.0f} s: {doing[:80]}")
    except BaseException:
        process.terminate()
        raise
    reader.join(timeout=10)
    if process.returncode:
        found = [line[line.index(APP_FAILED) :] for line in lines if APP_FAILED in line][-1:]
        errors = found or [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        raise SetupError(f"{complaint} ({' '.join(errors)[:600].rstrip('.') or 'no message'}): see {log}.")


def _drain(process: subprocess.Popen[str], log: Path, lines: list[str]) -> None:
    assert process.stdout is not None
    with log.open("a", encoding="utf-8") as file:
        for line in process.stdout:
            file.write(line)
            if line.strip():
                lines.append(line.strip())


def constraint_lines(frozen: str, old: str) -> list[str]:
    """`pip freeze` as constraints that hold on any machine: no paths, no local builds, no GPU libraries.

    Lines of the old file with a marker (packages of another platform) are kept.
    """
    lines = [line for line in old.splitlines() if ";" in line and not line.startswith("#")]
    for line in frozen.splitlines():
        name, separator, version = line.strip().partition("==")
        if separator and not NEVER_PINNED.match(name.lower()):
            lines.append(f"{name}=={version.partition('+')[0]}")
    return sorted(lines, key=str.lower)


def freeze(folder: Path, target: Path) -> int:
    """Write the versions found in the environment to the constraints file; return how many."""
    answer = run_quietly([str(venv_python(folder)), "-m", "pip", "freeze", "--exclude-editable"])
    if answer.returncode:
        raise SetupError(
            f"{folder} cannot be read ({last_line(answer.stdout)}): run `python3 scripts/bootstrap.py --dev`."
        )
    old = target.read_text(encoding="utf-8") if target.exists() else ""
    heading = [line for line in old.splitlines() if line.startswith("#")]
    lines = constraint_lines(answer.stdout, old)
    target.write_text("\n".join([*heading, *lines]) + "\n", encoding="utf-8")
    return len(lines)


def install(dev: bool, torch_index: str | None, root: Path, folder: Path) -> str:
    """The environment, the browser app and the tests' browser; returns the line that says what happened."""
    said = install_packages(dev, torch_index, root, folder)
    build_app(root, folder, dev)
    if dev:
        subprocess.run([str(venv_python(folder)), str(root / "scripts" / "chromium.py")], check=False)
    return said


def install_packages(dev: bool, torch_index: str | None, root: Path, folder: Path) -> str:
    """Make the environment what was asked for; return the line that says what happened."""
    python = str(venv_python(folder))
    version = python_version([python])
    if not version or version[:2] not in SUPPORTED or run_quietly([python, "-m", "pip", "--version"]).returncode:
        base = find_python(candidates())
        say(
            f"Making the virtual environment {folder.name} with Python {'.'.join(map(str, python_version(base) or ()))}"
        )
        make_environment(base, folder)
        version = python_version([python])
    stamp = read_stamp(folder)
    plan = plan_install(stamp, fingerprint(root), ".".join(map(str, version or ())), dev, torch_index)
    if plan == stamp:
        return f"{folder.name} is up to date (Python {plan['python']})."
    (folder / STAMP).unlink(missing_ok=True)
    (folder / "install.log").unlink(missing_ok=True)
    say(f"Installing into {folder.name}: PyTorch and about 60 smaller packages, 1.5 GB or more, a few minutes")
    started = time.monotonic()
    with without_app(plan["dev"]):
        for arguments in pip_commands(plan, root, folder):
            run_pip(arguments, folder)
    if not plan["dev"]:  # the tests import a small part of it: they compile what they need
        compile_packages(folder)
    (folder / STAMP).write_text(json.dumps(plan, indent=2) + "\n", encoding="utf-8")
    show = "from importlib.metadata import version as v; print(f\"Loratory {v('loratory')}, torch {v('torch')}\")"
    installed = last_line(run_quietly([python, "-c", show]).stdout)
    return f"Installed in {folder.name} in {time.monotonic() - started:.0f} s: {installed}, Python {plan['python']}."


@contextmanager
def without_app(skip: bool) -> Iterator[None]:
    """Where the tests' tools bring Node, the app is built after them: pip would fetch a second Node for it."""
    if not skip or os.environ.get(SKIP_WEB):
        yield
        return
    os.environ[SKIP_WEB] = "1"
    try:
        yield
    finally:
        del os.environ[SKIP_WEB]


def build_app(root: Path, folder: Path, dev: bool) -> None:
    """Build the browser app where it is missing or older than its sources, and fetch what its checks need.

    Raises:
        SetupError: that cannot be done; the message says what helps.
    """
    command = [str(venv_python(folder)), str(root / "hatch_build.py")]
    if os.environ.get(SKIP_WEB) or not Path(command[1]).is_file():
        return
    command += ["--for-checks"] if dev else []
    if run_quietly([*command, "--check"]).returncode == 0:
        return
    say("Building the browser app from its sources; the first time with packages from npm's registry, about a minute")
    if run_quietly([*command, "--has-node"]).returncode:
        run_pip(["install", "--no-deps", "-e", str(root)], folder)  # brings Node for the time of the build
    else:
        run_logged(command, "Loratory is installed, its pages are not", folder)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Make .venv and install Loratory into it.")
    parser.add_argument("--dev", action="store_true", help="install what the tests need, too")
    parser.add_argument(
        "--torch-index",
        metavar="URL",
        help="take PyTorch from this index, for example https://download.pytorch.org/whl/cu128",
    )
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", metavar="FOLDER", help="another folder than .venv")
    parser.add_argument(
        "--freeze", action="store_true", help="write the versions in the environment to constraints.txt"
    )
    options = parser.parse_args(arguments)
    try:
        if options.freeze:
            count = freeze(options.venv, ROOT / "constraints.txt")
            say(f"constraints.txt now holds {count} exact versions. Next: look at its difference, then make test.")
        else:
            say(install(options.dev, options.torch_index, ROOT, options.venv))
    except SetupError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("Stopped; run this again to go on.", file=sys.stderr, flush=True)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
