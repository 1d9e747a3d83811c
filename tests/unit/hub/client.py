"""Resolves models with the real Hub library, as a process of its own: the library reads its settings only once.

Reads lines of JSON, the arguments of `resolve_model`; answers each with a line: the files found, or the error.
"""

import json
import sys
from pathlib import Path

from loratory.errors import UserError
from loratory.hub.download import resolve_model

for line in sys.stdin:
    arguments = json.loads(line)
    try:
        found = resolve_model(arguments.pop("path_or_id"), **arguments)
        names = sorted(path.relative_to(found).as_posix() for path in Path(found).rglob("*") if path.is_file())
        answer = {"path": str(found), "files": names}
    except UserError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    except Exception as error:
        answer = {"unexpected": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
