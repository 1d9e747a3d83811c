"""The browser app for those who work on it: its checks, its generated client, and a page that follows every change.

    python scripts/web.py types            TypeScript
    python scripts/web.py style [--fix]    Biome: style, format, which folder may import which
    python scripts/web.py tests [NAME …]   vitest
    python scripts/web.py client [--check] write the client anew from docs/reference/openapi.json, or compare it
    python scripts/web.py dev              serve the sources at http://localhost:5173, before a running `loratory serve`

Each installs what it needs from npm's registry, once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import hatch_build

WEB, CODEGEN = ROOT / "web", ROOT / "web" / "codegen"
CLIENT = WEB / "src" / "api" / "generated"


def run(folder: Path, program: str, *arguments: str, said: IO[str] | None = None) -> int:
    """Run a program of an installed package, with what it says into `said`; return its exit code."""
    with hatch_build.alone(WEB):
        hatch_build.install_packages(folder, everything=True)
    node, _ = hatch_build.node_and_npm(wheel_first=True)
    command = [node, str(folder / "node_modules" / program), *arguments]
    environment = hatch_build.node_environment(node)
    return subprocess.run(command, cwd=folder, env=environment, check=False, stdout=said, stderr=said).returncode


def types() -> int:
    """TypeScript, of the app and of what builds it."""
    codes = [run(WEB, "typescript/bin/tsc", "--noEmit", "-p", each) for each in (".", "tsconfig.tools.json")]
    return max(codes)


def texts(folder: Path) -> dict[str, str]:
    """The files in a folder, whatever line ends the checkout has."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in found}


def client(check: bool) -> int:
    """Make the client beside its place; then compare it, or put it there."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "generated"
        with (Path(folder) / "said.txt").open("w+", encoding="utf-8") as said:
            code = run(CODEGEN, "@hey-api/openapi-ts/bin/run.js", "-o", str(made), said=said)
            if code:
                said.seek(0)
                print(said.read())
                return code
        here, there = texts(made), texts(CLIENT)
        differ = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
        if not check and differ:
            shutil.rmtree(CLIENT)
            shutil.move(made, CLIENT)
        elif differ:
            print(f"The app's client is not that of docs/reference/openapi.json: {', '.join(differ)}. Next: make gen")
            return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("types")
    commands.add_parser("style").add_argument("--fix", action="store_true")
    commands.add_parser("tests").add_argument("names", nargs="*")
    commands.add_parser("client").add_argument("--check", action="store_true")
    commands.add_parser("dev")
    options = parser.parse_args()
    if os.environ.get(hatch_build.SKIP):
        print(f"{hatch_build.SKIP} is set: the browser app is left out of this.")
        return 1 if os.environ.get("CI", "").lower() not in ("", "0", "false") else 0
    try:
        if options.command == "types":
            return types()
        if options.command == "style":
            return run(WEB, "@biomejs/biome/bin/biome", "check", *(["--write"] if options.fix else []), ".")
        if options.command == "tests":
            return run(WEB, "vitest/vitest.mjs", "run", *options.names)
        if options.command == "client":
            return client(options.check)
        return run(WEB, "vite/bin/vite.js")
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
