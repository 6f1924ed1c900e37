"""The graph of a case: its edges walked in Neo4j, its nodes and their texts as PostgreSQL has them now.

Neo4j says what is joined with what; which chunks, entities and evidence there are, and what they are
called, PostgreSQL says. So nothing is shown that is hidden, rejected or gone, however far Neo4j is behind,
and a chunk that Neo4j does not have yet is still there, without its edges. While Neo4j is being filled for
the first time, or anew, PostgreSQL answers alone; where Neo4j does not answer afterwards, nobody takes its
place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage import graph_cypher as cypher
from storage import neighbourhood
from storage.assembling import Columns, assemble
from storage.graph import MOST_NAMES, Limits, Name, NamedAt, Neighbourhood, Passage, ReadNames
from storage.graph_postgres import GraphPostgres
from storage.neighbourhood import Query, Read, Rows, as_columns
from storage.neo4j_place import ANSWER_S, Neo4jPlace

FOLLOWER = "graph"

WHOLE_S = 300
"""What reading all edges of a case may take; nobody waits for it."""

_FILLED = text(f"SELECT EXISTS (SELECT FROM followers WHERE name = '{FOLLOWER}' AND phase = 'following')")


class GraphNeo4j:
    """`storage.graph.Graph` over the edges that `Neo4jFollower` keeps in Neo4j.

    Its methods raise `StoreAway` and `StoreUnfit` where Neo4j cannot be asked.
    """

    def __init__(self, place: Neo4jPlace, database: AsyncEngine) -> None:
        self._place = place
        self._database = database
        self._canonical = GraphPostgres(database)

    async def names(self, case: str, *, limit: int = MOST_NAMES) -> list[Name]:
        """See `Graph.names`."""
        return await self._canonical.names(case, limit=limit)

    async def names_version(self, case: str) -> str:
        """See `Graph.names_version`."""
        return await self._canonical.names_version(case)

    async def names_digest(self, case: str, *, limit: int = MOST_NAMES) -> str:
        """See `Graph.names_digest`."""
        return await self._canonical.names_digest(case, limit=limit)

    async def read_names(self, case: str, *, limit: int = MOST_NAMES) -> ReadNames:
        """See `Graph.read_names`."""
        return await self._canonical.read_names(case, limit=limit)

    async def commonness(self, case: str, entities: Sequence[int]) -> tuple[dict[int, int], int]:
        """See `Graph.commonness`."""
        if not await self._is_filled():
            return await self._canonical.commonness(case, entities)
        async with self._canonical.reading(case) as nodes:
            chunks = await neighbourhood.size(nodes)
        return await neighbourhood.commonness(self._edges(case), entities), chunks

    async def mentions(self, case: str, entities: Sequence[int], *, limit: int) -> list[tuple[int, int, int]]:
        """See `Graph.mentions`."""
        if not await self._is_filled():
            return await self._canonical.mentions(case, entities, limit=limit)
        rows = await self._edges(case)(Query.MENTIONS, entities=list(entities), limit=limit)
        return [(row[0], row[1], row[2]) for row in rows]

    async def around(
        self, case: str, chunks: Sequence[int], entities: Sequence[int], limits: Limits
    ) -> Neighbourhood:
        """See `Graph.around`."""
        if not await self._is_filled():
            return await self._canonical.around(case, chunks, entities, limits)
        return await neighbourhood.around(self._both(case), chunks, entities, limits)

    async def whole(self, case: str) -> Neighbourhood:
        """See `Graph.whole`."""
        if not await self._is_filled():
            return await self._canonical.whole(case)
        read = self._both(case)

        async def columns(query: Query) -> Columns:
            return as_columns(query, await read(query))

        parts = await neighbourhood.parts_of_whole(read, columns)
        return await asyncio.to_thread(assemble, parts, None)

    async def version(self, case: str) -> str:
        """See `Graph.version`; it moves when PostgreSQL's does, and again once Neo4j has followed."""
        version = await self._canonical.version(case)
        if not await self._is_filled():
            return version
        followed = await self._place.read(cypher.VERSION, {"case": case})
        return f"{version} {followed[0][0] if followed else ''}"

    async def passages(self, case: str, chunks: Sequence[int]) -> dict[int, Passage]:
        """See `Graph.passages`."""
        return await self._canonical.passages(case, chunks)

    async def labels(self, case: str, nodes: Sequence[int]) -> dict[int, str]:
        """See `Graph.labels`."""
        return await self._canonical.labels(case, nodes)

    async def named_at(self, case: str, chunks: Sequence[int]) -> list[NamedAt]:
        """See `Graph.named_at`."""
        return await self._canonical.named_at(case, chunks)

    async def _is_filled(self) -> bool:
        async with self._database.connect() as connection:
            return bool((await connection.execute(_FILLED)).scalar_one())

    def _edges(self, case: str) -> Read:
        async def read(query: Query, **values: Any) -> Rows:
            within_s = WHOLE_S if query in cypher.OF_CASE else ANSWER_S
            records = await self._place.read(
                cypher.QUERIES[query], values | {"case": case}, within_s=within_s
            )
            return _rows(query, records)

        return read

    def _both(self, case: str) -> Read:
        edges = self._edges(case)

        async def read(query: Query, **values: Any) -> Rows:
            if query in cypher.QUERIES:
                return await edges(query, **values)
            # No connection to PostgreSQL is held while Neo4j is asked.
            async with self._canonical.reading(case) as nodes:
                return await nodes(query, **values)

        return read


def _rows(query: Query, records: Sequence[Sequence[Any]]) -> Rows:
    """The records as rows of the form, and in the order, that the query is to have."""
    rows = [
        (node, *joined)
        for node, *lists in records
        for joined in (zip(*lists, strict=True) if lists else [()])
    ]
    if query in cypher.BY_ENTITY:
        rows = [(chunk, entity, times) for entity, chunk, times in rows]
    if query is Query.ALIKE:
        return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))
    return sorted(rows)
