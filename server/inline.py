"""What the dispatcher does itself: toasts, votes, what is taken out of sight, what version 1 asked for."""

from __future__ import annotations

from functools import partial
from typing import Any

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.assemble import drop_parts
from handlers.detective import Stores as DetectiveStores
from handlers.detective import drop_findings, record_verdict
from handlers.feedback import record_vote
from handlers.hide import hide_evidence
from handlers.job import Handlers, Job
from handlers.notify import deliver_toast, notify
from handlers.retry_files import retry_files
from machines.case import HideCase, RelinkPoi
from machines.detective import DropFindings, RecordVerdict
from machines.importing_events import RetryFiles
from machines.notification import DeliverToast, Notify
from machines.query import RecordVote
from machines.upload_events import DropParts, HideEvidence
from server.engine import Engine, Outcome
from server.hub import Hub
from server.leaving import sender_of
from server.poi_searches import look_for
from server.rights import announce
from server.settings import Settings
from storage.arrivals import Arrivals
from storage.attention import AttentionNotes
from storage.cases import Cases
from storage.detective import DetectiveFacts
from storage.evidence import EvidenceStore
from storage.findings import Findings
from storage.graph import Graph
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
    arrivals: Arrivals,
    graph: Graph,
) -> Handlers:
    """The handlers of the queue `inline`."""
    cases, pois = Cases(database), Pois(database)

    async def spawn(kind: str, topic: str, data: dict[str, Any], *, event_id: str) -> Outcome:
        return await engine.spawn(kind, topic, data, source="handler", event_id=event_id)

    send = sender_of(engine)

    async def relink_poi(effect: RelinkPoi, job: Job) -> None:
        await look_for(engine, pois, effect.case, effect.poi, actor="system", shards=settings.shards)

    async def waits(upload: str) -> bool:
        snapshot = await engine.load(upload)
        return snapshot is not None and bool({"receiving", "paused"} & set(snapshot.configuration))

    async def ended(upload: str) -> bool:
        snapshot = await engine.load(upload)
        if snapshot is None:
            return True
        return bool({"cancelled", "failed"} & set(snapshot.configuration)) and not snapshot.context["sha256"]

    async def hide_case(effect: HideCase, job: Job) -> None:
        await cases.hide(effect.case, hidden=effect.hidden)
        for member in await cases.members(effect.case):
            await announce(redis, member.user.id)

    def open_pages(topic: str) -> int:
        return hub.topics.get(topic, 0)

    return {
        Notify: partial(notify, spawn=spawn),
        DeliverToast: partial(deliver_toast, publish=engine.publish, open_pages=open_pages),
        RecordVote: partial(
            record_vote,
            votes=Votes(database),
            graph=graph,
            graphs=QueryGraphs(redis, shards=settings.shards),
            attention=AttentionNotes(database),
            load=engine.load,
            send=send,
            case_machine=cases.machine,
        ),
        RecordVerdict: partial(
            record_verdict, stores=DetectiveStores(cases, DetectiveFacts(database), Findings(database))
        ),
        DropFindings: partial(drop_findings, findings=Findings(database)),
        RelinkPoi: relink_poi,
        DropParts: partial(
            drop_parts, transfers=transfers, parts=parts, arrivals=arrivals, waits=waits, ended=ended
        ),
        RetryFiles: partial(retry_files, files=ImportFiles(database)),
        HideCase: hide_case,
        HideEvidence: partial(
            hide_evidence,
            evidence=EvidenceStore(database),
            graphs=QueryGraphs(redis, shards=settings.shards),
            names=engine.store.names,
            load=engine.load,
            send=send,
            case_machine=cases.find_machine,
        ),
    }
