"""Resumable uploads: tus 1.0.0 (https://tus.io/protocols/resumable-upload) for sending, and lists for looking.

Metadata of an upload: `filename`, and `relativePath` where a folder was dropped; where it goes: `dataset` (its id) or
`root`, and a `folder` in it; `purpose` ("file", or "archive" for a later import) and `clash` ("refuse", "number" or
"replace").
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from contextlib import suppress
from email.utils import formatdate
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from loratory.server import uploads
from loratory.server.context import Context, Here
from loratory.server.problems import Refused
from loratory.server.receiving import CHECKSUMS, Checksum, receive, surely
from loratory.server.roots import find_root, place_of
from loratory.server.uploads import MOST_BYTES, Clash, Purpose, State, Upload

VERSION = "1.0.0"
OFFSET_TYPE = "application/offset+octet-stream"
_HEADERS = {"Tus-Resumable": VERSION, "Cache-Control": "no-store"}
_MOST_METADATA = 16_384

router = APIRouter(prefix="/api/uploads", tags=["uploads"])


class UploadProblem(BaseModel):
    """Why a whole file was refused."""

    code: str
    message: str


class UploadReport(BaseModel):
    """One upload and how much of it has arrived."""

    id: str
    name: str
    root: str
    folder: str
    purpose: Purpose
    clash: Clash
    size_bytes: int
    offset_bytes: int
    arriving: bool
    """Somebody is sending more of it right now."""
    created: str
    state: State
    path: str | None
    """Where the file lies, relative to the root, when it is finished."""
    problem: UploadProblem | None


class UploadList(BaseModel):
    """Uploads that can be gone on with."""

    uploads: list[UploadReport]
    total: int


def _report(here: Context, upload: Upload) -> UploadReport:
    arrived = 0 if upload.state == "refused" else uploads.offset(upload)
    problem = UploadProblem(code=upload.problem[0], message=upload.problem[1]) if upload.problem else None
    return UploadReport(
        id=upload.id, name=upload.name, root=upload.root, folder=upload.folder, purpose=upload.purpose,
        clash=upload.clash, size_bytes=upload.size, offset_bytes=arrived, arriving=here.writers.has(upload.id),
        created=upload.created, state=upload.state, path=upload.path if upload.state == "finished" else None,
        problem=problem,
    )  # fmt: skip


@router.get("")
def list_uploads(
    here: Here, start: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 200
) -> UploadList:
    """Uploads that have not arrived whole, oldest first: what a browser offers to go on with after a reload."""
    found = list(uploads.unfinished())
    reports = []
    for upload in found[start : start + limit]:
        with suppress(FileNotFoundError):  # one that arrives whole while it is listed is no longer unfinished
            reports.append(_report(here, upload))
    return UploadList(uploads=reports, total=len(found))


@router.get("/{upload_id}")
def get_upload(here: Here, upload_id: str) -> UploadReport:
    """One upload: how much has arrived, and where the file lies when it is finished."""
    try:
        return _report(here, uploads.load(upload_id))
    except FileNotFoundError:  # it arrived whole in between
        return _report(here, uploads.load(upload_id))


# tus


async def _tus(request: Request) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise Refused(
            412, "tus_version", f"Say `Tus-Resumable: {VERSION}`; this is the one version of tus that is spoken here.",
            headers={"Tus-Version": VERSION},
        )  # fmt: skip


def _number(request: Request, header: str) -> int:
    text = request.headers.get(header, "")
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise Refused(400, "bad_header", f"{header} must be a number of bytes, not {text[:40]!r}.")
    return int(text)


def _metadata(request: Request) -> dict[str, str]:
    text = request.headers.get("upload-metadata", "")
    if len(text) > _MOST_METADATA:
        raise Refused(400, "name_too_long", "Upload-Metadata is too long; use shorter names.")
    found = {}
    for pair in filter(None, (each.strip() for each in text.split(","))):
        key, _, value = pair.partition(" ")
        try:
            found[key] = base64.b64decode(value.strip(), validate=True).decode("utf-8")
        except (binascii.Error, ValueError) as error:
            raise Refused(
                400, "bad_header", f"Upload-Metadata is not understood at {key[:40]!r}; values are UTF-8 in base64."
            ) from error
    return found


def _checksum(request: Request) -> Checksum | None:
    text = request.headers.get("upload-checksum")
    if text is None:
        return None
    algorithm, _, value = text.partition(" ")
    if algorithm not in CHECKSUMS:
        raise Refused(400, "bad_header", f"Upload-Checksum can be of {' or '.join(CHECKSUMS)}, not {algorithm[:20]!r}.")
    try:
        return Checksum(algorithm, base64.b64decode(value.strip(), validate=True))
    except (binascii.Error, ValueError) as error:
        raise Refused(400, "bad_header", "Upload-Checksum must hold the hash in base64.") from error


def _choice(found: dict[str, str], key: str, choices: tuple[str, ...]) -> str:
    value = found.get(key, choices[0])
    if value not in choices:
        raise Refused(400, "bad_metadata", f"{key} is one of {', '.join(choices)}, not {value[:40]!r}.")
    return value


def _announced(here: Context, request: Request) -> Upload:
    """What a POST announces. Raises Refused, NotThere."""
    size = _number(request, "Upload-Length")
    if size > MOST_BYTES:
        raise Refused(
            413, "too_large", f"{size / 1e9:.0f} GB are more than one upload may have ({MOST_BYTES >> 30} GiB)."
        )
    found = _metadata(request)
    path = (found.get("relativePath") or found.get("filename") or found.get("name") or "").replace("\\", "/")
    above, _, name = path.rpartition("/")
    root, base = found.get("root", "datasets"), ""
    if "dataset" in found:
        if "root" in found:
            raise Refused(400, "bad_metadata", "Name a dataset or a root, not both; a dataset lies in one.")
        place = place_of(here.datasets.library.find(found["dataset"]), here.extra_roots)
        root, base = place[0].id, place[1]
    folder = "/".join(part for part in (base, found.get("folder", "").strip("/"), above) if part)
    return uploads.new_upload(
        size=size, root=root, folder=folder, name=name,
        purpose=_choice(found, "purpose", ("file", "archive")),
        clash=_choice(found, "clash", ("refuse", "number", "replace")),
    )  # fmt: skip


def _create(here: Context, request: Request) -> Upload:
    return uploads.create(_announced(here, request), here.extra_roots)


def _headers(upload: Upload, arrived: int) -> dict[str, str]:
    expiry = uploads.expires(upload)
    when = {"Upload-Expires": formatdate(expiry, usegmt=True)} if expiry is not None else {}
    where = {"Upload-Path": quote(upload.path)} if upload.state == "finished" and upload.path else {}
    return {**_HEADERS, "Upload-Offset": str(arrived), **when, **where}


async def _take(here: Context, request: Request, upload: Upload, start: int | None) -> Upload:
    """Receive the request's body, and put the file into its place if that was the last of it."""
    async with here.writers.alone(upload.id) as turn:
        upload = await asyncio.to_thread(uploads.load, upload.id)
        if upload.state != "receiving":  # by a request that ended while this one waited
            return upload
        try:
            arrived = await receive(turn, upload, start, request.stream(), _checksum(request))
        except ClientDisconnect:
            raise Refused(499, "cut", "The connection was cut; what arrived stays.") from None
        except TimeoutError:
            raise Refused(
                408, "silence", "Nothing came for a while; what arrived stays, so go on from there."
            ) from None
        if arrived == upload.size:
            return await surely(asyncio.to_thread(_finish, here, upload))
    return upload


