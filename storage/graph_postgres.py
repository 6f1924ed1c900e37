"""The graph of a case, read from the canonical tables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage import graph_queries as sql
from storage import neighbourhood
from storage.assembling import Columns, assemble
from storage.graph import MOST_NAMES, Limits, Name, NamedAt, Neighbourhood, Passage, ReadNames
from storage.neighbourhood import Query, Read, Rows, as_columns
from storage.same_as import Joined

READ_AT_ONCE = 20_000
"""Rows of a whole case that are in memory at a time; arrays take them up."""


class GraphPostgres:
    """`storage.graph.Graph` in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    @asynccontextmanager
    async def reading(self, case: str) -> AsyncIterator[Read]:
        """What answers queries about a case, on one connection."""
        async with self._database.connect() as connection:
            yield _reader(connection, case)

    async def names(self, case: str, *, limit: int = MOST_NAMES) -> list[Name]:
        """See `Graph.names`."""
        async with self.reading(case) as read:
            return await neighbourhood.names(read, limit)

    async def names_version(self, case: str) -> str:
        """See `Graph.names_version`."""
        async with self._database.connect() as connection:
            rows = await _rows(connection, sql.NAMES_VERSION, case=case)
        return "".join(f"{names}.{mentions}" for names, mentions in rows)

    async def names_digest(self, case: str, *, limit: int = MOST_NAMES) -> str:
        """See `Graph.names_digest`."""
        async with self._database.connect() as connection:
            return await _digest(connection, case, limit)

    async def read_names(self, case: str, *, limit: int = MOST_NAMES) -> ReadNames:
        """See `Graph.read_names`."""
        async with self._database.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            found = await neighbourhood.names(_reader(connection, case), limit)
            return ReadNames(found, await _digest(connection, case, limit) if len(found) >= limit else "")

    async def commonness(self, case: str, entities: Sequence[int]) -> tuple[dict[int, int], int]:
        """See `Graph.commonness`."""
        async with self.reading(case) as read:
            return await neighbourhood.commonness(read, entities), await neighbourhood.size(read)

    async def mentions(self, case: str, entities: Sequence[int], *, limit: int) -> list[tuple[int, int, int]]:
        """See `Graph.mentions`."""
        async with self._database.connect() as connection:
            rows = await _rows(connection, sql.MENTIONS, case=case, entities=list(entities), limit=limit)
        return [(row[0], row[1], row[2]) for row in rows]

    async def around(
        self, case: str, chunks: Sequence[int], entities: Sequence[int], limits: Limits
    ) -> Neighbourhood:
        """See `Graph.around`."""
        async with self.reading(case) as read:
            return await neighbourhood.around(read, chunks, entities, limits)

    async def whole(self, case: str) -> Neighbourhood:
        """See `Graph.whole`."""
        async with self._database.connect() as connection:

            async def columns(query: Query) -> Columns:
                parts = [as_columns(query, [])]
                async with connection.stream(sql.QUERIES[query], {"case": case}) as rows:
                    async for some in rows.partitions(READ_AT_ONCE):
                        parts.append(as_columns(query, some))
                return tuple(np.concatenate(one) for one in zip(*parts, strict=True))

            parts = await neighbourhood.parts_of_whole(_reader(connection, case), columns)
        # No connection waits meanwhile: one that is idle in a transaction for long is ended.
        return await asyncio.to_thread(assemble, parts, None)

    async def version(self, case: str) -> str:
        """See `Graph.version`."""
        async with self._database.connect() as connection:
            return str((await connection.execute(sql.VERSION, {"case": case})).scalar_one())

    async def passages(self, case: str, chunks: Sequence[int]) -> dict[int, Passage]:
        """See `Graph.passages`."""
        async with self._database.connect() as connection:
            rows = await _rows(connection, sql.PASSAGES, case=case, chunks=list(chunks))
        return {
            row.id: Passage(
                node=row.id,
                evidence=row.evidence_id,
                title=row.title,
                page=row.page,
                start=row.start,
                end=row.end,
                text=row.text,
                boxes=[(box[0], box[1], box[2], box[3]) for box in row.boxes],
                meta=row.meta,
            )
            for row in rows
        }

    async def labels(self, case: str, nodes: Sequence[int]) -> dict[int, str]:
        """See `Graph.labels`."""
        async with self._database.connect() as connection:
            rows = await _rows(connection, sql.LABELS, case=case, nodes=list(nodes))
        return {row[0]: row[1] for row in rows}

    async def named_at(self, case: str, chunks: Sequence[int]) -> list[NamedAt]:
        """See `Graph.named_at`."""
        async with self._database.connect() as connection:
            rows = await _rows(connection, sql.NAMED_AT, case=case, chunks=list(chunks))
            joined = Joined((row[0], row[1]) for row in await _rows(connection, sql.SAME, case=case))
            grouped = [entity for group in joined.members.values() for entity in group]
            of_group = {
                joined.of(entity): poi
                for entity, poi in await _rows(connection, sql.SAME_POIS, case=case, entities=grouped)
            }
        found = []
        for chunk, start, end, kind, entity, poi in rows:
            group = joined.of(entity)
            found.append(NamedAt(chunk, start, end, kind, poi or of_group.get(group, group)))
        return sorted(found, key=lambda one: (one.chunk, one.start, one.identity))


def _reader(connection: AsyncConnection, case: str) -> Read:
    async def read(query: Query, **values: Any) -> Rows:
        return await _rows(connection, sql.QUERIES[query], case=case, **values)

    return read


async def _digest(connection: AsyncConnection, case: str, limit: int) -> str:
    [[digest]] = await _rows(connection, sql.NAMES_DIGEST, case=case, limit=limit)
    return str(digest)


async def _rows(connection: AsyncConnection, query: TextClause, **values: Any) -> Rows:
    return (await connection.execute(query, values)).all()
