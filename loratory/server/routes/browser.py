"""The built browser app in `loratory/server/static`: its files, and its page for every address that is a view of it."""

from __future__ import annotations

import mimetypes
import re
from functools import lru_cache
from html import escape
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.convertors import Convertor, register_url_convertor

from loratory.server.context import Here
from loratory.server.pages import not_built_page, script_hash
from loratory.server.paths import inside
from loratory.server.problems import Refused
from loratory.server.security import APP_POLICY

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).parents[1] / "static"
_PACKED = (("br", ".br"), ("gzip", ".gz"))
_INLINE_SCRIPT = re.compile(r"<script(?![^>]*\bsrc\b)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)
# Types that a Windows registry or an old Python gets wrong.
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".wasm": "application/wasm",
          ".woff2": "font/woff2", ".webmanifest": "application/manifest+json", ".svg": "image/svg+xml"}  # fmt: skip


class _Views(Convertor[str]):
    """Every path but those of the interface for programs: there, what does not exist must not look like a page."""

    regex = r"(?!api(?:/|$)).*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("view", _Views())


@router.api_route("/{path:view}", methods=["GET", "HEAD"])
def browser_app(path: str, request: Request, here: Here) -> Response:
    """Answer with a file of the browser app, or with its page."""
    top = path.partition("/")[0]
    if path and path != "index.html":
        found = inside(STATIC, path) if _is_plain(path) else None
        if found is not None and found.is_file():
            return _file(found, request, unchanging=top == "assets")
        if top == "assets" or "text/html" not in request.headers.get("accept", ""):
            raise Refused(404, "not_found", f"There is nothing at /{path}.")
    index = STATIC / "index.html"
    if not index.is_file():
        return not_built_page()
    return _index(index, index.stat().st_mtime_ns, here.options.root_path)


def _is_plain(path: str) -> bool:
    return not path.startswith(("/", "\\")) and ".." not in path and ":" not in path and "\0" not in path


def _file(path: Path, request: Request, *, unchanging: bool) -> FileResponse:
    kept = "private, max-age=31536000, immutable" if unchanging else "private, no-cache"
    headers = {"cache-control": kept, "vary": "accept-encoding"}
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    accepted = _accepted(request.headers.get("accept-encoding", ""))
    for encoding, ending in _PACKED:
        packed = path.with_name(path.name + ending)
        if encoding in accepted and packed.is_file():
            return FileResponse(packed, headers={**headers, "content-encoding": encoding}, media_type=kind)
    return FileResponse(path, headers=headers, media_type=kind)


def _accepted(header: str) -> set[str]:
    """The encodings of an Accept-Encoding, without those that are refused by a weight of nothing."""
    parts = (part.strip().lower().partition(";") for part in header.split(","))
    return {name.strip() for name, _, weight in parts if not re.fullmatch(r"q=0(\.0*)?", weight.strip())}


@lru_cache(maxsize=4)
def _page(index: Path, changed: int, root: str) -> tuple[str, str]:
    """The app's page with its base, and the policy that lets its own inline scripts run."""
    text = re.sub(r"(?i)<base\b[^>]*>", "", index.read_text(encoding="utf-8"))
    base = f'<base href="{escape(root, quote=True)}/">'
    text = re.sub(r"(?i)<head\b[^>]*>", lambda head: head[0] + base, text, count=1)
    hashes = "".join(f" {script_hash(script)}" for script in _INLINE_SCRIPT.findall(text))
    return text, APP_POLICY.format(scripts=hashes)


def _index(index: Path, changed: int, root: str) -> HTMLResponse:
    text, policy = _page(index, changed, root)
    return HTMLResponse(text, headers={"content-security-policy": policy, "cache-control": "no-cache"})
