"""Charts as pictures and as documents that other tools read."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from machines.draw import describe, draw
from machines.step import CHARTS
from server.auth import require_visitor
from server.bodies import Json, query
from server.errors import Missing
from server.operations import operation

_DRAWN = {
    "dot": ("dot", "text/vnd.graphviz"),
    "mmd": ("mermaid", "text/vnd.mermaid"),
    "svg": ("svg", "image/svg+xml"),
    "scxml": ("scxml", "application/scxml+xml"),
    "xstate.json": ("json", "application/json"),
}
"""Ending of the address → format and media type; `.json` describes the chart as `/api/charts` does."""

ENDINGS = ("json", *_DRAWN)
"""All endings that an address may have."""


class Lit(BaseModel):
    """`active`: states to light in a drawing, separated by commas; a document has nothing to light."""

    model_config = ConfigDict(extra="forbid")
    active: Annotated[str, Field(max_length=4000)] = ""


class Spawning(BaseModel):
    """Who may spawn such a machine, and on topics of which kinds."""

    source: str
    role: str
    topics: list[str]


class ChartState(BaseModel):
    """One state and those within it."""

    id: str
    initial: bool
    final: bool
    parallel: bool
    states: list[ChartState]


class ChartTransition(BaseModel):
    """One transition that leads somewhere; `event` is empty where none is needed."""

    event: str
    source: str
    targets: list[str]


class ChartEvent(BaseModel):
    """One event, with the one source that may send it and, for clients, the least role."""

    name: str
    source: str
    role: str
    doc: str


class ChartFacts(BaseModel):
    """One chart of this release."""

    kind: str
    version: int
    hash: str
    spawn: Spawning
    states: list[ChartState]
    transitions: list[ChartTransition]
    events: list[ChartEvent]


class DrawnChart(ChartFacts):
    """One chart with its drawing in the language of Graphviz."""

    dot: str


@operation("login", answer=list[DrawnChart])
async def list_charts(request: Request) -> Response:
    """Every chart of this release."""
    await require_visitor(request)
    return Json([describe(kind) | {"dot": draw(kind, "dot")} for kind in sorted(CHARTS)])


@operation("login", answer=Any, query=Lit, media="*/*")
async def draw_chart(request: Request) -> Response:
    """One chart, drawn (`.dot`, `.mmd`, `.svg`), exported (`.scxml`, `.xstate.json`) or told (`.json`)."""
    await require_visitor(request)
    kind, _, ending = request.path_params["name"].partition(".")
    asked = query(request, Lit)
    if ending == "json":
        return Json(describe(kind))
    if ending not in _DRAWN:
        raise Missing(f"a chart is there as .json, .{', .'.join(sorted(_DRAWN))}")
    form, media_type = _DRAWN[ending]
    active = [state for state in asked.active.split(",") if state]
    drawn = await asyncio.to_thread(draw, kind, form, active)  # Graphviz takes some milliseconds
    return Response(drawn, media_type=media_type)


routes = [
    Route("/api/charts", list_charts, methods=["GET"]),
    Route("/api/charts/{name}", draw_chart, methods=["GET"]),
]
