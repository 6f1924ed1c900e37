"""Uploads: announced, then sent as one raw body; passwords for what turns out to be encrypted."""

from __future__ import annotations

from secrets import token_urlsafe
from typing import Annotated

from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from machines.event import BIGGEST
from machines.snapshot import Snapshot
from machines.topics import case_of
from server.auth import Visitor, require_role, require_visitor, sender_of
from server.bodies import Body, Json, read, repeatable
from server.errors import Missing, TooLarge
from server.operations import operation
from server.parts import parts_of

SECRET_S = 600
"""How long a password waits for the worker that tries it."""


class NewUpload(Body):
    """A file about to be sent; `bytes` is its size if known, `parent` the evidence it belongs to."""

    filename: str = Field(min_length=1, max_length=1024)
    bytes: int = Field(default=0, ge=0, le=BIGGEST)
    parent: int = Field(default=0, ge=0, le=BIGGEST)


class Password(Body):
    """What may open an encrypted file."""

    password: Annotated[str, StringConstraints(strip_whitespace=False, min_length=1, max_length=1000)]


class Announced(TypedDict):
    """The machine of an upload, which waits for its content.

    `direct` tells that the content may go straight to the store, by `/api/uploads/{machine}/multipart`.
    """

    machine: str
    direct: bool


class Received(TypedDict):
    """What has arrived; the hash is hexadecimal."""

    sha256: str
    bytes: int


class Moved(TypedDict):
    """Where a machine has come to."""

    machine: str
    revision: int
    to: list[str]


@operation("editor", answer=Announced, status=201, body=NewUpload, repeatable=True)
async def announce(request: Request) -> Response:
    """Make the upload's machine, which then waits for the content."""
    topic = f"case:{request.path_params['case']}"
    visitor, role = await require_role(request, topic, "editor", "case")
    parts = parts_of(request)
    body = await read(request, NewUpload)
    if body.bytes > parts.settings.max_upload_bytes:
        raise TooLarge(
            f"the file is larger than {parts.settings.max_upload_bytes} bytes, the most that is accepted",
            code="upload.too_large",
        )
    if body.parent:
        parent = await parts.evidence.get(body.parent)
        if parent.case_id != request.path_params["case"]:
            raise Missing("there is no such evidence")
    once = repeatable(request, visitor.person.id, body)
    outcome = await parts.engine.spawn(
        "upload",
        topic,
        body.model_dump(),
        source="client",
        actor=visitor.person.id,
        role=role,
        event_id=None if once is None else f"http:{once.user}:{once.fingerprint}:{once.key}",
    )
    return Json({"machine": outcome.machine, "direct": parts.direct is not None}, 201)


@operation("editor", answer=Received, raw="application/octet-stream", errors=(400, 409, 410, 413, 422, 507))
async def put_content(request: Request) -> Response:
    """Receive the content."""
    visitor, upload = await upload_of(request)
    length = request.headers.get("content-length", "")
    parts = parts_of(request)

    sha256, size = await parts.uploading.put(
        upload.id,
        case_of(upload.topic),
        request.stream(),
        int(length) if length.isdigit() else None,
        sender_of(parts, visitor, upload.topic),
    )
    return Json({"sha256": sha256, "bytes": size})


@operation("editor", answer=Moved, body=Password, errors=(409,))
async def unlock(request: Request) -> Response:
    """Keep a password where only the worker finds it, and have it tried."""
    visitor, upload = await upload_of(request)
    parts = parts_of(request)
    body = await read(request, Password)
    secret = token_urlsafe(24)
    await parts.secrets.put(secret, body.password, keep_s=SECRET_S)
    role = await parts.rights.role_for(visitor, upload.topic)
    outcome = await parts.engine.send(
        upload.id, "unlock", {"secret": secret}, source="client", actor=visitor.person.id, role=role
    )
    return Json({"machine": outcome.machine, "revision": outcome.revision, "to": outcome.configuration})


async def upload_of(request: Request) -> tuple[Visitor, Snapshot]:
    """The upload machine that is asked for, and who asks, an editor of its case."""
    await require_visitor(request)
    upload = await parts_of(request).engine.load(request.path_params["machine"])
    if upload is None or upload.kind != "upload":
        raise Missing("there is no such upload")
    visitor, _ = await require_role(request, upload.topic, "editor", "upload")
    return visitor, upload


routes = [
    Route("/api/cases/{case}/uploads", announce, methods=["POST"]),
    Route("/api/uploads/{machine}/content", put_content, methods=["PUT"]),
    Route("/api/uploads/{machine}/unlock", unlock, methods=["POST"]),
]
