"""What it costs to list, count and follow machines, on the embedded Redis and PostgreSQL.

Run with `python -m tests.bench.bench_inspector`; prints Markdown tables. Beside the list stands what
it replaces: to read every topic whole from Redis, filter and sort. Both run in turns on the same
machines, uploads that are ready; half of the archive belongs to somebody else.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from sqlalchemy import text

from machines.snapshot import Snapshot
from machines.step import Step
from server.inspect_journal import Journals
from server.inspect_search import Inspector, Wanted
from server.inspect_usual import UsualTimes
from server.services import running_services
from server.settings import Settings
from storage.archive import archive
from storage.database import create_engine
from storage.journal import CustodyJournal, Record
from storage.machine_journal import MachineJournals
from storage.machine_search import Criteria, MachineSearch
from storage.machine_store import new_machine_id
from storage.machine_store_redis import RedisMachineStore
from storage.migrate import upgrade
from tests.machines.entries import entry_of
from tests.machines.walk import Walk, extracted_upload

SHARDS = 16
TOPICS = 50
OF_EACH = 100
"""Machines of a topic, in Redis and in the archive; the archive has as many again of other people."""
TURNS = 7


def ready_upload() -> Walk:
    walk = extracted_upload()
    walk.send("embedded", effect=walk.effect("EmbedChunks"), chunks=2)
    walk.send("indexed", effect=walk.effect("IndexChunks"), chunks=2)
    walk.send("linked", effect=walk.effect("LinkEntities"), entities=1, mentions=1)
    walk.send("tagged", effect=walk.effect("TagEvidence"), tags=["invoice"])
    return walk.send("summarised", effect=walk.effect("SummariseEvidence"), sentences=3)


async def seed(store: RedisMachineStore, database: Any) -> tuple[list[str], Snapshot]:
    """Topics of the visitor, and one of the machines."""
    pattern = ready_upload().last.snapshot
    mine = [f"case:{n}" for n in range(TOPICS)]
    last = pattern
    for number, topic in enumerate([*mine, *(f"case:other{n}" for n in range(TOPICS))]):
        made = [
            replace(
                pattern,
                id=new_machine_id("upload", topic, SHARDS),
                topic=topic,
                revision=1,
                updated_at=1000.0 + number + n / OF_EACH,
                configuration=["failed"] if n == 0 and number == 3 else pattern.configuration,
                awaiting={},
                timers={},
            )
            for n in range(OF_EACH)
        ]
        if topic in mine:
            await asyncio.gather(
                *(
                    store.commit(Step(snapshot, changed=snapshot.context), event_id=snapshot.id, actor="u1")
                    for snapshot in made
                )
            )
            last = made[-1]
        async with database.begin() as connection:
            await archive(connection, made, {snapshot.id: "u1" for snapshot in made})
    async with database.connect() as connection:
        await connection.execute(text("ANALYZE archived_machines"))
        await connection.commit()
    return mine, last


async def by_topics(store: RedisMachineStore, topics: list[str], state: str | None, limit: int) -> int:
    states = await asyncio.gather(*(store.read_topic(topic) for topic in topics))
    found = [m for s in states for m in s.machines if state is None or state in m.configuration]
    found.sort(key=lambda machine: (-machine.updated_at, machine.id))
    return len(found[:limit])


async def milliseconds(work: Callable[[], Awaitable[Any]]) -> float:
    gc.collect()
    before = time.perf_counter()
    await work()
    return (time.perf_counter() - before) * 1000


async def interleaved(works: dict[str, Callable[[], Awaitable[Any]]]) -> dict[str, float]:
    """Name → median milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(TURNS + 1):
        for name, work in works.items():
            took = await milliseconds(work)
            if turn:
                times[name].append(took)
    return {name: statistics.median(each) for name, each in times.items()}


async def long_journal(database: Any, length: int) -> Snapshot:
    """An upload that received for so long that its journal has `length` entries."""
    walk = Walk("upload", "case:long", filename="a.pdf", bytes=10**9)
    records = []
    for number in range(length):
        if number:
            walk.send("receiving_on", received=number)
        entry = entry_of(walk.last) | {"topic": "case:long", "kind": "upload", "gone": False}
        records.append(
            Record("case:long", f"{entry['machine']}:{number + 1}:x", "transition", entry, walk.at)
        )
    journal = CustodyJournal(database)
    async with database.begin() as connection:
        await journal.append(connection, records)
    return walk.last.snapshot


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="casewire-", dir="/tmp") as folder:
        settings = Settings(data=Path(folder), redis_url=None, queue_url=None, database_url=None)
        async with running_services(settings) as services:
            await upgrade(services.database_url)
            redis = Redis.from_url(services.redis_url)
            database = create_engine(services.database_url, pool_size=4)
            store = RedisMachineStore(redis, shards=SHARDS, era="e")
            journals, search = MachineJournals(database), MachineSearch(database)
            inspector = Inspector(store, search, UsualTimes(journals))
            topics, machine = await seed(store, database)

            def ours(**wanted: Any) -> Callable[[], Awaitable[Any]]:
                return lambda: inspector.find(topics, Wanted(Criteria(**wanted)), after=None, limit=100)

            print(f"Of {TOPICS * OF_EACH:,} uploads on {TOPICS} topics, 100 a page; medians in ms.\n")
            print("| list | every topic whole | inspector | ratio |\n|---|---|---|---|")
            for name, state in (("newest", None), ("one state, one machine", "failed")):
                told = await interleaved(
                    {
                        "whole": lambda state=state: by_topics(store, topics, state, 100),  # type: ignore[misc]
                        "ours": ours(state=state),
                    }
                )
                ratio = told["whole"] / told["ours"]
                print(f"| {name} | {told['whole']:.1f} | {told['ours']:.1f} | {ratio:.1f}× |")
            more = await interleaved(
                {
                    "one topic": lambda: inspector.find(
                        topics[:1], Wanted(Criteria()), after=None, limit=100
                    ),
                    "text in a title that none has": ours(text="nothing like it"),
                    "page 26": lambda: inspector.find(
                        topics, Wanted(Criteria()), after=(1000.0 + TOPICS / 2, ""), limit=100
                    ),
                    "what is slow or stuck": lambda: inspector.find(
                        topics, Wanted(Criteria(), troubled=True), after=None, limit=100
                    ),
                    "counts by kind and state": lambda: inspector.counts(topics),
                }
            )
            print("\n| inspector alone | ms |\n|---|---|")
            for name, took in more.items():
                print(f"| {name} | {took:.1f} |")
            whole = Journals(store, journals, search)
            long = await long_journal(database, 5_000)
            pages = await interleaved(
                {
                    "journal, first 500 of 5,000 entries": lambda: whole.page(long, after=0, limit=500),
                    "journal, last 500 of 5,000 entries": lambda: whole.page(long, after=4_500, limit=500),
                    "who spawned a machine": lambda: whole.spawner(machine),
                }
            )
            for name, took in pages.items():
                print(f"| {name} | {took:.1f} |")
            await database.dispose()
            await redis.aclose()


if __name__ == "__main__":
    asyncio.run(main())
