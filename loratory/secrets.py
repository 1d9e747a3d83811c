"""Keep tokens and keys out of logs and events, and read them from a `.env` file."""

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loratory.errors import UserError

SECRET_VARIABLES = ("HF_TOKEN", "CIVITAI_API_KEY", "WANDB_API_KEY")
MASK = "***"

_SHORTEST_SECRET = 8
_VALUE = r"[A-Za-z0-9._~+/%*-]"  # with the mask's own sign, so that masking twice changes nothing
_QUOTE = r"(?:\\?[\"'])?"  # a quote, also as it stands inside a JSON string

# What comes before the secret is group 1 and stays.
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # Hugging Face: user and organization tokens
        r"(\b(?:hf|api_org)_)(?:[A-Za-z0-9]{16,}|(?=[A-Za-z]*[0-9])[A-Za-z0-9]{8,})",
        # Weights & Biases: the newer keys name themselves
        r"(\bwandb_v[0-9]+_)[A-Za-z0-9_-]{8,}",
        # HTTP headers
        rf"(?i)(\bauthorization{_QUOTE}\s*[:=]\s*{_QUOTE}(?:[a-z]+\s+)?){_VALUE}+=*",
        rf"(?i)(\bbearer\s+){_VALUE}{{8,}}=*",
        # Named: HF_TOKEN=..., "api_key": "...", ?token=...
        rf"(?i)((?:hf|hub|access|auth|api|civitai|wandb|refresh)[_-]?(?:api[_-]?)?(?:token|key){_QUOTE}\s*[:=]\s*{_QUOTE})"
        rf"{_VALUE}{{8,}}=*",
        rf"(?i)(\b(?:password|secret){_QUOTE}\s*[:=]\s*{_QUOTE}){_VALUE}{{8,}}=*",
        rf"(?i)([?&]token=){_VALUE}+=*",
        rf"(?i)(\btoken{_QUOTE}\s*[:=]\s*{_QUOTE}){_VALUE}{{16,}}=*",
        # Civitai keys are 32 hex digits, Weights & Biases keys 40: by themselves they look like any checksum
        rf"(?i)(\bkey{_QUOTE}\s*[:=]\s*{_QUOTE})(?:[0-9a-f]{{40}}|[0-9a-f]{{32}})(?![0-9a-f])",
        r"(?i)(\bcivitai\b[^\n\"]{0,40}?\b)[0-9a-f]{32}(?![0-9a-f])",
        # Passwords inside addresses
        r"(\b[a-z][a-z0-9+.-]*://[^\s/:@\"\\]*:)[^\s/@\"\\]+(?=@)",
    )
)


_SECRET_KEY = re.compile(
    r"(?i)(?:(?:hf|hub|access|auth|api|civitai|wandb|refresh)[_-]?(?:api[_-]?)?(?:token|key)|authorization|password|secret)"
)


def redact(text: str) -> str:
    """The text with tokens, keys and passwords replaced by `***`.

    Masked are the values of the known variables in the environment, and whatever has the form of a secret.
    """
    for name in SECRET_VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, MASK)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return text


def redact_values(value: Any) -> Any:
    """A copy of JSON-like data with every text redacted, and masked whole under a key such as "token" or "api_key"."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: MASK if _is_secret(key, item) else redact_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_values(item) for item in value]
    return value


def _is_secret(key: object, value: object) -> bool:
    return isinstance(value, str) and isinstance(key, str) and _SECRET_KEY.fullmatch(key) is not None


def is_secret_name(name: str) -> bool:
    """Is an environment variable of this name likely to hold a token, a key or a password?"""
    return bool(re.search(r"(?i)(token|secret|passw|api_?key|credential|access_?key|private_?key)", name))


def variable_of_secret(key: str) -> str | None:
    """Of a key under which others keep a token, such as wandb_key: the variable that it belongs into; else None."""
    if _SECRET_KEY.fullmatch(key) is None:
        return None
    begin = key.partition("_")[0].upper()
    return next((name for name in SECRET_VARIABLES if name.startswith(begin)), "HF_TOKEN")


class RedactingFormatter(logging.Formatter):
    """A log formatter whose lines, tracebacks included, went through `redact`."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def read_dotenv(folder: Path) -> dict[str, str]:
    """The tokens in `<folder>/.env`: HF_TOKEN, CIVITAI_API_KEY and WANDB_API_KEY, as far as they are there.

    Raises UserError when the file cannot be read or a line with one of these names is no `NAME=value`.
    """
    path = folder / ".env"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text; save it again as UTF-8.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); make it readable or remove it.") from error
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = re.match(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*(.*)", line)
        if match and match[1] in SECRET_VARIABLES:
            found[match[1]] = _value_of(match[2], f"{path}, line {number}")
    return found


def load_dotenv(folder: Path) -> tuple[str, ...]:
    """Take tokens from `<folder>/.env` into the environment and return the names (never the values) that were set.

    A variable that exists already is left as it is. Raises UserError as `read_dotenv` does.
    """
    new = {name: value for name, value in read_dotenv(folder).items() if value and name not in os.environ}
    os.environ.update(new)
    return tuple(new)


def _value_of(rest: str, where: str) -> str:
    if not rest.startswith("="):
        raise UserError(f"{where} should read NAME=value; add the missing '='.")
    value = rest[1:].strip()
    quote = value[:1]
    if quote in ("'", '"'):
        end = value.find(quote, 1)
        if end < 0:
            raise UserError(f"{where} opens a quote that it does not close; add {quote} at the end of the value.")
        return value[1:end]
    return re.split(r"\s#", value, maxsplit=1)[0].strip()
