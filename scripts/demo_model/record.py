"""Write the measured part of docs/demo-model.md: sizes, losses and scores, from the files that hold them.

    python scripts/demo_model/record.py WORK_FOLDER

Reads WORK_FOLDER/*.jsonl (losses), loratory/demo/model (sizes) and benchmarks/results/demo.json (scores), and replaces
what stands between the two marks in the document.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).parents[2]))
from loratory.demo import MODEL_FOLDER
from loratory.files import write_text

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "demo-model.md"
START, END = "<!-- measured: begin -->", "<!-- measured: end -->"
STAGES = {
    "vae": ("Autoencoder", "steps are batches of 16", ("pixel", "edge", "divergence")),
    "unet": ("Denoiser and text encoder", "steps are batches of 48", ("loss",)),
}
ROWS = 9


def last_run(path: Path) -> list[dict[str, float]]:
    """The lines of the last run in a log of losses: a run that began anew counts its steps from the start again."""
    lines: list[dict[str, float]] = []
    for text in path.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        lines = [kept for kept in lines if kept["step"] < line["step"]]
        lines.append(line)
    return lines


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]


def losses(path: Path, columns: tuple[str, ...]) -> list[str]:
    lines = last_run(path)
    chosen = [lines[round(i * (len(lines) - 1) / (ROWS - 1))] for i in range(ROWS)] if len(lines) > ROWS else lines
    return table(["step", *columns], [[f"{line['step']:.0f}", *(f"{line[c]:.4f}" for c in columns)] for line in chosen])


def parts() -> list[str]:
    rows = []
    for path in sorted(MODEL_FOLDER.rglob("*.safetensors")):
        with safe_open(path, "pt") as file:
            count = 0
            for name in file.keys():  # noqa: SIM118  (the opened file has no iterator)
                size = 1
                for side in file.get_slice(name).get_shape():
                    size *= side
                count += size
        rows.append([path.parent.name, f"{count:,}", f"{path.stat().st_size:,}"])
    total = sum(path.stat().st_size for path in MODEL_FOLDER.rglob("*") if path.is_file())
    return table(["part", "parameters", "bytes"], [*rows, ["whole folder", "", f"{total:,}"]])


def scores(result: dict[str, Any]) -> list[str]:
    targets = result["targets"]
    rows = [
        [name, f"{row['value']:g}", row["wanted"], "yes" if row["met"] else "**no**"] for name, row in targets.items()
    ]
    return table(["measured", "value", "wanted", "met"], rows)


def judge(result: dict[str, Any]) -> list[str]:
    report = result["judge"]
    rows = [[name.replace("_", " "), f"{value:.1f} %"] for name, value in report.items() if name != "false_lories"]
    rows += [[f"called a lory: {name}", f"{value:.1f} %"] for name, value in report["false_lories"].items()]
    return table(["judge, on new drawings", "share"], rows)


def record(work: Path) -> str:
    result = json.loads((ROOT / "benchmarks" / "results" / "demo.json").read_text(encoding="utf-8"))
    machine, sampling = result["machine"], result["sampling"]
    lines = ["### Sizes", "", *parts(), ""]
    for stage, (title, unit, columns) in STAGES.items():
        lines += [f"### {title}: losses ({unit})", "", *losses(work / f"{stage}.jsonl", columns), ""]
    lines += [
        "### Scores",
        "",
        f"{sampling['held_out_prompts']} prompts of held-out combinations, {sampling['lory_prompts']} of the lory; "
        f"{sampling['steps']} steps at guidance {sampling['guidance']:g}; torch {machine['torch']}, "
        f"{machine['threads']} CPU thread(s), {machine['processor']}.",
        "",
        *scores(result),
        "",
        "### The judge",
        "",
        *judge(result),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="the folder that train.py filled")
    options = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{PAGE} lacks the marks {START} and {END}; put both back and run this again")
    write_text(PAGE, f"{before}{START}\n\n{record(options.work)}\n\n{END}{after}")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
