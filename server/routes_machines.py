"""Machines found, counted, looked at and followed back through their journal."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from machines.event import Role
from machines.snapshot import Snapshot
from server.auth import require_role, require_visitor
from server.bodies import Json, nothing, query
from server.errors import Invalid, Missing
from server.inspect_journal import FURTHEST
from server.inspect_models import MachineCounts, MachineDetails, MachineJournal, MachinePage
from server.inspect_search import Wanted, parse_cursor
from server.operations import operation
from server.parts import parts_of
from server.views import machine_view
from storage.archive import archived
from storage.machine_search import Criteria
from storage.partials import Partial

ShortText = Annotated[str, Field(min_length=1, max_length=200)]
Moment = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]


class Filter(BaseModel):
    """Which machines to list; what is not given leaves a question open. Times are Unix seconds.

    `topic` is one such as `case:<id>`, `case` the id alone. `owner` is a user's id, or `me`. `text`
    begins an id or stands in a title. `trouble` asks for what is slow or stuck, or stuck alone.
    `after` is the `next` of the page before.
    """

    model_config = ConfigDict(extra="forbid")
    kind: ShortText | None = None
    state: ShortText | None = None
    topic: ShortText | None = None
    case: ShortText | None = None
    owner: ShortText | None = None
    text: ShortText | None = None
    changed_after: Moment | None = None
    changed_before: Moment | None = None
    life: Literal["live", "finished"] | None = None
    trouble: Literal["any", "stuck"] | None = None
    after: ShortText | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class JournalPart(BaseModel):
    """Which entries of a journal: up to `limit` after the first `after` ones."""

    model_config = ConfigDict(extra="forbid")
    after: Annotated[int, Field(ge=0, le=FURTHEST)] = 0
    limit: Annotated[int, Field(ge=1, le=500)] = 200


@operation("login", answer=MachinePage, query=Filter)
async def list_machines(request: Request) -> Response:
    """Machines of every topic that the visitor may read, by page, newest change first."""
    visitor = await require_visitor(request)
    parts = parts_of(request)
    asked = query(request, Filter)
    topics = await parts.rights.topics_of(visitor)
    only = [t for t in (asked.topic, f"case:{asked.case}" if asked.case else None) if t is not None]
    try:
        after = None if asked.after is None else parse_cursor(asked.after)
    except ValueError as error:
        raise Invalid("“after” must be the “next” of an earlier page") from error
    wanted = Wanted(
        Criteria(
            kind=asked.kind,
            state=asked.state,
            owner=visitor.person.id if asked.owner == "me" else asked.owner,
            text=asked.text,
            changed_after=asked.changed_after or 0.0,
            changed_before=math.inf if asked.changed_before is None else asked.changed_before,
            finished=None if asked.life is None else asked.life == "finished",
        ),
        troubled=asked.trouble is not None,
        stuck=asked.trouble == "stuck",
    )
    page = await parts.inspector.find(
        [topic for topic in topics if all(topic == one for one in only)],
        wanted,
        after=after,
        limit=asked.limit,
    )
    return _answer(page)


@operation("login", answer=MachineCounts)
async def count_machines(request: Request) -> Response:
    """Machines of every topic that the visitor may read, by kind and state, and those in trouble."""
    visitor = await require_visitor(request)
    parts = parts_of(request)
    return _answer(await parts.inspector.counts(await parts.rights.topics_of(visitor)))


@operation("viewer", answer=MachineDetails)
async def get_machine(request: Request) -> Response:
    """One machine, with the version of its chart and what is wrong; also one that has left Redis."""
    snapshot, role = await _machine(request)
    parts = parts_of(request)
    spawner, name = await parts.journals.spawner(snapshot)
    details = MachineDetails(
        **machine_view(snapshot, role),
        chart_version=snapshot.chart_version,
        chart_hash=snapshot.chart_hash,
        spawned_by=spawner,
        spawned_by_name=name,
        troubles=await parts.inspector.troubles(snapshot),
    )
    return _answer(details)


@operation("viewer", answer=MachineJournal, query=JournalPart)
async def get_journal(request: Request) -> Response:
    """Every transition of a machine, oldest first, with what each changed; also of one that has left."""
    snapshot, _ = await _machine(request)
    parts = parts_of(request)
    asked = query(request, JournalPart)
    return _answer(await parts.journals.page(snapshot, after=asked.after, limit=asked.limit))


@operation("viewer", answer=Partial, also=(204,))
async def get_partial(request: Request) -> Response:
    """The text of an answer as far as it has been streamed; nothing (204) where none has."""
    snapshot, _ = await _machine(request)
    partial = await parts_of(request).partials.read(snapshot.id)
    return nothing() if partial is None else Json(partial)


async def _machine(request: Request) -> tuple[Snapshot, Role]:
    """The machine that is asked for, live or, when it has ended and left Redis, as it was archived."""
    await require_visitor(request)
    parts, machine = parts_of(request), request.path_params["machine"]
    snapshot = await parts.engine.load(machine)
    if snapshot is None:
        async with parts.database.connect() as connection:
            snapshot = await archived(connection, machine)
    if snapshot is None:
        raise Missing("there is no such machine")
    _, role = await require_role(request, snapshot.topic, "viewer", "machine")
    return snapshot, role


def _answer(model: BaseModel) -> Response:
    value: Any = model.model_dump(by_alias=True)
    return Json(value)


routes = [
    Route("/api/machines", list_machines, methods=["GET"]),
    Route("/api/machines/counts", count_machines, methods=["GET"]),
    Route("/api/machines/{machine}", get_machine, methods=["GET"]),
    Route("/api/machines/{machine}/journal", get_journal, methods=["GET"]),
    Route("/api/machines/{machine}/partial", get_partial, methods=["GET"]),
]
