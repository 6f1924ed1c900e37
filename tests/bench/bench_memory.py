"""Bytes of Redis that a machine takes while it lives, when it has ended, and after it has left.

Run with `python -m tests.bench.bench_memory`; prints a Markdown table. A thousand machines of each
kind go through the events of a whole life; what Redis uses more than before is divided by their
number. Groups are what MEMORY USAGE tells of their keys, which for streams is more than they take.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis

from machines.event import Role
from server.engine import Engine
from storage.data_folder import DataFolder
from storage.embedded_redis import EmbeddedRedis
from storage.journal_stream import JournalStream
from storage.machine_store_redis import RedisMachineStore
from storage.redis_client import connect
from tests.machines.test_query import hit
from tests.machines.test_upload import RESULTS

SHARDS = 16
MACHINES = 1000
AT_A_TIME = 50
HITS = 10
WORDS = (
    "the board approved payment of four thousand two hundred to contractor Hallam on its meeting in March "
    "harbour wall invoice number signed by treasurer after second vote who asked whether works were done "
    "minutes inspector Reyes Friday letter bank account opened Lisbon account transfer delayed crane lease"
)

OWN = ("machine", "events", "live", "finished")
STREAMS = ("log", "journal", "outbox")
"""Bounded, or emptied by whoever carries them on."""


class Life:
    """One machine under way."""

    def __init__(self, engine: Engine, topic: str) -> None:
        self.engine = engine
        self.topic = topic
        self.machine = ""
        self.awaiting: dict[str, str] = {}

    async def spawn(self, kind: str, **data: Any) -> None:
        done = await self.engine.spawn(kind, self.topic, data, actor="5f1d1c6e-0a43-4d0c-9f4e-000000000000")
        assert done.snapshot is not None
        self.machine, self.awaiting = done.machine, done.snapshot.awaiting

    async def send(self, event: str, source: Any = "handler", **data: Any) -> None:
        role: Role | None = "owner" if source == "client" else None
        event_id = data.get("effect") if event != "started" else None
        done = await self.engine.send(self.machine, event, data, source=source, role=role, event_id=event_id)
        assert done.snapshot is not None
        self.awaiting = done.snapshot.awaiting

    async def work(self, state: str, event: str, **data: Any) -> None:
        """A worker begins what a state awaits, and answers."""
        effect = next(effect for effect, of in self.awaiting.items() if of == state)
        await self.send("started", effect=effect, stage=state)
        await self.send(event, effect=effect, **data)


async def ready_upload(engine: Engine, topic: str) -> str:
    """From the announcement to the last analysis."""
    life = Life(engine, topic)
    await life.spawn("upload", filename="2019-03-14 minutes of the harbour board.pdf", bytes=482_113)
    await life.send("received", sha256="ab" * 32, bytes=482_113)
    kind = {"media_type": "application/pdf", "title": "Minutes of the harbour board"}
    await life.work("verifying", "verified", evidence=7, **kind)
    await life.work("extracting", "extracted", pages=12, characters=31_400, chunks=41)
    for state in ("tagging", "embedding", "summarising", "indexing", "linking"):
        event, data = cast(tuple[str, dict[str, Any]], RESULTS[state])
        await life.work(state, event, **data)
    return life.machine


async def cancelled_upload(engine: Engine, topic: str) -> str:
    """One that ends while its bytes are looked at."""
    life = Life(engine, topic)
    await life.spawn("upload", filename="2019-03-14 minutes of the harbour board.pdf", bytes=482_113)
    await life.send("received", sha256="ab" * 32, bytes=482_113)
    await life.send("cancel", "client")
    return life.machine


async def answered_query(engine: Engine, topic: str) -> str:
    """A question with ten hits of some two hundred letters each, and an answer that quotes three."""
    life = Life(engine, topic)
    await life.spawn("query", question="Who approved the payment to the contractor in March?")
    words = WORDS.split()
    texts = [" ".join(random.choices(words, k=32)) for _ in range(HITS)]
    found = [{"node": node, "score": 2.5 / node} for node in range(1, 21)]
    for leg in ("by_meaning", "by_words", "by_links"):
        await life.work(leg, "leg_found", stage=leg, found=found)
    hits = [
        hit(node) | {"snippet": texts[node - 1], "legs": {"words": 1.5, "meaning": 0.7}}
        for node in range(1, HITS + 1)
    ]
    order = [{"node": node, "score": 1 / node} for node in range(1, HITS + 1)]
    await life.work("ranking", "ranked", hits=hits, order=order, as_of=0, nodes=40, edges=160)
    cited = {"node": 1, "evidence": 1, "title": "Minutes", "page": 3, "start": 10, "end": 90}
    claims = [{"text": text[:90], "citations": [cited]} for text in texts[:3]]
    answer = {
        "mode": "extractive",
        "supported": True,
        "text": " ".join(text[:90] for text in texts[:3]),
        "claims": claims,
    }
    await life.work("answering", "composed", answer=answer)
    return life.machine


async def used(redis: Redis) -> int:
    return int((await redis.info("memory"))["used_memory"])


async def by_group(redis: Redis) -> Counter[str]:
    found: Counter[str] = Counter()
    names = [key async for key in redis.scan_iter(count=1000)]
    for begin in range(0, len(names), 500):
        pipeline = redis.pipeline(transaction=False)
        for name in names[begin : begin + 500]:
            pipeline.execute_command("MEMORY", "USAGE", name, "SAMPLES", 0)
        for name, size in zip(names[begin : begin + 500], await pipeline.execute(), strict=True):
            group = name.decode().split(":")[1]
            found[group if group in OWN + STREAMS else "other"] += size or 0
    return found


async def row(redis: Redis, what: str, before: int) -> None:
    groups = await by_group(redis)
    own = sum(groups[group] for group in (*OWN, "other"))
    sizes = [own, *(groups[group] for group in (*OWN, "other", *STREAMS)), await used(redis) - before]
    print(f"| {what} | {' | '.join(f'{size / MACHINES:,.0f}' for size in sizes)} |", flush=True)


async def measure(redis: Redis, name: str, life: Callable[[Engine, str], Awaitable[str]]) -> None:
    await redis.flushall()
    store = RedisMachineStore(redis, shards=SHARDS, era="bench")
    engine, stream, topic = Engine(store, shards=SHARDS), JournalStream(redis, shards=SHARDS), "case:memory"
    await life(engine, "case:warm")
    before = await used(redis)
    machines: list[str] = []
    for _ in range(MACHINES // AT_A_TIME):
        machines += await asyncio.gather(*(life(engine, topic) for _ in range(AT_A_TIME)))
    await row(redis, f"{name}, its life just over", before)
    while items := await store.claim("bench", count=1000, block_s=0.01, idle_s=60):
        await asyncio.gather(*(store.acknowledge(item) for item in items))
    for shard in range(SHARDS):
        while entries := await stream.read(shard, 1000):
            await stream.remove(shard, entries)
    await row(redis, f"{name}, carried into Postgres", before)
    for begin in range(0, MACHINES, AT_A_TIME):
        await asyncio.gather(*(store.evict(machine) for machine in machines[begin : begin + AT_A_TIME]))
    await row(redis, f"{name}, evicted if it has ended", before)
    for key in [key async for key in redis.scan_iter(match="*:events:*", count=1000)]:
        await redis.pexpire(key, 1)
    await asyncio.sleep(0.5)
    await row(redis, f"{name}, and two days later", before)


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="casewire-", dir="/tmp") as path:
        folder = DataFolder(Path(path) / "data")
        folder.create()
        embedded = EmbeddedRedis(folder)
        await embedded.start()
        redis = await connect(embedded.url)
        try:
            columns = ("bytes for each machine", "its own", *OWN, "other", *STREAMS, "more in use")
            print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
            await measure(redis, "upload", ready_upload)
            await measure(redis, "cancelled upload", cancelled_upload)
            await measure(redis, "query", answered_query)
        finally:
            await redis.aclose()
            await embedded.stop()
    print(
        "\nStreams are bounded or empty themselves: the log keeps 10,000 entries of a topic, the journal and"
    )
    print("the outbox what has not been carried on, which is nothing after about a second.")


if __name__ == "__main__":
    asyncio.run(main())
