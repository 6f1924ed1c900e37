"""The graph of a case, read from the canonical tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage import graph_queries as sql
from storage.graph import EdgeKind, Limits, Name, NamedAt, Neighbourhood, NodeKind, Passage, rarity

Rows = Sequence[Any]


@dataclass(frozen=True)
class _Parts:
    """What a neighbourhood is made of: rows as the queries give them."""

    chunks: Rows
    entities: Rows
    mentions: Rows
    related: Rows
    alike: Rows
    evidence: list[int]
    common: Mapping[int, int]
    size: int


class GraphPostgres:
    """`storage.graph.Graph` in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def names(self, case: str, *, limit: int = 50_000) -> list[Name]:
        """See `Graph.names`."""
        async with self._database.connect() as connection:
            entities = await _rows(connection, sql.NAMES, case=case, limit=limit)
            pois = await _rows(connection, sql.POIS, case=case)
        of_poi: dict[int, list[int]] = defaultdict(list)
        for entity, _, _, _, poi in entities:
            if poi is not None:
                of_poi[poi].append(entity)
        names = [
            Name(entity, kind, name, (entity,), accepted) for entity, kind, name, accepted, _ in entities
        ]
        names += [
            Name(poi, "poi", alias, tuple(sorted(of_poi[poi])), True)
            for poi, name, aliases in pois
            for alias in dict.fromkeys([name, *aliases])
        ]
        return sorted(names, key=lambda name: (name.node, name.text))

    async def commonness(self, case: str, entities: Sequence[int]) -> tuple[dict[int, int], int]:
        """See `Graph.commonness`."""
        async with self._database.connect() as connection:
            return await _commonness(connection, case, entities), await _size(connection, case)

    async def mentions(self, case: str, entities: Sequence[int], *, limit: int) -> list[tuple[int, int, int]]:
        """See `Graph.mentions`."""
        async with self._database.connect() as connection:
            rows = await _rows(connection, sql.MENTIONS, case=case, entities=list(entities), limit=limit)
        return [(row[0], row[1], row[2]) for row in rows]

    async def around(
        self, case: str, chunks: Sequence[int], entities: Sequence[int], limits: Limits
    ) -> Neighbourhood:
        """See `Graph.around`."""
        async with self._database.connect() as connection:
            size = await _size(connection, case)
            seeds = [row[0] for row in await _rows(connection, sql.OF_CASE, case=case, chunks=list(chunks))]
            mentioned = await _rows(connection, sql.MENTIONED, chunks=seeds)
            candidates = {row[1] for row in mentioned} | set(entities)
            common = await _commonness(connection, case, sorted(candidates))
            given = set(entities)
            inner = sorted(candidates, key=lambda e: (e not in given, common.get(e, 0), e))
            leading = _leading(inner, common, limits)
            reached = await _rows(connection, sql.MENTIONS, case=case, entities=leading, limit=limits.common)
            beside = await _rows(connection, sql.BESIDE, chunks=seeds)
            alike = await _rows(connection, sql.ALIKE, case=case, chunks=seeds)
            within = _nearest(seeds, reached, beside, alike, common, size, limits.chunks)
            joined = await _rows(
                connection, sql.JOINED, chunks=within, entities=_joining(inner, mentioned, reached, given)
            )
            kept = _kept_entities(inner, joined, given, limits.entities)
            chunk_rows = await _rows(connection, sql.CHUNKS, chunks=within)
            parts = _Parts(
                chunks=chunk_rows,
                entities=await _rows(connection, sql.ENTITIES, case=case, entities=kept),
                mentions=joined,
                related=await _rows(connection, sql.RELATED, case=case, entities=kept),
                alike=await _rows(connection, sql.ALIKE_WITHIN, chunks=within),
                evidence=sorted({row[1] for row in chunk_rows}),
                common=common,
                size=size,
            )
        return _assemble(parts, limits.edges)

    async def whole(self, case: str) -> Neighbourhood:
        """See `Graph.whole`."""
        async with self._database.connect() as connection:
            chunks = await _rows(connection, sql.CASE_CHUNKS, case=case)
            mentions = await _rows(connection, sql.CASE_MENTIONS, case=case)
            common: dict[int, int] = defaultdict(int)
            for row in mentions:
                common[row[1]] += 1
            parts = _Parts(
                chunks=chunks,
                entities=await _rows(connection, sql.CASE_ENTITIES, case=case),
                mentions=mentions,
                related=await _rows(connection, sql.CASE_RELATED, case=case),
                alike=await _rows(connection, sql.CASE_ALIKE, case=case),
                evidence=[row[0] for row in await _rows(connection, sql.CASE_EVIDENCE, case=case)],
                common=common,
                size=len(chunks),
            )
        return _assemble(parts, None)

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
        return [NamedAt(*row) for row in rows]


async def _rows(connection: AsyncConnection, query: TextClause, **values: Any) -> Rows:
    return (await connection.execute(query, values)).all()


