"""The description of all routes: `python -m loratory.server.schema [--check]` writes docs/reference/openapi.json."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from loratory.files import HOME_VARIABLE
from loratory.server.app import create_app
from loratory.server.context import Options

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"


def text() -> str:
    """The document as it is committed."""
    before = os.environ.get(HOME_VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[HOME_VARIABLE] = folder  # what the user chose must not matter
        try:
            found = create_app(Options()).openapi()
        finally:
            os.environ.pop(HOME_VARIABLE)
            os.environ.update({} if before is None else {HOME_VARIABLE: before})
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the document, or with --check say whether it is what it would be now."""
    wanted = text()
    if "--check" in arguments:
        same = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == wanted
        if not same:
            sys.stderr.write(f"{PAGE} is not up to date; run `make gen`\n")
        return 0 if same else 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
