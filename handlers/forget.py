"""Evidence leaves every store, in steps of which each can be taken again.

The order is what makes it safe: work under way ends, then a fence keeps anything new from being written
for the upload, then whatever quotes the evidence forgets it, then the tables do, with the record of
custody in the same transaction, then what is kept beside them, then the bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from handlers.job import Job, Permanent, Temporary
from handlers.quoting_queries import UNDER_WAY, Send, led_through, quoting, redacted, telling
from machines.case import Changed
from machines.poi_search import Redacted as PlaceRedacted
from machines.query import Redacted
from machines.snapshot import Snapshot
from machines.topics import case_of
from machines.upload_events import ForgetEvidence, Forgotten, Swept
from storage.arrivals import Arrivals
from storage.departures import Departure, Departures, Leaver
from storage.evidence import EvidenceStore
from storage.finished import Finished
from storage.partials import Partials
from storage.query_graphs import QueryGraphs
from storage.webhook_deliveries import WebhookDeliveries

ENDING_S = 20.0
"""How long work under way may take to end; who does not look at its cancellation is ended before."""
_LOOK_S = 0.2


class Machines(Protocol):
    """The part of the machine store that leaving needs; see `storage.machine_store.MachineStore`."""

    async def load(self, machine: str) -> Snapshot | None: ...

    async def names(self, topic: str, kind: str) -> list[str]: ...

    async def leases(self, effect_ids: Sequence[str]) -> list[bool]: ...

    async def evict(self, machine: str) -> None: ...

    async def cut_log(self, topic: str) -> None: ...


CaseMachine = Callable[[str], Awaitable[str | None]]


@dataclass(frozen=True)
class Stores:
    """Everywhere that something of evidence may be."""

    machines: Machines
    departures: Departures
    arrivals: Arrivals
    evidence: EvidenceStore
    finished: Finished
    graphs: QueryGraphs
    partials: Partials
    letters: WebhookDeliveries
    send: Send
    case_machine: CaseMachine


async def forget_evidence(effect: ForgetEvidence, job: Job, *, stores: Stores) -> Forgotten:
    """Delete what an upload has brought.

    Raises:
        Permanent: The topic is no case's.
        Temporary: Work on the file has not ended yet.
    """
    case = case_of(effect.topic)
    if not case:
        raise Permanent(f"evidence belongs to a case, and “{effect.topic}” is none")
    await _end_of_work(effect.upload, job, stores.machines)
    leaver = Leaver(effect.upload, effect.topic, case, effect.actor, effect.reason)
    departure = await stores.departures.begin(leaver)
    children = await _sweep(departure, job, stores)
    if not departure.complete:
        await stores.evidence.hide(departure.evidence, departure.upload, hidden=True)
        labels = await stores.departures.labels(departure)
        await _redact(departure, labels, job, stores)
        await job.check()
        await stores.departures.complete(departure, children=children)
    # Once more, for what was on its way while the rows were still there.
    await _redact(departure, frozenset(), job, stores)
    await _forget_copies(departure, stores)
    for sha256 in departure.contents:
        await stores.arrivals.clear(sha256)
    if (machine := await stores.case_machine(case)) is not None:
        changed = Changed(part="evidence").model_dump(mode="json")
        await stores.send(machine, Changed.name, changed, event_id=f"{job.id}:evidence")
    return Forgotten(effect=job.id)


async def _end_of_work(upload: str, job: Job, machines: Machines) -> None:
    """Wait until no worker is at the file any more; jobs that have not begun will not begin."""
    snapshot = await machines.load(upload)
    work = {} if snapshot is None else snapshot.context.get("work", {})
    effects = [w["effect"] for w in work.values() if w["effect"] and w["effect"] != job.id]
    until = asyncio.get_running_loop().time() + ENDING_S
    while any(await machines.leases(effects)):
        if asyncio.get_running_loop().time() > until:
            raise Temporary("work on the file has not ended yet")
        await asyncio.sleep(_LOOK_S)
        await job.check()


async def _sweep(departure: Departure, job: Job, stores: Stores) -> list[int]:
    """Have what was found in it go, too; the evidence among that."""
    if not departure.evidence:
        return []
    children = await stores.departures.children(departure)
    uploads = {child.upload for child in children}
    uploads |= await _not_yet_evidence(departure, stores)
    for upload in sorted(uploads):
        await stores.send(upload, Swept.name, {}, event_id=f"{departure.upload}:swept:{upload}")
    return [child.evidence for child in children]


async def _not_yet_evidence(departure: Departure, stores: Stores) -> set[str]:
    """Uploads of what was found in it that have brought no evidence so far."""
    of_topic = await stores.machines.names(departure.topic, "upload")
    found, known = await stores.finished.uploads_within(departure.topic, departure.evidence, of_topic)
    for upload in set(of_topic) - known:  # too new to be archived
        snapshot = await stores.machines.load(upload)
        if snapshot is not None and snapshot.context["parent"] == departure.evidence:
            found.add(upload)
    # Those that rest outside Redis, too.
    found |= await stores.departures.arrived_within(departure)
    found.discard(departure.upload)
    return found - await stores.departures.moved(departure, sorted(found))


async def _redact(departure: Departure, labels: Collection[str], job: Job, stores: Stores) -> None:
    """Questions keep a mark where they quoted it; searches for a person lose the place."""
    evidence = departure.evidence
    if not evidence:
        return
    topic = f"case:{departure.case}"
    for query in await stores.machines.names(topic, "query"):
        await job.check()
        snapshot = await stores.machines.load(query)
        if snapshot is None:
            continue
        retold = led_through(snapshot.context, labels)
        if snapshot.terminated:
            if retold or quoting(snapshot.context, evidence):
                await stores.finished.rewrite(redacted(snapshot, evidence, retold))
                await stores.machines.evict(query)
        elif retold or quoting(snapshot.context, evidence) or UNDER_WAY.intersection(snapshot.configuration):
            data = Redacted(evidence=evidence, retold=retold).model_dump(mode="json")
            # By revision: what was found since then may quote it again.
            event_id = f"{departure.upload}:redacted:{snapshot.revision}:{query}"
            await stores.send(query, Redacted.name, data, event_id=event_id)
        await stores.partials.forget(query)
    async for snapshot in stores.finished.quoting(topic, evidence):
        await stores.finished.rewrite(redacted(snapshot, evidence, ()))
    for search in await stores.machines.names(topic, "poi_search"):
        await job.check()
        snapshot = await stores.machines.load(search)
        if snapshot is None or snapshot.terminated:
            continue  # one that has ended holds no places
        if telling(snapshot.context, evidence) or "searching" in snapshot.configuration:
            place = PlaceRedacted(evidence=evidence).model_dump(mode="json")
            event_id = f"{departure.upload}:redacted:{snapshot.revision}:{search}"
            await stores.send(search, PlaceRedacted.name, place, event_id=event_id)
    for upload in await stores.departures.spares(departure):
        if await stores.finished.untitle(upload):
            await stores.machines.evict(upload)


async def _forget_copies(departure: Departure, stores: Stores) -> None:
    """What is kept beside machines and tables, and can be computed or read again without it."""
    topic = f"case:{departure.case}"
    await stores.graphs.forget(departure.case, await stores.machines.names(topic, "query"))
    await stores.letters.forget(departure.upload, departure.evidence)
    for each in {topic, departure.topic}:
        await stores.machines.cut_log(each)
