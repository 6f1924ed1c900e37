"""Uploads in parts that go straight to the S3 store; see `server.multipart`."""

from __future__ import annotations

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from machines.event import BIGGEST
from server.bodies import Body, Json, nothing, read
from server.errors import Missing
from server.multipart import DirectUploads, PartPage
from server.operations import operation
from server.parts import parts_of
from server.routes_uploads import upload_of


class WholeFile(Body):
    """The file that is being sent: its size in bytes."""

    bytes: int = Field(ge=1, le=BIGGEST)


class Gathered(TypedDict):
    """How many bytes are in the store, on their way to being evidence."""

    bytes: int


@operation("editor", answer=PartPage, body=WholeFile, errors=(409, 413))
async def wanted(request: Request) -> Response:
    """Which parts are missing, and where to put them."""
    visitor, upload = await upload_of(request)
    body = await read(request, WholeFile)
    return Json(await _direct(request).wanted(upload, body.bytes, visitor.person.id))


@operation("editor", answer=Gathered, errors=(409,))
async def complete(request: Request) -> Response:
    """All parts are in the store: have them made one file."""
    visitor, upload = await upload_of(request)
    return Json({"bytes": await _direct(request).complete(upload, visitor.person.id)})


@operation("editor", status=204, errors=(409,))
async def abort(request: Request) -> Response:
    """Forget the parts that were sent."""
    _, upload = await upload_of(request)
    await _direct(request).abort(upload)
    return nothing()


def _direct(request: Request) -> DirectUploads:
    direct = parts_of(request).direct
    if direct is None:
        raise Missing("files are sent to this server, not to a store beside it")
    return direct


routes = [
    Route("/api/uploads/{machine}/multipart", wanted, methods=["POST"]),
    Route("/api/uploads/{machine}/multipart", abort, methods=["DELETE"]),
    Route("/api/uploads/{machine}/multipart/complete", complete, methods=["POST"]),
]
