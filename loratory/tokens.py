"""Tokens and keys that Loratory keeps for its user: one file that only they may read.

The environment comes first, then a `.env` file in the current folder, then what is kept here. No value ever leaves
this module but into the environment.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from loratory.errors import UserError
from loratory.files import declare_points, home, write_private
from loratory.secrets import SECRET_VARIABLES, load_dotenv, read_dotenv

declare_points("tokens")

Source = Literal["environment", "kept"]

_HEADER = "# Tokens that Loratory keeps for you. Change them with: loratory tokens set NAME\n"
_LONGEST = 4096


def tokens_path() -> Path:
    """The file that holds them. It may not exist."""
    return home() / ".env"


def load_tokens() -> None:
    """Put tokens into the environment that are not there: of `.env` in the current folder, then those kept here.

    Raises UserError where one of the files cannot be read.
    """
    load_dotenv(Path.cwd())
    load_dotenv(home())


def keep_token(name: str, value: str) -> None:
    """Keep a token, in place of an older one, and use it from now on in this process too.

    Raises UserError for a name that is none of SECRET_VARIABLES and for a value that can be no token; DiskFull.
    """
    _check_name(name)
    value = value.strip()
    if not value or len(value) > _LONGEST or not value.isascii() or not value.isprintable() or set(value) & set("\"' "):
        raise UserError(f"What was given as {name} is no token: one word of letters, digits and signs is needed.")
    _write(read_dotenv(home()) | {name: value})
    os.environ[name] = value


def forget_token(name: str) -> bool:
    """Keep a token no longer; False where none was kept. Raises UserError for a name that is none; DiskFull."""
    _check_name(name)
    kept = read_dotenv(home())
    value = kept.pop(name, None)
    if value is None:
        return False
    _write(kept)
    if os.environ.get(name) == value:
        del os.environ[name]
    return True


def keep_new_tokens(found: Mapping[str, str]) -> list[str]:
    """Keep tokens that came with another program's file, where none is known under that name. Says what was done."""
    said = []
    for name, value in found.items():
        if value in (os.environ.get(name), read_dotenv(home()).get(name)):
            continue
        if name in sources():
            said.append(f"{name} is set already and stays as it is; the file's is not taken over.")
            continue
        keep_token(name, value)
        said.append(f"The file's {name} is kept in {tokens_path()}, which only you can read, and in no job file.")
    return said


def sources() -> dict[str, Source]:
    """Which tokens are known, and whence: kept here, or only in the environment."""
    kept = read_dotenv(home())
    return {name: "kept" if kept.get(name) == os.environ.get(name, kept.get(name)) else "environment"
            for name in SECRET_VARIABLES if kept.get(name) or os.environ.get(name)}  # fmt: skip


def _check_name(name: str) -> None:
    if name not in SECRET_VARIABLES:
        raise UserError(f"There is no token {name!r}; those that are used are {', '.join(SECRET_VARIABLES)}.")


def _write(tokens: Mapping[str, str]) -> None:
    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be made ({error.strerror}); set LORATORY_HOME to a folder of yours."
        ) from error
    write_private(tokens_path(), _HEADER + "".join(f"{name}={value}\n" for name, value in tokens.items()), "tokens")