def _finish(here: Context, upload: Upload) -> Upload:
    upload = uploads.finish(upload, here.extra_roots)
    if upload.path is not None:
        here.arrivals.came(find_root(upload.root, here.extra_roots).new(upload.path))
    return upload


@router.options("", include_in_schema=False)
@router.options("/", include_in_schema=False)
@router.options("/{upload_id}", include_in_schema=False)
async def uploads_protocol() -> Response:
    """What of tus is spoken here."""
    extensions = "creation,creation-with-upload,termination,checksum,expiration"
    said = {
        "Tus-Version": VERSION, "Tus-Extension": extensions, "Tus-Max-Size": str(MOST_BYTES),
        "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
    }  # fmt: skip
    return Response(status_code=204, headers={**_HEADERS, **said})


@router.post("", include_in_schema=False, dependencies=[Depends(_tus)])
@router.post("/", include_in_schema=False, dependencies=[Depends(_tus)])
async def create_upload(here: Here, request: Request) -> Response:
    """Announce a file, and send its beginning along if that is handy."""
    if "upload-defer-length" in request.headers:
        raise Refused(400, "bad_header", "Upload-Defer-Length is not spoken here; say Upload-Length.")
    upload = await asyncio.to_thread(_create, here, request)
    arrived = 0
    if upload.size == 0 or request.headers.get("content-type") == OFFSET_TYPE:
        upload = await _take(here, request, upload, 0)
        arrived = await asyncio.to_thread(uploads.offset, upload)
    # Relative, so that it is right behind every proxy and below every path.
    place = upload.id if request.url.path.endswith("/") else f"uploads/{upload.id}"
    return Response(status_code=201, headers={**_headers(upload, arrived), "Location": place})


