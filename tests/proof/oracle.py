"""What must be true once everything has come to rest: nothing lost, nothing twice, nothing left over."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from sqlalchemy import select

from server.queues import JobQueues
from storage.database import create_engine
from storage.keys import shard_keys
from storage.schema import Journal
from storage.sealed import entries_in
from tests.proof.instance import Instance
from tests.proof.load import Load
from tests.proof.people import Person

_SHARDS = 16
_SETTLE_S = 300.0


async def faults(instance: Instance, load: Load) -> list[str]:
    """Everything that is wrong with an instance that had time to come to rest; a sentence each."""
    found = [f"stuck: {machine}" for machine in load.stuck]
    found += await left_over(instance)
    found += load.ledger.compare(await transitions(instance))
    found += await _views(load)
    code, said = await instance.command("custody", "verify")
    if code:
        found.append("custody: " + " / ".join(line for line in said.splitlines() if "whole" not in line))
    return found + load.ledger.faults


async def left_over(instance: Instance) -> list[str]:
    """What has not left outbox, awaited effects, journal and queues although nothing is at work."""
    owner = instance.owner
    assert owner is not None
    # Patient: the last kill may have been a moment ago.
    redis: Any = Redis.from_url(owner.redis_url, retry=Retry(ConstantBackoff(0.5), int(_SETTLE_S)))
    queues = JobQueues(owner.redis_url)
    try:
        left: dict[str, int] = {}
        for _ in range(int(_SETTLE_S)):
            left = {}
            for shard in range(_SHARDS):
                keys = shard_keys(shard)
                left["outbox"] = left.get("outbox", 0) + await redis.xlen(keys.outbox)
                left["awaited effects"] = left.get("awaited effects", 0) + await redis.hlen(keys.pending)
                left["journal"] = left.get("journal", 0) + await redis.xlen(keys.journal)
            for queue in ("cpu", "gpu"):
                left[f"queue {queue}"] = len(await asyncio.to_thread(queues.waiting, queue))
                left[f"taken from {queue}"] = len(await asyncio.to_thread(queues.taken, queue))
            if not any(left.values()):
                return []
            await asyncio.sleep(1)
        return [f"{count} left in {where}" for where, count in left.items() if count]
    finally:
        queues.close()
        await redis.aclose()


async def transitions(instance: Instance) -> list[dict[str, Any]]:
    """Every transition of the custody chains, those of a topic in their order, with what they quote."""
    owner = instance.owner
    assert owner is not None
    table: Any = Journal
    database = create_engine(owner.database_url, pool_size=1)
    try:
        async with database.connect() as connection:
            entries: list[dict[str, Any]] = []
            for topic in (await connection.execute(select(table.topic).distinct())).scalars().all():
                mine = table.topic == topic, table.what == "transition"
                rows = select(table.seq, table.content).where(*mine).order_by(table.seq)
                found = (await connection.execute(rows)).all()
                entries += await entries_in(connection, topic, [(seq, content) for seq, content in found])
            return entries
    finally:
        await database.dispose()


async def _views(load: Load) -> list[str]:
    """Where a subscriber's folded state differs from a fresh snapshot."""
    looks = [_view(person, topic) for topic, watchers in load.topics.items() for person in {*watchers}]
    return [fault for fault in await asyncio.gather(*looks) if fault]


async def _view(person: Person, topic: str) -> str:
    fresh = await person.fresh(topic)
    folded = person.client.topics[topic].machines
    wrong = sorted(m for m in {*fresh, *folded} if fresh.get(m) != folded.get(m))
    return f"{person.name} sees {topic} otherwise than it is: {', '.join(wrong[:5])}" if wrong else ""