async def _size(connection: AsyncConnection, case: str) -> int:
    return int((await connection.execute(sql.SIZE, {"case": case})).scalar_one())


async def _commonness(connection: AsyncConnection, case: str, entities: Sequence[int]) -> dict[int, int]:
    rows = await _rows(connection, sql.COMMONNESS, case=case, entities=list(entities))
    return {row[0]: row[1] for row in rows}


def _leading(inner: Sequence[int], common: Mapping[int, int], limits: Limits) -> list[int]:
    """The entities worth following to further chunks, until enough mentions are read."""
    leading, rows = [], 0
    for entity in inner:
        times = common.get(entity, 0)
        if not 2 <= times <= limits.common:
            continue
        rows += times
        if rows > limits.rows:
            break
        leading.append(entity)
    return leading


def _nearest(
    seeds: Sequence[int],
    reached: Rows,
    beside: Rows,
    alike: Rows,
    common: Mapping[int, int],
    size: int,
    limit: int,
) -> list[int]:
    """The seeds and the best of the chunks one or two hops away."""
    pull: dict[int, float] = defaultdict(float)
    for chunk, entity, _ in reached:
        pull[chunk] += rarity(common[entity], size)
    for (chunk,) in beside:
        pull[chunk] += 1.0
    given = set(seeds)
    for source, target, weight in alike:
        pull[target if source in given else source] += weight
    further = sorted((c for c in pull if c not in given), key=lambda c: (-pull[c], c))
    return sorted([*seeds, *further[: max(0, limit - len(seeds))]])


def _joining(inner: Sequence[int], mentioned: Rows, reached: Rows, given: set[int]) -> list[int]:
    """Entities that more than one of the chunks read so far mentions, and the given ones."""
    chunks: dict[int, set[int]] = defaultdict(set)
    for row in (*mentioned, *reached):
        chunks[row[1]].add(row[0])
    return [entity for entity in inner if entity in given or len(chunks[entity]) > 1]


def _kept_entities(inner: Sequence[int], joined: Rows, given: set[int], limit: int) -> list[int]:
    times: dict[int, int] = defaultdict(int)
    for row in joined:
        times[row[1]] += 1
    kept = [entity for entity in inner if entity in given or times[entity] > 1]
    return sorted(kept[:limit])


def _edges(parts: _Parts) -> Iterable[tuple[EdgeKind, int, int, float]]:
    """Every edge, those that matter most first: what a limit cuts off stands at the end."""
    ordered = sorted(parts.chunks, key=lambda row: (row[1], row[2]))
    for before, after in pairwise(ordered):
        if before[1] == after[1] and after[2] == before[2] + 1:
            yield EdgeKind.NEXT, min(before[0], after[0]), max(before[0], after[0]), 1.0
    for entity, _, poi in parts.entities:
        if poi is not None:
            yield EdgeKind.IS, entity, poi, 1.0
    known = {row[0] for row in parts.entities}
    for subject, object_, times in parts.related:
        if subject in known and object_ in known:
            yield EdgeKind.RELATION, subject, object_, float(times)
    for chunk, evidence, _ in parts.chunks:
        yield EdgeKind.PART, chunk, evidence, 1.0
    rarest = sorted(parts.mentions, key=lambda row: (parts.common.get(row[1], 0), row[1], row[0]))
    for chunk, entity, times in rarest:
        if entity in known:
            yield EdgeKind.MENTION, chunk, entity, float(times)
    for source, target, weight in sorted(parts.alike, key=lambda row: (-row[2], row[0], row[1])):
        yield EdgeKind.SIMILAR, source, target, weight


def _assemble(parts: _Parts, limit: int | None) -> Neighbourhood:
    kinds: dict[int, NodeKind] = {row[0]: NodeKind.CHUNK for row in parts.chunks}
    kinds |= dict.fromkeys(parts.evidence, NodeKind.EVIDENCE)
    kinds |= {row[0]: NodeKind.ENTITY for row in parts.entities}
    kinds |= {row[2]: NodeKind.POI for row in parts.entities if row[2] is not None}
    nodes = sorted(kinds)
    place = {node: i for i, node in enumerate(nodes)}
    accepted = {row[0] for row in parts.entities if row[1]}
    edges = list(_edges(parts))[:limit]
    return Neighbourhood(
        nodes=np.array(nodes, dtype=np.int64),
        kinds=np.array([kinds[node] for node in nodes], dtype=np.uint8),
        common=np.array(
            [parts.common.get(n, 0) if kinds[n] is NodeKind.ENTITY else 0 for n in nodes], np.int32
        ),
        accepted=np.array([node in accepted for node in nodes], dtype=np.bool_),
        sources=np.array([place[edge[1]] for edge in edges], dtype=np.int32),
        targets=np.array([place[edge[2]] for edge in edges], dtype=np.int32),
        edge_kinds=np.array([edge[0] for edge in edges], dtype=np.uint8),
        weights=np.array([edge[3] for edge in edges], dtype=np.float64),
        chunks=parts.size,
    )