@router.head("/{upload_id}", include_in_schema=False, dependencies=[Depends(_tus)])
async def upload_offset(here: Here, upload_id: str) -> Response:
    """How much has arrived. A file that arrived whole and was kept from its place (a full disk, a killed server) is
    put there now: no client sends another byte of it."""
    upload = await asyncio.to_thread(uploads.load, upload_id)
    if upload.state == "receiving":
        async with here.writers.alone(upload_id):
            upload = await asyncio.to_thread(uploads.load, upload_id)
            if upload.state == "receiving" and await asyncio.to_thread(uploads.offset, upload) == upload.size:
                upload = await surely(asyncio.to_thread(_finish, here, upload))
    _not_refused(upload)
    arrived = await asyncio.to_thread(uploads.offset, upload)
    return Response(headers={**_headers(upload, arrived), "Upload-Length": str(upload.size)})


@router.patch("/{upload_id}", include_in_schema=False, dependencies=[Depends(_tus)])
async def send_upload(here: Here, upload_id: str, request: Request) -> Response:
    """Send the next bytes."""
    if request.headers.get("content-type") != OFFSET_TYPE:
        raise Refused(415, "wrong_type", f"The body of a PATCH is {OFFSET_TYPE}.")
    start = _number(request, "Upload-Offset")
    _checksum(request)
    upload = await asyncio.to_thread(uploads.load, upload_id)
    _not_refused(upload)
    if upload.state == "finished":
        if start != upload.size:
            raise Refused(409, "wrong_offset", f"{upload.name} has arrived whole.", offset=upload.size)
        return Response(status_code=204, headers=_headers(upload, upload.size))
    if start + int(request.headers.get("content-length", "0")) > upload.size:
        raise Refused(413, "too_much", f"{upload.name} was announced with {upload.size} bytes; this would be more.")
    upload = await _take(here, request, upload, start)
    arrived = await asyncio.to_thread(uploads.offset, upload)
    return Response(status_code=204, headers=_headers(upload, arrived))


def _not_refused(upload: Upload) -> None:
    if upload.problem:
        raise Refused(410, upload.problem[0], upload.problem[1])


@router.delete("/{upload_id}", include_in_schema=False, dependencies=[Depends(_tus)])
async def cancel_upload(here: Here, upload_id: str) -> Response:
    """Give an upload up and forget what arrived; a file that is in its place stays there."""
    upload = await asyncio.to_thread(uploads.load, upload_id)
    async with here.writers.alone(upload_id):
        await asyncio.to_thread(uploads.remove, upload)
    return Response(status_code=204, headers=_HEADERS)


@router.post("/{upload_id}", include_in_schema=False, dependencies=[Depends(_tus)])
async def upload_override(here: Here, upload_id: str, request: Request) -> Response:
    """PATCH or DELETE for clients behind proxies that let neither through."""
    method = request.headers.get("x-http-method-override", "").upper()
    if method == "PATCH":
        return await send_upload(here, upload_id, request)
    if method == "DELETE":
        return await cancel_upload(here, upload_id)
    raise Refused(405, "method_not_allowed", "POST to an upload needs X-HTTP-Method-Override: PATCH or DELETE.")
