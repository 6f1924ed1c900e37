"""A case leaves: its files by their own machines first, then everything that is kept of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from handlers.job import Job
from handlers.quoting_queries import Send
from machines.case import EraseCase, Erased, NotYet
from machines.importing_events import ImportSwept
from machines.snapshot import Snapshot
from machines.topics import case_of
from machines.upload_events import Swept
from storage.arrivals import Arrivals
from storage.departures import Departures, Leaver
from storage.erasure import Erasure
from storage.partials import Partials
from storage.query_graphs import QueryGraphs

_ALL = ""


class Machines(Protocol):
    """The part of the machine store that an ending case needs; see `storage.machine_store.MachineStore`."""

    async def load(self, machine: str) -> Snapshot | None: ...

    async def names(self, topic: str, kind: str) -> list[str]: ...

    async def topics(self) -> list[tuple[str, float]]: ...

    async def purge(self, machine: str) -> None: ...

    async def cut_log(self, topic: str) -> None: ...

    async def drop_topic(self, topic: str) -> None: ...


@dataclass(frozen=True)
class CaseStores:
    """Everywhere that something of a case may be; `announce` has all look again at a user's rights."""

    machines: Machines
    erasure: Erasure
    departures: Departures
    arrivals: Arrivals
    graphs: QueryGraphs
    partials: Partials
    send: Send
    announce: Callable[[str], Awaitable[None]]


async def erase_case(effect: EraseCase, job: Job, *, stores: CaseStores) -> NotYet | Erased:
    """Tell every file to go; once they have gone, delete the case with all that it had.

    What is left is the custody chain of its topics, with a record of this deletion.
    """
    topics = sorted({f"case:{effect.case}", *await _topics_of(effect.case, stores)})
    left = await _sweep(topics, job, stores)
    if left:
        return NotYet(effect=job.id, left=left)
    queries = [name for topic in topics for name in await stores.machines.names(topic, "query")]
    for query in queries:
        await stores.partials.forget(query)
    for machine in await stores.erasure.told_about(topics):
        await job.check()
        await stores.machines.purge(machine)
    for topic in topics:
        for machine in await stores.machines.names(topic, _ALL):
            await job.check()
            if machine != job.machine:
                await stores.machines.purge(machine)
    await stores.graphs.forget_case(effect.case, queries)
    await _clear_contents(effect, job, stores)
    members, arrived = await stores.erasure.erase(
        effect.case, topics, machine=job.machine, actor=effect.actor, reason=effect.reason
    )
    for sha256 in arrived:
        await stores.arrivals.clear(sha256)
    for topic in topics:
        if topic == f"case:{effect.case}":
            await stores.machines.cut_log(topic)
        else:
            await stores.machines.drop_topic(topic)
    for member in members:
        await stores.announce(member)
    return Erased(effect=job.id)


async def _topics_of(case: str, stores: CaseStores) -> set[str]:
    found = {topic for topic, _ in await stores.machines.topics()}
    found |= set(await stores.erasure.topics())
    return {topic for topic in found if case_of(topic) == case}


async def _sweep(topics: list[str], job: Job, stores: CaseStores) -> int:
    """Tell every import and upload that its case goes; returns how many have not gone yet.

    Files of imports that rest outside Redis await nothing: they go with the tables.
    """
    left = 0
    for topic in topics:
        for folder in await stores.machines.names(topic, "import"):
            snapshot = await stores.machines.load(folder)
            if snapshot is not None and not snapshot.terminated:
                left += 1  # whoever feeds it may be about to begin files
                await stores.send(folder, ImportSwept.name, {}, event_id=f"{job.id}:swept:{folder}")
        for upload in await stores.machines.names(topic, "upload"):
            await job.check()
            snapshot = await stores.machines.load(upload)
            if snapshot is not None and not snapshot.terminated:
                left += 1
                await stores.send(upload, Swept.name, {}, event_id=f"{job.id}:swept:{upload}")
    return left


async def _clear_contents(effect: EraseCase, job: Job, stores: CaseStores) -> None:
    """What uploads have brought that never became evidence, or whose deletion was cut short, goes as well."""
    for upload, topic in await stores.erasure.arrived(effect.case):
        leaver = Leaver(upload, topic, effect.case, effect.actor, effect.reason)
        departure = await stores.departures.begin(leaver)
        if not departure.complete:
            await stores.departures.complete(departure)
    for contents in await stores.erasure.contents(effect.case):
        await job.check()
        for sha256 in contents:
            await stores.arrivals.clear(sha256)
