"""Pictures of evidence: of its pages, and a small one for lists. Drawn lazily, kept, never run."""

from __future__ import annotations

import asyncio
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.page_pictures import NoPicture, name_of
from handlers.rendering.renderers import RENDERERS
from server.bodies import number, query
from server.contents import has_it
from server.evidence_access import evidence_of
from server.operations import operation
from server.parts import parts_of
from server.routes_evidence import note_access
from storage.evidence import EvidenceRow

THUMBNAIL_PX = 320
MOST_PAGES = 100_000

_KEEP_S = 3600
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    # Also of somebody who has lost the right meanwhile, in whose own browser it is.
    "Cache-Control": f"private, max-age={_KEEP_S}",
}


class Drawing(BaseModel):
    """How wide a page is drawn, in pixels."""

    model_config = ConfigDict(extra="forbid")
    width: Annotated[int, Field(ge=160, le=2560, multiple_of=160)] = 960


@operation("viewer", media="image/webp", query=Drawing, also=(304,), errors=(410, 503))
async def get_page(request: Request) -> Response:
    """A page of a PDF, or a picture, as WebP."""
    page = number(request, "page")
    return await _picture(request, page=page, width=query(request, Drawing).width)


@operation("viewer", media="image/webp", also=(304,), errors=(410, 503))
async def get_thumbnail(request: Request) -> Response:
    """A small picture of the first page; of a recording, its first still."""
    return await _picture(request, page=1, width=THUMBNAIL_PX)


async def _picture(request: Request, *, page: int, width: int) -> Response:
    visitor, row = await evidence_of(request)
    parts = parts_of(request)
    if not 1 <= page <= MOST_PAGES:
        raise NoPicture(f"there is no page {page}")
    sha256, media_type = _drawn_from(row)
    headers = {**_HEADERS, "ETag": f'"{name_of(sha256, page, width)}"'}
    if not has_it(request, headers["ETag"]):
        path = await parts.pictures.path(sha256, media_type, page=page, width=width)
        content = await asyncio.to_thread(path.read_bytes)
        response = Response(content, 200, headers, "image/webp")
    else:
        response = Response(status_code=304, headers=headers)
    await note_access(parts, visitor, row, "preview")
    return response


def _drawn_from(row: EvidenceRow) -> tuple[str, str]:
    """The content to draw, and its kind: the file's own, or what was made from it when it was read."""
    if row.media_type not in RENDERERS:
        for made in row.meta.get("derived", ()):
            if made["media_type"] in RENDERERS:
                return made["sha256"], made["media_type"]
    return row.sha256, row.media_type


routes = [
    Route("/api/evidence/{evidence}/pages/{page}.webp", get_page, methods=["GET"]),
    Route("/api/evidence/{evidence}/thumbnail", get_thumbnail, methods=["GET"]),
]
