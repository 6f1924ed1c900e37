"""Transitions of a topic out of the custody chain, for those whom the topic's log no longer serves."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.journal import transition
from storage.schema import Journal
from storage.sealed import entries_in

Entry = dict[str, Any]


class JournalReading:
    """Entries as a topic's log held them, but without epoch and offset, which the chain does not keep."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._table: Any = Journal

    async def row_of(self, entry: Entry) -> int | None:
        """Number of the row that holds an entry of the log; None while the chain has not got it."""
        content = {key: value for key, value in entry.items() if key not in ("epoch", "offset")}
        key = transition(entry["topic"], orjson.dumps(content)).key
        table = self._table
        query = select(table.seq).where(table.topic == entry["topic"], table.event_key == key)
        async with self._database.connect() as connection:
            row: int | None = await connection.scalar(query)
            return row

    async def before(self, topic: str, row: int, count: int) -> list[int]:
        """Numbers of the last `count` transitions before a row, in order; fewer where there are fewer."""
        table = self._table
        query = (
            select(table.seq)
            .where(table.topic == topic, table.what == "transition", table.seq < row)
            .order_by(table.seq.desc())
            .limit(count)
        )
        async with self._database.connect() as connection:
            return sorted((await connection.execute(query)).scalars())

    async def read(self, topic: str, rows: list[int]) -> list[Entry]:
        """The entries of some rows, in order."""
        table = self._table
        query = (
            select(table.seq, table.content)
            .where(table.topic == topic, table.seq.in_(rows))
            .order_by(table.seq)
        )
        async with self._database.connect() as connection:
            found = [(seq, content) for seq, content in await connection.execute(query)]
            return await entries_in(connection, topic, found)
