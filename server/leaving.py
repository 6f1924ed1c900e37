"""The collaborators of those handlers that take evidence and cases out of every store."""

from __future__ import annotations

from functools import partial
from typing import Any

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.erase_case import CaseStores
from handlers.forget import Stores
from handlers.quoting_queries import Send
from machines.errors import StepError
from server.engine import Engine, MachineMissing, Outcome
from server.rights import announce
from storage.arrivals import Arrivals
from storage.cases import Cases
from storage.departures import Departures
from storage.erasure import Erasure
from storage.evidence import EvidenceStore
from storage.finished import Finished
from storage.journal import CustodyJournal
from storage.partials import Partials
from storage.query_graphs import QueryGraphs
from storage.webhook_deliveries import WebhookDeliveries

GOING = frozenset({"cancelled", "leaving", "forgetting", "stranded", "deleted"})
"""States of an upload whose evidence another one may have, as far as it is still there."""


def sender_of(engine: Engine) -> Send:
    """Sends handlers' events, without a word where a machine takes one no more."""

    async def send(machine: str, event: str, data: dict[str, Any], *, event_id: str) -> Outcome | None:
        try:
            return await engine.send(machine, event, data, source="handler", event_id=event_id)
        except (StepError, MachineMissing):
            return None

    return send


def leaving_stores(
    engine: Engine,
    redis: Redis,
    database: AsyncEngine,
    journal: CustodyJournal,
    arrivals: Arrivals,
    shards: int,
) -> Stores:
    """Where something of evidence may be."""
    return Stores(
        machines=engine.store,
        departures=Departures(database, journal),
        arrivals=arrivals,
        evidence=EvidenceStore(database),
        finished=Finished(database),
        graphs=QueryGraphs(redis, shards=shards),
        partials=Partials(redis),
        letters=WebhookDeliveries(database),
        send=sender_of(engine),
        case_machine=Cases(database).find_machine,
    )


def case_stores(
    engine: Engine,
    redis: Redis,
    database: AsyncEngine,
    journal: CustodyJournal,
    arrivals: Arrivals,
    shards: int,
) -> CaseStores:
    """Where something of a case may be."""
    return CaseStores(
        machines=engine.store,
        erasure=Erasure(database, journal),
        departures=Departures(database, journal),
        arrivals=arrivals,
        graphs=QueryGraphs(redis, shards=shards),
        partials=Partials(redis),
        send=sender_of(engine),
        announce=partial(announce, redis),
    )
