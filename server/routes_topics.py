"""The machines of a topic by page, those that have left Redis included."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from machines.snapshot import Snapshot
from server.auth import require_role
from server.bodies import Json, query
from server.operations import operation
from server.pages import cursor_of, next_page, page_of, values_of
from server.parts import Parts, parts_of
from server.views import MachineView, machine_view
from storage.archive import finished_of, place


class Wanted(BaseModel):
    """A page of machines; `before` is its cursor."""

    model_config = ConfigDict(extra="forbid")
    before: Annotated[str, Field(max_length=400)] | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


@operation("viewer", answer=list[MachineView], query=Wanted, paged=True)
async def list_topic(request: Request) -> Response:
    """All machines of a topic, live and ended, the last changed first.

    While another page follows, the header `Link` (rel="next") holds its address. A machine that
    changes while pages are read moves to the front, where the subscription shows it.
    """
    topic = request.path_params["topic"]
    _, role = await require_role(request, topic, "viewer", "topic")
    wanted = query(request, Wanted)
    before = None if wanted.before is None else values_of(wanted.before, float, str)
    machines = await _machines(parts_of(request), topic, before, wanted.limit + 1)
    page, more = page_of(machines, wanted.limit)
    cursor = cursor_of(float(page[-1].updated_at), page[-1].id) if more else None
    return Json(
        [machine_view(machine, role) for machine in page], headers=next_page(request, "before", cursor)
    )


async def _machines(parts: Parts, topic: str, before: tuple[float, str] | None, limit: int) -> list[Snapshot]:
    # Redis first: a machine that is evicted between the two reads is then in both, not in neither.
    state = await parts.store.read_topic(topic)
    async with parts.database.connect() as connection:
        ended = await finished_of(parts.store, connection, topic, before, limit)
    # Where both have a machine, Redis may be ahead; what it tells of one decides where that stands.
    found = {machine.id: machine for machine in ended} | {machine.id: machine for machine in state.machines}
    behind = [machine for machine in found.values() if before is None or place(machine) < before]
    return sorted(behind, key=place, reverse=True)[:limit]


routes = [Route("/api/topics/{topic}/machines", list_topic, methods=["GET"])]
