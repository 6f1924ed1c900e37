"""What the evidence names, and a person's judgement of it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.auth import require_role, require_visitor
from server.bodies import Body, Json, number, query, read
from server.parts import parts_of
from server.routes_cases import tell_changed
from storage.judgements import Judgement


class Wanted(BaseModel):
    """Which entities to list; all of them unless told."""

    model_config = ConfigDict(extra="forbid")
    status: Judgement | None = None
    kind: str | None = None


class Judged(Body):
    """What a person thinks of a suggested entity."""

    status: Judgement


async def list_entities(request: Request) -> Response:
    """The entities of a case, the most often mentioned first."""
    case = request.path_params["case"]
    await require_role(request, f"case:{case}", "viewer", "case")
    wanted = query(request, Wanted)
    rows = await parts_of(request).judgements.of_case(case, status=wanted.status, kind=wanted.kind)
    return Json(rows)


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
