"""What the evidence names, and a person's judgement of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.auth import require_role, require_visitor
from server.bodies import Body, Json, number, query, read
from server.operations import operation
from server.pages import cursor_of, next_page, page_of, values_of
from server.parts import parts_of
from server.routes_cases import tell_changed
from storage.judgements import EntityRow, Judgement


class Wanted(BaseModel):
    """Which entities to list, of every status and kind unless told; `after` is the cursor of a page."""

    model_config = ConfigDict(extra="forbid")
    status: Judgement | None = None
    kind: Annotated[str, Field(max_length=40)] | None = None
    after: Annotated[str, Field(max_length=2000)] | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 1000


class Judged(Body):
    """What a person thinks of a suggested entity."""

    status: Judgement


@operation("viewer", answer=list[EntityRow], query=Wanted, paged=True)
async def list_entities(request: Request) -> Response:
    """The entities of a case, the most often mentioned first, by page; mere names only by their kind.

    While another page follows, the header `Link` (rel="next") holds its address.
    """
    case = request.path_params["case"]
    await require_role(request, f"case:{case}", "viewer", "case")
    wanted = query(request, Wanted)
    rows = await parts_of(request).judgements.of_case(
        case,
        status=wanted.status,
        kind=wanted.kind,
        after=None if wanted.after is None else values_of(wanted.after, int, str, int),
        limit=wanted.limit + 1,
    )
    page, more = page_of(rows, wanted.limit)
    cursor = cursor_of(page[-1].mentions, page[-1].name, page[-1].id) if more else None
    return Json(page, headers=next_page(request, "after", cursor))


@operation("editor", answer=EntityRow, body=Judged)
async def judge_entity(request: Request) -> Response:
    """Accept or reject an entity; a rejected one is no part of the graph any more."""
    await require_visitor(request)
    parts = parts_of(request)
    entity = number(request, "entity")
    case = await parts.judgements.case_of(entity)
    visitor, _ = await require_role(request, f"case:{case}", "editor", "entity")
    body = await read(request, Judged)
    row = await parts.judgements.judge(entity, body.status)
    await tell_changed(parts, case, "entities", visitor.person.id)
    return Json(row)


routes = [
    Route("/api/cases/{case}/entities", list_entities, methods=["GET"]),
    Route("/api/entities/{entity}", judge_entity, methods=["PUT"]),
]
