"""What searches by Detective mode have found, and what a search can be about."""

from __future__ import annotations

import asyncio

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from server.auth import require_self
from server.bodies import Body, Json, query
from server.errors import Missing
from server.operations import operation
from server.parts import parts_of
from storage.detective import End
from storage.findings import FindingRow


class FindingsView(TypedDict):
    """The findings of a search, best first; `cases` are the titles of those they come from.

    `out_of_sight` counts findings that rest on something that the reader may not see (any more).
    """

    findings: list[FindingRow]
    cases: dict[str, str]
    out_of_sight: int


class EndsWanted(Body):
    """Part of a name or title; `case` is the id of one case, all where it is empty."""

    words: str = Field(default="", max_length=200)
    case: str = Field(default="", max_length=80)
    limit: int = Field(default=20, ge=1, le=100)


@operation("self", answer=FindingsView)
async def list_findings(request: Request) -> Response:
    """What a search has found, as far as its user may see all that a finding rests on."""
    visitor = await require_self(request)
    parts, machine = parts_of(request), request.path_params["machine"]
    user = visitor.person.id
    if not machine.startswith("detective-") or await parts.engine.topic_of(machine) != f"user:{user}":
        raise Missing("there is no such search")
    titles = await parts.cases.titles_of(user)
    found, out_of_sight = await parts.findings.of_search(machine, user, titles)
    cases = {case: titles[case] for case in sorted({case for one in found for case in one.cases})}
    return Json({"findings": found, "cases": cases, "out_of_sight": out_of_sight})


@operation("self", answer=list[End], query=EndsWanted, errors=(404,))
async def list_ends(request: Request) -> Response:
    """What a search can be about: people of interest, what evidence names, evidence; by part of the name."""
    visitor = await require_self(request)
    wanted = query(request, EndsWanted)
    parts = parts_of(request)
    titles = await parts.cases.titles_of(visitor.person.id)
    if wanted.case and wanted.case not in titles:
        raise Missing("there is no such case")
    chosen = [wanted.case] if wanted.case else sorted(titles)
    found = await asyncio.gather(*(parts.facts.ends(case, wanted.words, wanted.limit) for case in chosen))
    order = {"poi": 0, "entity": 1, "evidence": 2}
    ends = sorted(
        (end for of_case in found for end in of_case),
        key=lambda end: (order[end.what], len(end.name), end.name, end.node),
    )
    return Json(ends[: wanted.limit])


routes = [
    Route("/api/detective/ends", list_ends, methods=["GET"]),
    Route("/api/detective/{machine}/findings", list_findings, methods=["GET"]),
]
