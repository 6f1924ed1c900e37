"""A conversation leaves: its machines first, then what the tables and caches hold of it.

Every step can be taken again: whoever is cut short leaves a conversation that is out of sight already.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from machines.snapshot import Snapshot
from storage.conversations import Conversations, Leaving
from storage.partials import Partials
from storage.query_graphs import QueryGraphs
from storage.webhook_deliveries import WebhookDeliveries


class Machines(Protocol):
    """The part of the machine store that this needs; see `storage.machine_store.MachineStore`."""

    async def load(self, machine: str) -> Snapshot | None: ...

    async def names(self, topic: str, kind: str) -> list[str]: ...

    async def purge(self, machine: str) -> None: ...

    async def cut_log(self, topic: str) -> None: ...


@dataclass(frozen=True)
class ConversationStores:
    """Everywhere that something of a conversation may be."""

    machines: Machines
    conversations: Conversations
    graphs: QueryGraphs
    partials: Partials
    letters: WebhookDeliveries


Forget = Callable[[Leaving], Awaitable[None]]


async def forget_conversation(leaving: Leaving, *, stores: ConversationStores) -> None:
    """Delete all of a conversation that was removed; its chain of custody keeps that there was one."""
    topic = f"case:{leaving.case}"
    queries = await _queries_of(leaving, topic, stores)
    for query in queries:
        await stores.machines.purge(query)
        await stores.partials.forget(query)
    await stores.conversations.complete(leaving, queries)
    await stores.graphs.forget(leaving.case, queries)
    for query in queries:
        await stores.letters.forget(query, 0)
    await stores.machines.cut_log(topic)


async def _queries_of(leaving: Leaving, topic: str, stores: ConversationStores) -> Sequence[str]:
    found = set(await stores.conversations.machines(leaving.case, leaving.id))
    for query in await stores.machines.names(topic, "query"):
        snapshot = await stores.machines.load(query)
        if snapshot is not None and (snapshot.context["conversation"] or query) == leaving.id:
            found.add(query)
    return sorted(found)
