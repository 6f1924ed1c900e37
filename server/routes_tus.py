"""Resumable uploads: the tus protocol 1.0.0 over the routes of a case's uploads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from hashlib import sha256
from secrets import token_hex

from pydantic import BaseModel
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import TypedDict

from machines.event import Role
from machines.topics import case_of
from server import tus
from server.auth import Visitor, require_role, require_visitor, sender_of
from server.bodies import Body, Json, nothing, query, repeatable
from server.errors import Malformed, Missing
from server.operations import operation
from server.parts import parts_of
from server.uploading import Asked, Standing
from storage.transfers import Transfer

MACHINE_HEADER = "Casewire-Machine"
"""Names the upload machine in what is answered to a creation."""

REFUSALS = (400, 403, 409, 410, 412, 413, 415, 422, 423, 460, 507)


class Resumable(TypedDict):
    """An upload of this person that can be gone on with; `offset` is how much is there for good, or more."""

    url: str
    machine: str
    length: int | None
    offset: int
    fingerprint: str
    metadata: str
    partial: bool
    expires_at: datetime


class Which(Body):
    """Only of this machine, or only of a file that its client knows again by this fingerprint."""

    machine: str = ""
    fingerprint: str = ""


class _NewTransfer(BaseModel):
    """What makes two requests for an upload the same request."""

    length: int | None
    details: str
    concat: str


@operation("public", status=204)
async def tus_options(_: Request) -> Response:
    """Tell what of the tus protocol is spoken."""
    return nothing()


@operation("editor", status=201, raw=tus.MEDIA_TYPE, errors=REFUSALS, repeatable=True)
async def begin_upload(request: Request) -> Response:
    """Begin a resumable upload, perhaps with its first bytes (tus: creation, concatenation).

    `Location` is where to go on, `Casewire-Machine` names its machine. `Upload-Metadata` may tell
    `filename` or `relativePath`, `filetype`, `machine` (an upload announced before), `topic`, `parent`,
    `sha256` (a file that turns out to be another one is refused) and `fingerprint`.
    """
    case, headers = request.path_params["case"], request.headers
    visitor, role = await require_role(request, f"case:{case}", "editor", "case")
    tus.check_version(headers)
    parts, uploading = parts_of(request), parts_of(request).uploading
    details, concat = tus.details_of(headers), tus.concat_of(headers)
    if details.topic and case_of(details.topic) != case:
        raise Malformed("topic in Upload-Metadata must be of this case")
    if details.parent:
        parent = await parts.evidence.get(details.parent)
        if parent.case_id != case:
            raise Missing("there is no such evidence")
    if concat.kind == "final" and ("upload-length" in headers or _has_body(request)):
        raise Malformed("what is joined from parts has the length of these, and no bytes of its own")
    length = None if concat.kind == "final" else tus.length_of(headers)
    checksum = tus.checksum_of(headers)
    if _has_body(request):
        tus.check_media_type(headers)
    once = repeatable(
        request, visitor.person.id, _NewTransfer(length=length, details=details.told, concat=concat.told)
    )
    name = token_hex(16)
    if once is not None:
        name = sha256(f"{once.user}\0{once.fingerprint}\0{once.key}".encode()).hexdigest()[:32]
    asked = Asked(name, case, visitor.person.id, role, length, details, concat)
    transfer = await uploading.create(asked)
    standing = Standing(transfer, 0)
    if concat.kind != "final" and _has_body(request):
        # A repeat of a request whose answer was lost: its bytes, too, may be there already.
        standing = await uploading.look(transfer, visitor.person.id) if once is not None else standing
        if standing.offset == 0 and not standing.whole:
            standing = await uploading.append(
                transfer,
                0,
                request.stream(),
                sender_of(parts, visitor, transfer.topic),
                declared=_declared(request),
                checksum=checksum,
            )
    answer = _told(standing, 201)
    answer.headers["Location"] = f"/api/tus/{transfer.id}"
    if transfer.machine:
        answer.headers[MACHINE_HEADER] = transfer.machine
    if concat.kind == "final":
        del answer.headers["Upload-Offset"]
    return answer


@operation("editor", answer=list[Resumable], query=Which)
async def list_resumable(request: Request) -> Response:
    """What the asker can go on with in this case, newest first, a hundred at most."""
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "editor", "case")
    which = query(request, Which)
    transfers = parts_of(request).uploading.transfers
    found = await transfers.open_of(
        case, visitor.person.id, machine=which.machine, fingerprint=which.fingerprint
    )
    return Json(
        [
            Resumable(
                url=f"/api/tus/{one.id}",
                machine=one.machine,
                length=one.length,
                offset=one.received,
                fingerprint=one.fingerprint,
                metadata=one.details,
                partial=one.kind == "partial",
                expires_at=one.expires_at,
            )
            for one in found
        ]
    )


@operation("editor", status=200, errors=REFUSALS)
async def where_to_go_on(request: Request) -> Response:
    """Tell where to go on; what an earlier connection still sends is broken off."""
    visitor, _, transfer = await _transfer(request)
    standing = await parts_of(request).uploading.look(transfer, visitor.person.id)
    answer = _told(standing, 200)
    if transfer.length is None:
        answer.headers["Upload-Defer-Length"] = "1"
    else:
        answer.headers["Upload-Length"] = str(transfer.length)
    if transfer.details:
        answer.headers["Upload-Metadata"] = transfer.details
    if transfer.kind == "partial":
        answer.headers["Upload-Concat"] = "partial"
    elif transfer.kind == "final":
        answer.headers["Upload-Concat"] = "final;" + " ".join(
            f"/api/tus/{piece}" for piece in transfer.pieces
        )
    return answer


@operation("editor", status=204, raw=tus.MEDIA_TYPE, errors=REFUSALS)
async def append_bytes(request: Request) -> Response:
    """Send bytes from `Upload-Offset` on; what arrives stays, also if the connection is cut."""
    visitor, _, transfer = await _transfer(request)
    headers, parts = request.headers, parts_of(request)
    tus.check_media_type(headers)
    standing = await parts.uploading.append(
        transfer,
        tus.needed_number(headers, "upload-offset"),
        request.stream(),
        sender_of(parts, visitor, transfer.topic),
        declared=_declared(request),
        length=tus.number(headers, "upload-length"),
        checksum=tus.checksum_of(headers),
    )
    return _told(standing, 204)


@operation("editor", status=204, errors=REFUSALS)
async def end_upload(request: Request) -> Response:
    """End an upload; its machine is cancelled, unless the file is evidence already."""
    visitor, role, transfer = await _transfer(request)
    await parts_of(request).uploading.terminate(transfer, visitor.person.id, role)
    return nothing()


METHODS: dict[str, Callable[[Request], Awaitable[Response]]] = {
    "HEAD": where_to_go_on,
    "PATCH": append_bytes,
    "DELETE": end_upload,
}


@operation("editor", status=204, raw=tus.MEDIA_TYPE, errors=REFUSALS, also=(200,))
async def override_method(request: Request) -> Response:
    """Do what `X-HTTP-Method-Override` says (HEAD, PATCH or DELETE), where these cannot be sent."""
    await require_visitor(request)
    method = tus.method_of(request.method, request.headers)
    if method not in METHODS:
        raise Malformed("X-HTTP-Method-Override must be HEAD, PATCH or DELETE")
    return await METHODS[method](request)


async def _transfer(request: Request) -> tuple[Visitor, Role, Transfer]:
    """Who asks, an editor of its case, and the transfer that is asked for."""
    await require_visitor(request)
    transfer = await parts_of(request).uploading.transfers.get(request.path_params["upload"])
    visitor, role = await require_role(request, transfer.topic, "editor", "upload")
    tus.check_version(request.headers)
    tus.method_of(request.method, request.headers)
    return visitor, role, transfer


def _told(standing: Standing, status: int) -> Response:
    headers = {"Upload-Offset": str(standing.offset), "Cache-Control": "no-store"}
    if standing.transfer.state == "open" and not standing.whole:
        headers["Upload-Expires"] = tus.http_date(standing.transfer.expires_at.astimezone(UTC))
    return Response(status_code=status, headers=headers)


def _declared(request: Request) -> int | None:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdigit() else None


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or bool(_declared(request))


class TusHeaders:
    """ASGI middleware of these routes: every answer, a refusal too, tells the version; OPTIONS tells all."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Tus-Resumable"] = tus.VERSION
                if scope["method"] == "OPTIONS":
                    headers["Tus-Version"] = tus.VERSION
                    headers["Tus-Extension"] = ",".join(tus.EXTENSIONS)
                    headers["Tus-Max-Size"] = str(scope["state"]["parts"].settings.max_upload_bytes)
                    headers["Tus-Checksum-Algorithm"] = ",".join(tus.ALGORITHMS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _route(path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str) -> Route:
    return Route(path, endpoint, methods=[method], middleware=[Middleware(TusHeaders)])


routes = [
    _route("/api/cases/{case}/tus", begin_upload, "POST"),
    _route("/api/cases/{case}/tus", tus_options, "OPTIONS"),
    Route("/api/cases/{case}/tus", list_resumable, methods=["GET"]),
    _route("/api/tus/{upload}", where_to_go_on, "HEAD"),
    _route("/api/tus/{upload}", append_bytes, "PATCH"),
    _route("/api/tus/{upload}", end_upload, "DELETE"),
    _route("/api/tus/{upload}", override_method, "POST"),
]
