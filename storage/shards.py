"""Over how many shards an instance spreads its topics: noted once, and held to ever after.

It is noted in Postgres and not in Redis, since machine ids that are kept there name their shard
even after Redis was emptied.
"""

from __future__ import annotations

from sqlalchemy import Table, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.schema import Marker

MARKERS: Table = Marker.metadata.tables["markers"]

NAME = "shards"
"""Of the marker in Postgres."""


class ShardsChanged(Exception):
    """The data was written with another number of shards, so its topics would not be found."""

    def __init__(self, there: int, asked: int) -> None:
        super().__init__(f"the data is spread over {there} shards, not {asked}")
        self.there = there


async def hold_shards(database: AsyncEngine, shards: int) -> None:
    """Note the number where none is noted yet; a later one must be the same.

    Raises:
        ShardsChanged: It is another; nothing was changed.
    """
    first = insert(MARKERS).values(name=NAME, counter=shards, era="").on_conflict_do_nothing()
    async with database.begin() as connection:
        await connection.execute(first)
        row = await connection.execute(select(MARKERS.c.counter).where(MARKERS.c.name == NAME))
        there = int(row.scalar_one())
    if there != shards:
        raise ShardsChanged(there, shards)
