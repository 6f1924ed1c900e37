"""Machines as a table and charts as pictures, for those who watch and draw them."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from machines.draw import describe, draw
from machines.snapshot import Snapshot
from machines.step import CHARTS
from server.auth import require_role, require_visitor
from server.bodies import Json, nothing, query
from server.errors import Missing
from server.operations import operation
from server.parts import parts_of
from server.views import ChartView, MachineView, machine_view
from storage.archive import archived
from storage.partials import Partial

_FORMATS = {
    "dot": ("dot", "text/vnd.graphviz"),
    "json": ("json", "application/json"),
    "mmd": ("mermaid", "text/vnd.mermaid"),
}
_PICTURES = ",".join(media_type for _, media_type in _FORMATS.values())


class Wanted(BaseModel):
    """Which machines to list, newest change first."""

    model_config = ConfigDict(extra="forbid")
    kind: str | None = None
    state: str | None = None
    limit: Annotated[int, Field(ge=1, le=2000)] = 200


class Lit(BaseModel):
    """States to be drawn as active, separated by commas."""

    model_config = ConfigDict(extra="forbid")
    active: Annotated[str, Field(max_length=2000)] = ""


class MachineRow(TypedDict):
    """A machine in a table; `work` is what its stages say of their work."""

    machine: str
    kind: str
    topic: str
    revision: int
    configuration: list[str]
    updated_at: float
    work: dict[str, Any]


class MachineWhole(MachineView):
    """A machine with the definition that its snapshot was written by."""

    chart_version: int
    chart_hash: str


@operation("login", answer=list[MachineRow], query=Wanted)
async def list_machines(request: Request) -> Response:
    """The machines of every topic that the visitor may read."""
    visitor = await require_visitor(request)
    parts = parts_of(request)
    wanted = query(request, Wanted)
    topics = await parts.rights.topics_of(visitor)
    states = await asyncio.gather(*(parts.store.read_topic(topic) for topic in topics))
    machines = [
        machine
        for state in states
        for machine in state.machines
        if wanted.kind in (None, machine.kind)
        and (wanted.state is None or wanted.state in machine.configuration)
    ]
    machines.sort(key=lambda machine: (-machine.updated_at, machine.id))
    return Json(
        [
            {
                "machine": m.id,
                "kind": m.kind,
                "topic": m.topic,
                "revision": m.revision,
                "configuration": m.configuration,
                "updated_at": m.updated_at,
                "work": m.context.get("work", {}),
            }
            for m in machines[: wanted.limit]
        ]
    )


@operation("viewer", answer=MachineWhole)
async def get_machine(request: Request) -> Response:
    """One machine, as a subscriber sees it, with the version of its chart; also one that has left Redis."""
    await require_visitor(request)
    snapshot = await _snapshot(request)
    _, role = await require_role(request, snapshot.topic, "viewer", "machine")
    chart = {"chart_version": snapshot.chart_version, "chart_hash": snapshot.chart_hash}
    return Json({**machine_view(snapshot, role), **chart})


@operation("viewer", answer=Partial, also=(204,))
async def get_partial(request: Request) -> Response:
    """The text of an answer as far as it has been streamed; nothing (204) where none has."""
    await require_visitor(request)
    snapshot = await _snapshot(request)
    await require_role(request, snapshot.topic, "viewer", "machine")
    partial = await parts_of(request).partials.read(snapshot.id)
    return nothing() if partial is None else Json(partial)


@operation("login", answer=list[ChartView])
async def list_charts(request: Request) -> Response:
    """Every chart of this release."""
    await require_visitor(request)
    return Json([describe(kind) | {"dot": draw(kind, "dot")} for kind in sorted(CHARTS)])


@operation("login", media=_PICTURES, query=Lit)
async def draw_chart(request: Request) -> Response:
    """One chart, with the states of `active` lit."""
    await require_visitor(request)
    kind, _, suffix = request.path_params["name"].rpartition(".")
    if suffix not in _FORMATS:
        raise Missing("a chart is drawn as .dot, .mmd or .json")
    form, media_type = _FORMATS[suffix]
    active = [state for state in query(request, Lit).active.split(",") if state]
    return Response(draw(kind, form, active), media_type=media_type)


async def _snapshot(request: Request) -> Snapshot:
    """The machine that is asked for, live or, when it has ended and left Redis, as it was archived."""
    parts, machine = parts_of(request), request.path_params["machine"]
    snapshot = await parts.engine.load(machine)
    if snapshot is None:
        async with parts.database.connect() as connection:
            snapshot = await archived(connection, machine)
    if snapshot is None:
        raise Missing("there is no such machine")
    return snapshot


routes = [
    Route("/api/machines", list_machines, methods=["GET"]),
    Route("/api/machines/{machine}", get_machine, methods=["GET"]),
    Route("/api/machines/{machine}/partial", get_partial, methods=["GET"]),
    Route("/api/charts", list_charts, methods=["GET"]),
    Route("/api/charts/{name}", draw_chart, methods=["GET"]),
]
