"""Persons of interest of a case; each change also has the evidence searched for them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.auth import Visitor, require_role
from server.bodies import Body, Json, nothing, number, read, repeatable
from server.operations import operation
from server.parts import Parts, parts_of
from server.poi_searches import end_search, look_for, new_search
from server.routes_cases import tell_changed
from storage.pois import PoiRow

Name = Annotated[str, StringConstraints(min_length=1, max_length=300)]


class PoiBody(Body):
    """What is known of a person; aliases are other names for the same one."""

    name: Name
    aliases: list[Name] = Field(default=[], max_length=50)
    note: str = Field(default="", max_length=5000)


@operation("viewer", answer=list[PoiRow])
async def list_pois(request: Request) -> Response:
    """All persons of interest, by name."""
    case = request.path_params["case"]
    await require_role(request, f"case:{case}", "viewer", "case")
    return Json(await parts_of(request).pois.of_case(case))


@operation("editor", answer=PoiRow, status=201, body=PoiBody, repeatable=True)
async def add_poi(request: Request) -> Response:
    """Enter a person."""
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "editor", "case")
    body = await read(request, PoiBody)
    parts = parts_of(request)
    poi = await parts.pois.add(
        case,
        body.name,
        body.aliases,
        body.note,
        machine=new_search(case, parts.settings.shards),
        request=repeatable(request, visitor.person.id, body),
    )
    # Told for a repeat too: the first request may have ended before it came so far.
    await tell_changed(parts, case, "pois", visitor.person.id)
    await _look_for(parts, case, poi.id, visitor)
    return Json(poi, 201)


@operation("editor", answer=PoiRow, body=PoiBody)
async def change_poi(request: Request) -> Response:
    """Replace what is known of a person."""
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "editor", "case")
    body = await read(request, PoiBody)
    parts = parts_of(request)
    poi = await parts.pois.change(case, number(request, "poi"), body.name, body.aliases, body.note)
    await tell_changed(parts, case, "pois", visitor.person.id)
    await _look_for(parts, case, poi.id, visitor)
    return Json(poi)


@operation("editor", status=204)
async def remove_poi(request: Request) -> Response:
    """Forget a person."""
    case = request.path_params["case"]
    visitor, _ = await require_role(request, f"case:{case}", "editor", "case")
    parts = parts_of(request)
    machine = await parts.pois.remove(case, number(request, "poi"))
    await end_search(parts.engine, machine, actor=visitor.person.id)
    for part in ("pois", "entities"):
        await tell_changed(parts, case, part, visitor.person.id)
    return nothing()


async def _look_for(parts: Parts, case: str, poi: int, visitor: Visitor) -> None:
    await look_for(parts.engine, parts.pois, case, poi, actor=visitor.person.id, shards=parts.settings.shards)


routes = [
    Route("/api/cases/{case}/pois", list_pois, methods=["GET"]),
    Route("/api/cases/{case}/pois", add_poi, methods=["POST"]),
    Route("/api/cases/{case}/pois/{poi}", change_poi, methods=["PUT"]),
    Route("/api/cases/{case}/pois/{poi}", remove_poi, methods=["DELETE"]),
]
