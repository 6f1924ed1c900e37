"""The era: a new one begins whenever Redis may have come back with an older history than it had.

Every epoch on the wire ends with the era, so that a subscriber who saw entries which Redis has
lost gets a snapshot instead of resuming behind other entries of the same offsets.

Three witnesses are asked. A tick is counted up in Redis, then noted in Postgres: a smaller count in
Redis means that it was emptied or restored. Every shard keeps the era, so that one server of a
cluster shows when it alone was. And Redis gives each of its runs an id: after a
restart, the newest writes may be missing although no tick is, unless the last thing written was
that all writers had stopped (`close_era`; an append-only file loses nothing but its end).
"""

from __future__ import annotations

import logging
from secrets import token_hex
from typing import Any

from redis.asyncio import Redis
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.keys import ERA, shard_keys
from storage.redis_client import servers
from storage.schema import Marker

logger = logging.getLogger(__name__)

NAME = "redis"
"""Of the marker in Postgres."""

WRITER_S = 20
"""A writer that has not ticked for so long has stopped; several ticks long."""

_CLOSE = """
redis.call('HDEL', KEYS[1], 'writer:' .. ARGV[1])
local now = tonumber(redis.call('TIME')[1])
local known = redis.call('HGETALL', KEYS[1])
for at = 1, #known, 2 do
  if string.sub(known[at], 1, 7) == 'writer:' then
    if now - tonumber(known[at + 1]) < tonumber(ARGV[2]) then return 0 end
    redis.call('HDEL', KEYS[1], known[at])
  end
end
redis.call('HSET', KEYS[1], 'closed', 1)
return 1
"""


async def settle_era(redis: Redis, database: AsyncEngine, *, shards: int) -> str:
    """Decide whether Redis still has its whole history, and return the era that holds from now on.

    Every store sees a new era at once. Call it before the first subscriber comes, and every few
    seconds (`advance_marker`). Processes may call it at the same time.

    Args:
        redis: A client whose replies are bytes.
        database: Holds the table `markers`.
        shards: As the stores'.
    """
    async with database.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('casewire.era'))"))
        marker = await _marker(connection)
        era = await _settle_in_redis(redis, marker, shards)
        tick = int(await redis.hincrby(ERA, "tick", 1))
        await _note(connection, tick, era)
    return era


async def advance_marker(redis: Redis, database: AsyncEngine, *, shards: int, writer: str = "") -> str:
    """Tick, and return the era in force, which is a new one where history was lost meanwhile.

    Args:
        writer: Name of the server that goes on writing; `close_era` of another leaves the era open.
    """
    era = await settle_era(redis, database, shards=shards)
    if writer:
        seconds, _ = await redis.time()
        await redis.hset(ERA, f"writer:{writer}", seconds)
    return era


async def close_era(redis: Redis, writer: str = "") -> bool:
    """Note that a writer has stopped; the last one closes the era, before Redis may be shut down.

    One that was killed counts as a writer for `WRITER_S` more.
    """
    return bool(await redis.eval(_CLOSE, 1, ERA, writer, WRITER_S))


async def _settle_in_redis(redis: Redis, marker: tuple[int, str] | None, shards: int) -> str:
    # Of a cluster, every server's: each may come back with an older history of its own.
    run = " ".join(str(server["run_id"]) for server in await servers(redis))
    values: Any = await redis.hmget(ERA, ["id", "tick", "run", "closed"])
    known, tick, last_run, closed = (None if value is None else value.decode() for value in values)
    kept = await _eras_of_shards(redis, shards)
    loss = _loss(marker, known, int(tick or 0), restarted=run != last_run, closed=closed is not None)
    if not loss and known is not None and kept != {known}:
        loss = "a part of Redis was emptied or restored"
    era = known if known is not None and not loss else token_hex(4)
    if loss:
        logger.warning(
            "A new era begins, since Redis may have lost history; every subscriber gets a snapshot.",
            extra={"action": "era.new", "era": era, "why": loss},
        )
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.hset(
            ERA, mapping={"id": era, "run": run, "tick": max(int(tick or 0), marker[0] if marker else 0)}
        )
        pipeline.hdel(ERA, "closed")
        for shard in range(shards):
            pipeline.set(shard_keys(shard).era, era)
        await pipeline.execute()
    return era


async def _eras_of_shards(redis: Redis, shards: int) -> set[str | None]:
    async with redis.pipeline(transaction=False) as pipeline:
        for shard in range(shards):
            pipeline.get(shard_keys(shard).era)
        return {None if era is None else era.decode() for era in await pipeline.execute()}


def _loss(
    marker: tuple[int, str] | None, known: str | None, tick: int, *, restarted: bool, closed: bool
) -> str:
    """What speaks against the history being whole; empty when nothing does."""
    if known is None:
        return "" if marker is None else "Redis was emptied"
    if marker is not None and marker[1] != known:
        return "Redis and Postgres name different eras"
    if marker is not None and tick < marker[0]:
        return f"Redis is at tick {tick}, but was at {marker[0]}"
    if restarted and not closed:
        return "Redis was restarted without having been closed"
    return ""


async def _marker(connection: AsyncConnection) -> tuple[int, str] | None:
    table = Marker.__table__  # type: ignore[attr-defined]
    row = (await connection.execute(select(table.c.counter, table.c.era).where(table.c.name == NAME))).first()
    return None if row is None else (row.counter, row.era)


async def _note(connection: AsyncConnection, tick: int, era: str) -> None:
    new = insert(Marker).values(name=NAME, counter=tick, era=era)
    await connection.execute(
        new.on_conflict_do_update(index_elements=["name"], set_={"counter": tick, "era": era})
    )
