"""Names of a case that may be the same, and what people say of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from server.auth import Visitor, require_role
from server.bodies import Body, Json, number, query, read
from server.errors import Invalid
from server.name_suggestions import NamesView
from server.operations import operation
from server.parts import Parts, parts_of
from server.poi_searches import look_for
from server.routes_cases import tell_changed
from storage.same_as import Judged, Pair, Verdict

Node = Annotated[int, Field(ge=1, le=2**63 - 1)]


class Wanted(BaseModel):
    """How many pairs and how many of the latest verdicts to tell."""

    model_config = ConfigDict(extra="forbid")
    limit: Annotated[int, Field(ge=0, le=100)] = 25
    verdicts: Annotated[int, Field(ge=0, le=200)] = 25


class Said(Body):
    """A verdict on an entity and either another entity or a person of interest."""

    entity: Node
    other: Node | None = None
    poi: Node | None = None
    verdict: Verdict


class JudgedView(TypedDict):
    """A verdict that was kept, or taken back; by `id` it is taken back."""

    id: int


@operation("viewer", answer=NamesView, query=Wanted)
async def list_suggested(request: Request) -> Response:
    """Pairs of names that may be the same, the likeliest first, each with reasons and quotations."""
    case = request.path_params["case"]
    await require_role(request, f"case:{case}", "viewer", "case")
    wanted = query(request, Wanted)
    return Json(
        await parts_of(request).name_suggestions.of_case(case, limit=wanted.limit, verdicts=wanted.verdicts)
    )


@operation("editor", answer=JudgedView, status=201, body=Said, errors=(409,))
async def judge_names(request: Request) -> Response:
    """Say that two names are the same, are different, or that it is unsure."""
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "editor", "case")
    body = await read(request, Said)
    try:
        pair = Pair.of(body.entity, other=body.other, poi=body.poi)
    except ValueError as error:
        raise Invalid(str(error)) from error
    parts = parts_of(request)
    reasons = await parts.name_suggestions.strengths(case, pair)
    judged = await parts.same_names.judge(case, pair, body.verdict, reasons, visitor.person.id)
    await _tell(parts, case, judged, visitor)
    return Json({"id": judged.id}, 201)


@operation("editor", answer=JudgedView)
async def take_back(request: Request) -> Response:
    """Take a verdict back: everything is as it was before."""
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "editor", "case")
    parts = parts_of(request)
    judged = await parts.same_names.take_back(case, number(request, "verdict"))
    await _tell(parts, case, judged, visitor)
    return Json({"id": judged.id})


async def _tell(parts: Parts, case: str, judged: Judged, visitor: Visitor) -> None:
    actor = visitor.person.id
    await tell_changed(parts, case, "entities", actor)
    if judged.poi:
        await tell_changed(parts, case, "pois", actor)
        await look_for(parts.engine, parts.pois, case, judged.poi, actor=actor, shards=parts.settings.shards)


routes = [
    Route("/api/cases/{case}/suggested-names", list_suggested, methods=["GET"]),
    Route("/api/cases/{case}/suggested-names/verdicts", judge_names, methods=["POST"]),
    Route("/api/cases/{case}/suggested-names/verdicts/{verdict}", take_back, methods=["DELETE"]),
]
