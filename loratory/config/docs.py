"""Make the reference pages and the JSON schema from the declarations: `python -m loratory.config.docs [--check]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from loratory.config import catalogue
from loratory.config.base import TABS, param_of
from loratory.config.fields import declared
from loratory.config.train import TrainConfig

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


def schema() -> dict[str, Any]:
    """JSON schema of a training job, with every parameter's metadata under `param`."""
    return TrainConfig.model_json_schema()


def _type(model: Any, name: str) -> str:
    annotation = model.model_fields[name].annotation
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    for noise in ("typing.", "NoneType"):
        text = text.replace(noise, "")
    return text.replace("Literal", "one of ").replace("None", "null")


def _limits(model: Any, name: str) -> str:
    words = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = []
    for limit in model.model_fields[name].metadata:
        found += [f"{sign} {getattr(limit, key):g}" for key, sign in words.items() if hasattr(limit, key)]
    return ", ".join(found)


def _default(model: Any, name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "must be given"
    return f"`{json.dumps(field.get_default(call_default_factory=True), default=str, ensure_ascii=False)}`"


def reference() -> str:
    """The reference page: every parameter by tab and group."""
    lines = [
        "# Every parameter of a training job",
        "",
        "Made from `loratory/config` by `make gen`; do not edit. In a job file a dotted path is written as nested "
        "keys; on the command line as `--set network.rank=32`.",
    ]
    everything = list(declared(TrainConfig))
    for tab in TABS:
        lines += ["", f"## {tab}"]
        mine = [(path, model, name) for path, model, name in everything if param_of(model, name).tab == tab]
        groups = dict.fromkeys(param_of(model, name).group for _, model, name in mine)
        for group in groups:
            lines += ["", f"### {group}", ""]
            for path, model, name in mine:
                facts = param_of(model, name)
                if facts.group != group:
                    continue
                kind = ", ".join(filter(None, [_type(model, name), _limits(model, name), facts.unit]))
                lines.append(f"- **`{path}`** ({facts.level}; {kind}; default {_default(model, name)}).")
                lines.append(f"  {model.model_fields[name].description}")
                notes = []
                if facts.architectures:
                    notes.append(f"Only for {', '.join(facts.architectures)}.")
                if facts.kohya:
                    notes.append(f"kohya: {', '.join(f'`{n}`' for n in facts.kohya)}.")
                if facts.aitoolkit:
                    notes.append(f"ai-toolkit: {', '.join(f'`{n}`' for n in facts.aitoolkit)}.")
                changed = {"free": "may change", "warn": "may change, and it is said", "forbid": "must stay the same"}
                notes.append(f"On resume: {changed[facts.on_resume]}.")
                lines.append(f"  {' '.join(notes)}")
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    return {
        FOLDER / "config.md": reference(),
        FOLDER / "models.md": catalogue.markdown(),
        FOLDER / "config.schema.json": json.dumps(schema(), indent=1, ensure_ascii=False, default=str) + "\n",
    }


def main(arguments: list[str]) -> int:
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        for path in stale:
            sys.stderr.write(f"{path} is not up to date; run `make gen`\n")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in stale:
        path.write_text(pages()[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
