"""Which instance a Redis belongs to: two on one database number would take each other's work.

An instance is known by a token that its PostgreSQL keeps; every Redis that it uses is marked with it.
"""

from __future__ import annotations

from secrets import token_hex

from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.keys import INSTANCE
from storage.shards import MARKERS

NAME = "instance"
"""Of the marker in Postgres."""


class OtherInstance(Exception):
    """The Redis holds the machines or jobs of another instance; nothing was changed."""


async def instance_of(database: AsyncEngine) -> str:
    """The token of the instance whose database this is; made at the first start."""
    first = insert(MARKERS).values(name=NAME, counter=0, era=token_hex(8)).on_conflict_do_nothing()
    async with database.begin() as connection:
        await connection.execute(first)
        row = await connection.execute(select(MARKERS.c.era).where(MARKERS.c.name == NAME))
        return str(row.scalar_one())


async def claim_redis(redis: Redis, instance: str) -> None:
    """Mark a Redis as this instance's, unless it is another's.

    Raises:
        OtherInstance: It is.
    """
    await redis.set(INSTANCE, instance, nx=True)
    if (there := await redis.get(INSTANCE)) not in (instance, instance.encode()):
        raise OtherInstance(f"it belongs to the instance {there!r}")
