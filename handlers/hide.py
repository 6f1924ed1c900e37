"""Removed evidence is out of sight at once with what was found in it, and a restored one back at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any
from uuid import uuid4

from handlers.job import Job
from handlers.quoting_queries import Names, Send, quoted, told_of
from machines.case import Changed
from machines.poi_search import Withheld as PlaceWithheld
from machines.query import Withheld
from machines.snapshot import Snapshot
from machines.upload_events import HideEvidence
from storage.evidence import EvidenceStore
from storage.query_graphs import QueryGraphs

Load = Callable[[str], Awaitable[Snapshot | None]]
CaseMachine = Callable[[str], Awaitable[str | None]]


async def hide_evidence(
    effect: HideEvidence,
    job: Job,
    *,
    evidence: EvidenceStore,
    graphs: QueryGraphs,
    names: Names,
    load: Load,
    send: Send,
    case_machine: CaseMachine,
) -> None:
    """Hide evidence, or show it again, and tell the questions whose hits or answer rest on any of it.

    What the case knows of it stays where it is, so that nothing has to be computed when it comes back.
    Evidence that the upload does not hold any more is left alone.
    """
    sight = await evidence.hide(effect.evidence, job.machine, hidden=effect.hidden)
    if sight is None:
        return
    topic, hidden = f"case:{sight.case}", sight.hidden
    while True:
        queries = await names(topic, "query")
        # Their graphs hold passages that are to be left out, or lack some.
        await graphs.forget(sight.case, queries)
        for query in queries:
            await _tell(query, Withheld, hidden, quoted, load=load, send=send)
        for search in await names(topic, "poi_search"):
            # One that is under way may come by it, too.
            await _tell(search, PlaceWithheld, hidden, told_of, also={effect.evidence}, load=load, send=send)
        # Something inside may have been removed or restored by itself meanwhile: the last one is right.
        before, hidden = hidden, await evidence.hidden(list(hidden))
        if all(before[one] == now for one, now in hidden.items()):
            break
    if (machine := await case_machine(sight.case)) is not None:
        changed: dict[str, Any] = Changed(part="evidence").model_dump(mode="json")
        await send(machine, Changed.name, changed, event_id=f"{job.id}:evidence")


async def _tell(
    machine: str,
    event: type[Withheld] | type[PlaceWithheld],
    hidden: Mapping[int, bool],
    rests_on: Callable[[Mapping[str, Any]], set[int]],
    *,
    also: Collection[int] = (),
    load: Load,
    send: Send,
) -> None:
    """Say to a machine of everything that it rests on whether it may be shown."""
    snapshot = await load(machine)
    if snapshot is None or snapshot.terminated:
        return
    withheld = snapshot.context["withheld"]
    for one in sorted(rests_on(snapshot.context).union(also).intersection(hidden)):
        if (one in withheld) != hidden[one]:
            data = event(evidence=one, hidden=hidden[one]).model_dump(mode="json")
            # A repeat does no harm, and must not be taken for the one before another was told otherwise.
            await send(machine, event.name, data, event_id=f"withheld:{machine}:{uuid4().hex}")
