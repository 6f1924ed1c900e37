"""Removed evidence is out of sight at once, and a restored one back at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from handlers.job import Job
from handlers.quoting_queries import Names, Send, quoting
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
    """Hide evidence, or show it again, and tell the questions whose hits or answer rest on it.

    What the case knows of it stays where it is, so that nothing has to be computed when it comes back.
    Evidence that the upload does not hold any more is left alone.
    """
    case = await evidence.hide(effect.evidence, job.machine, hidden=effect.hidden)
    if case is None:
        return
    queries = await names(f"case:{case}", "query")
    # Their graphs hold passages that are to be left out, or lack some.
    await graphs.forget(case, queries)
    data = Withheld(evidence=effect.evidence, hidden=effect.hidden).model_dump(mode="json")
    for query in queries:
        snapshot = await load(query)
        if snapshot is not None and not snapshot.terminated and quoting(snapshot.context, effect.evidence):
            await send(query, Withheld.name, data, event_id=f"{job.id}:{query}")
    for search in await names(f"case:{case}", "poi_search"):
        snapshot = await load(search)
        if snapshot is not None and not snapshot.terminated:
            await send(search, PlaceWithheld.name, data, event_id=f"{job.id}:{search}")
    if (machine := await case_machine(case)) is not None:
        changed: dict[str, Any] = Changed(part="evidence").model_dump(mode="json")
        await send(machine, Changed.name, changed, event_id=f"{job.id}:evidence")
