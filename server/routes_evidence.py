"""Evidence: its rows, its text with positions, its chunks, and the file itself.

Every look at text or content is written into the custody chain before it is answered.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from handlers.recommend import withdraw
from machines.event import BIGGEST
from server.auth import Visitor, require_role
from server.bodies import Body, Json, nothing, query, read
from server.contents import INLINE, content_response
from server.errors import Missing
from server.evidence_access import evidence_of, sees_removed
from server.operations import operation
from server.parts import Parts, parts_of
from storage.evidence import EvidenceRow

_CONTENT = ",".join((*sorted(INLINE), "application/octet-stream", "multipart/byteranges"))
_PICTURES = ",".join(sorted(one for one in INLINE if one.startswith("image/")))

_CHARSETS = {"utf-8": "utf-8", "utf-8-sig": "utf-8", "cp1252": "windows-1252", "latin-1": "iso-8859-1"}
"""Encodings of plain text as a reader names them, and as a browser does."""

ONE_LOOK_S = 60
"""A viewer reads a file in many ranges; within this time they are one access."""


class Page(BaseModel):
    """A page of a list: up to `limit` rows with ids above `after`."""

    model_config = ConfigDict(extra="forbid")
    after: Annotated[int, Field(ge=0, le=BIGGEST)] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


class Wanted(Page):
    """A page of evidence: perhaps only of that whose title, filename or tags hold `words`, of what was
    found in the evidence `parent`, or of what belongs to the case's `topic`."""

    words: Annotated[str, Field(max_length=200)] = ""
    parent: Annotated[int, Field(ge=0, le=BIGGEST)] = 0
    topic: Annotated[int, Field(ge=0, le=BIGGEST)] = 0


class Noticed(Body):
    """What somebody looked at, perhaps as a hit of a query."""

    what: Literal["view", "read"]
    node: Annotated[int, Field(ge=1, le=BIGGEST)]
    query: Annotated[str, Field(max_length=120)] = ""


class Shown(Body):
    """The hits of a query that stood first, and on screen for ten seconds."""

    query: Annotated[str, Field(min_length=1, max_length=120)]
    nodes: Annotated[list[Annotated[int, Field(ge=1, le=BIGGEST)]], Field(min_length=1, max_length=3)]


class SummarySentence(TypedDict):
    """A sentence of the source that stands in its summary; positions are characters of the text."""

    text: str
    start: int
    end: int
    page: int


class EvidenceView(TypedDict):
    """Evidence without its text; `pages` counts, `parent` is the evidence it was found in, or 0.

    `edited` tells title, summary or tags that a person wrote, and their version; `near` counts near copies.
    """

    id: int
    case: str
    parent: int
    upload: str
    filename: str
    title: str
    sha256: str
    bytes: int
    media_type: str
    meta: dict[str, Any]
    pages: int
    summary: list[SummarySentence]
    tags: list[str]
    tag_confidence: dict[str, float]
    """How sure the run was of each tag that it found, 0 to 1; tags that a person wrote have none."""
    edited: dict[str, int]
    near: int
    uploaded_by: str
    created_at: datetime
    hidden_at: datetime | None
    """Since when it is out of sight, removed or inside of what is removed; null where it is not."""
    removed_at: datetime | None
    """Since when it waits to be deleted by its own removal; null where it does not."""


class EvidenceText(EvidenceView):
    """Evidence with its text; `page_spans` holds `[start, end]` of each page."""

    text: str
    page_spans: list[list[int]]


class ChunkView(TypedDict):
    """Where a chunk stands; boxes are `[x0, y0, x1, y1]` in points on its page."""

    id: int
    ordinal: int
    page: int
    start: int
    end: int
    boxes: list[list[float]]


@operation("viewer", answer=list[EvidenceView], query=Wanted)
async def list_evidence(request: Request) -> Response:
    """The evidence of a case in the order in which it came."""
    case = request.path_params["case"]
    await require_role(request, f"case:{case}", "viewer", "case")
    page = query(request, Wanted)
    parts = parts_of(request)
    rows = await parts.evidence.of_case(
        case,
        after=page.after,
        limit=page.limit,
        words=page.words.strip(),
        parent=page.parent,
        topic=page.topic,
    )
    near = await parts.near.counts([row.id for row in rows])
    return Json([describe(row, near.get(row.id, 0)) for row in rows])


