"""Make docs/benchmarks.md from benchmarks/results/*.json: `python benchmarks/report.py [--check]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"

TITLES = {
    "loop": "The training loop against a bare one",
    "start": "From the start of the process to the first step",
    "server_start": "From `loratory serve` to its first answer",
    "scan": "Opening a dataset of 100,000 pictures",
    "learning": "How fast recipes learn",
    "demo": "The bundled model and the demo LoRA",
    "adapters": "A training step with our LoRA against PEFT's",
    "network": "A LoRA layer against a bare one and PEFT's",
    "memory": "What a training step keeps, counted",
    "formats": "Number formats of the frozen weights",
    "server_live": "Following runs, the index of runs, and their numbers",
    "server_uploads": "Files that arrive by resumable upload",
    "server_jobs": "A long queue in the server",
    "web_gallery": "A dataset of 10,000 pictures in the browser",
    "server_datasets": "A dataset of 100,000 pictures in the server",
    "web_first_load": "What a first visit of the browser app loads",
    "web_chart": "A live chart of 100,000 points in the browser",
    "web_form": "A key press in a form of 200 parameters",
}


def rows(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from rows(inner, f"{path} · {key}" if path else str(key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from rows(inner, f"{path} · {number + 1}")
    else:
        yield path, str(value)


def is_table(value: Any) -> bool:
    """Several entries with the same numbers each."""
    if not isinstance(value, dict) or len(value) < 2 or not all(isinstance(each, dict) for each in value.values()):
        return False
    columns = [list(each) for each in value.values()]
    flat = all(not isinstance(cell, dict | list) for each in value.values() for cell in each.values())
    return flat and all(each == columns[0] for each in columns)


def table(name: str, value: dict[str, dict[str, Any]]) -> list[str]:
    columns = list(next(iter(value.values())))
    lines = [f"| {name} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    return lines + [
        f"| {key} | " + " | ".join(str(each[column]) for column in columns) + " |" for key, each in value.items()
    ]


def section(found: dict[str, Any]) -> list[str]:
    """Single numbers in one table, entries that are alike in a table of their own, and the plot."""
    tables = {name: value for name, value in found.items() if is_table(value)}
    single = {name: value for name, value in found.items() if name not in tables and name != "plot"}
    lines = ["", "| | |", "|---|---|"] + [f"| {key} | {value} |" for key, value in rows(single)]
    for name, value in tables.items():
        lines += ["", *table(name, value)]
    return lines + (["", f"![]({found['plot']})"] if "plot" in found else [])


def script(name: str) -> str:
    """What writes a result: the folder of its name has one script, or several of which the name's end names one."""
    folder, _, which = name.partition("_")
    whole = f"benchmarks/{name}/run.py"
    return whole if (ROOT / whole).exists() else f"benchmarks/{folder}/{which}.py"


def page() -> str:
    lines = [
        "# Benchmarks",
        "",
        "Made from `benchmarks/results/*.json` by `make gen`; do not edit. Each section names the command that writes",
        "its figures. The machines are small and shared: compare within a section, not between them.",
    ]
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
        name = path.stem
        lines += ["", f"## {TITLES.get(name, name)}", "", f"`python {script(name)}`"]
        lines += section(json.loads(path.read_text(encoding="utf-8")))
    return "\n".join(lines) + "\n"


def main() -> int:
    text = page()
    fresh = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
    if "--check" in sys.argv[1:]:
        if not fresh:
            sys.stderr.write(f"{PAGE} is not up to date; run `make gen`\n")
        return 0 if fresh else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
