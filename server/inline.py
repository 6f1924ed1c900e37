"""What the dispatcher does itself: toasts, votes, and searches that version 1 of a case asked for."""

from __future__ import annotations

from functools import partial
from typing import Any

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.assemble import drop_parts
from handlers.feedback import record_vote
from handlers.job import Handlers, Job
from handlers.notify import deliver_toast, notify
from handlers.retry_files import retry_files
from machines.case import RelinkPoi
from machines.errors import StepError
from machines.importing_events import RetryFiles
from machines.notification import DeliverToast, Notify
from machines.query import RecordVote
from machines.upload_events import DropParts
from server.engine import Engine, MachineMissing, Outcome
from server.hub import Hub
from server.poi_searches import look_for
from server.settings import Settings
from storage.cases import Cases
from storage.graph_postgres import GraphPostgres
from storage.import_files import ImportFiles
from storage.parts import PartStore
from storage.pois import Pois
from storage.query_graphs import QueryGraphs
from storage.transfers import Transfers
from storage.votes import Votes


def inline_handlers(
    *,
    settings: Settings,
    engine: Engine,
    hub: Hub,
    redis: Redis,
    database: AsyncEngine,
    transfers: Transfers,
    parts: PartStore,
) -> Handlers:
    """The handlers of the queue `inline`."""
    cases, pois = Cases(database), Pois(database)

    async def spawn(kind: str, topic: str, data: dict[str, Any], *, event_id: str) -> Outcome:
        return await engine.spawn(kind, topic, data, source="handler", event_id=event_id)

    async def send(machine: str, event: str, data: dict[str, Any], *, event_id: str) -> Outcome | None:
        try:
            return await engine.send(machine, event, data, source="handler", event_id=event_id)
        except (StepError, MachineMissing):
            return None

    async def relink_poi(effect: RelinkPoi, job: Job) -> None:
        await look_for(engine, pois, effect.case, effect.poi, actor="system", shards=settings.shards)

    async def waits(upload: str) -> bool:
        snapshot = await engine.load(upload)
        return snapshot is not None and bool({"receiving", "paused"} & set(snapshot.configuration))

    def open_pages(topic: str) -> int:
        return hub.topics.get(topic, 0)

    return {
        Notify: partial(notify, spawn=spawn),
        DeliverToast: partial(deliver_toast, publish=engine.publish, open_pages=open_pages),
        RecordVote: partial(
            record_vote,
            votes=Votes(database),
            graph=GraphPostgres(database),
            graphs=QueryGraphs(redis, shards=settings.shards),
            load=engine.load,
            send=send,
            case_machine=cases.machine,
        ),
        RelinkPoi: relink_poi,
        DropParts: partial(drop_parts, transfers=transfers, parts=parts, waits=waits),
        RetryFiles: partial(retry_files, files=ImportFiles(database)),
    }