@operation("viewer", answer=EvidenceText)
async def get_evidence(request: Request) -> Response:
    """One piece of evidence with its whole text."""
    visitor, row = await evidence_of(request)
    parts = parts_of(request)
    await note_access(parts, visitor, row, "read")
    text = await parts.evidence.text(row.id)
    near = (await parts.near.counts([row.id])).get(row.id, 0)
    return Json(describe(row, near) | {"text": text, "page_spans": row.pages})


@operation("viewer", answer=list[ChunkView])
async def get_chunks(request: Request) -> Response:
    """Where the chunks stand in the text and on the pages."""
    _, row = await evidence_of(request)
    chunks = await parts_of(request).evidence.chunks(row.id)
    return Json(
        [
            {
                "id": chunk.id,
                "ordinal": chunk.ordinal,
                "page": chunk.page,
                "start": chunk.start,
                "end": chunk.end,
                "boxes": chunk.boxes,
            }
            for chunk in chunks
        ]
    )


@operation("viewer", media=_CONTENT, also=(206, 304, 416), errors=(410,))
async def get_content(request: Request) -> Response:
    """The file as it was uploaded, whole or in ranges."""
    visitor, row = await evidence_of(request)
    parts = parts_of(request)
    response = await content_response(
        request,
        parts.blobs,
        row.sha256,
        media_type=row.media_type,
        filename=row.filename,
        charset=_CHARSETS.get(str(row.meta.get("encoding")), ""),
    )
    await note_access(parts, visitor, row, "download")
    return response


@operation("viewer", media=_PICTURES, also=(206, 304, 416), errors=(410,))
async def get_derived(request: Request) -> Response:
    """A picture that was made from the file when it was read, such as a still of a video."""
    visitor, row = await evidence_of(request)
    name = request.path_params["picture"]
    for made in row.meta.get("derived", ()):
        if made["name"] == name and made["media_type"] in _PICTURES.split(","):
            parts = parts_of(request)
            response = await content_response(
                request, parts.blobs, made["sha256"], media_type=made["media_type"], filename=name
            )
            await note_access(parts, visitor, row, "preview")
            return response
    raise Missing("there is no such picture")


@operation("viewer", status=204, body=Noticed)
async def note_attention(request: Request) -> Response:
    """Record what was opened or read, as material for later learning."""
    case = request.path_params["case"]
    visitor, role = await require_role(request, f"case:{case}", "viewer", "case")
    body = await read(request, Noticed)
    await parts_of(request).votes.note(
        case,
        visitor.person.id,
        body.what,
        body.node,
        query=body.query,
        effect=f"request:{uuid4().hex}",
        removed=sees_removed(role),
    )
    await withdraw(case, visitor.person.id, body.node, prepared=parts_of(request).prepared)
    return nothing()


@operation("viewer", status=204, body=Shown)
async def note_shown(request: Request) -> Response:
    """Record that a question's first hits were on screen for a while, to learn of those passed over."""
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "viewer", "case")
    body = await read(request, Shown)
    if await parts_of(request).engine.topic_of(body.query) != f"case:{case}":
        raise Missing("there is no such question")
    await parts_of(request).attention.note_shown(case, visitor.person.id, body.query, body.nodes)
    return nothing()


def describe(row: EvidenceRow, near: int) -> dict[str, Any]:
    """Evidence as the wire shows it; `pages` counts, `parent` is 0 where there is none."""
    return {k: v for k, v in asdict(row).items() if k not in ("case_id", "parent_id", "tagger")} | {
        "case": row.case_id,
        "parent": row.parent_id or 0,
        "pages": len(row.pages),
        "near": near,
    }


async def note_access(parts: Parts, visitor: Visitor, row: EvidenceRow, what: str) -> None:
    """Write a look into the custody chain, once for what belongs to one look; before it is answered."""
    key = f"access:{visitor.person.id}:{row.id}:{what}"
    if await parts.redis.exists(key):
        return
    await parts.journal.record_access(f"case:{row.case_id}", visitor.person.id, what, row.id)
    await parts.redis.set(key, 1, ex=ONE_LOOK_S)


routes = [
    Route("/api/cases/{case}/evidence", list_evidence, methods=["GET"]),
    Route("/api/cases/{case}/attention", note_attention, methods=["POST"]),
    Route("/api/cases/{case}/shown", note_shown, methods=["POST"]),
    Route("/api/evidence/{evidence}", get_evidence, methods=["GET"]),
    Route("/api/evidence/{evidence}/chunks", get_chunks, methods=["GET"]),
    Route("/api/evidence/{evidence}/content", get_content, methods=["GET"]),
    Route("/api/evidence/{evidence}/derived/{picture}", get_derived, methods=["GET"]),
]
