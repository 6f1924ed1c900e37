"""How the graph around a question is put together, whichever store its rows are read from.

An adapter answers each `Query` with rows; what is read when, what is kept and in which order is decided
here alone, so that equal data gives equal arrays in every store.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from storage.graph import EdgeKind, Limits, Name, Neighbourhood, NodeKind, rarity
from storage.same_as import Joined

Rows = Sequence[Any]

COMMON_NAME = 0.05
"""Share of a case's passages beyond which a mere name joins nothing."""


class Query(Enum):
    """What is asked of the graph of one case, with its values and the form of its rows.

    Nothing of another case is answered, nor a mention by hidden evidence, nor a rejected entity. Where
    nodes are given, those that the case lacks are left out.
    """

    SIZE = auto()
    """One row `(chunks in sight,)`."""
    NAMES = auto()
    """`limit`: `(entity, kind, name, accepted, poi or None)`, accepted ones first, then by id."""
    POIS = auto()
    """`(poi, name, aliases)` by id."""
    COMMONNESS = auto()
    """`entities`: `(entity, chunks that mention it)`."""
    MENTIONS = auto()
    """`entities`, `limit` chunks each, the fullest first: `(chunk, entity, times)` by chunk and entity."""
    MENTIONED = auto()
    """`chunks`, in sight: `(chunk, entity)` by chunk and entity."""
    OF_CASE = auto()
    """`chunks`: `(chunk,)` of those in sight, by id."""
    CHUNKS = auto()
    """`chunks`: `(chunk, evidence, ordinal)` by id."""
    BESIDE = auto()
    """`chunks`: `(chunk,)` before and after them in their evidence, by id."""
    ALIKE = auto()
    """`chunks`: `(source, target, cosine)` with an end there, the most alike first, then by ids."""
    ENTITIES = auto()
    """`entities`: `(entity, accepted, poi or None, kind)` by id."""
    JOINED = auto()
    """`chunks`, `entities`: `(chunk, entity, times)` between them, by chunk and entity."""
    ALIKE_WITHIN = auto()
    """`chunks`: `(source, target, cosine)` with both ends there, by ids."""
    RELATED = auto()
    """`entities`: `(entity, entity, how often the evidence says so)` between them, by ids."""
    SAME = auto()
    """`(entity, other)` that people found to be the same, by ids."""
    CASE_CHUNKS = auto()
    """`(chunk, evidence, ordinal)` of all in sight, by id."""
    CASE_ENTITIES = auto()
    """`(entity, accepted, poi or None, kind)` of all that not only hidden evidence mentions, by id."""
    CASE_EVIDENCE = auto()
    """`(evidence,)` of all in sight, by id."""
    CASE_MENTIONS = auto()
    """`(chunk, entity, times)` by chunk and entity."""
    CASE_ALIKE = auto()
    """`(source, target, cosine)` by ids."""
    CASE_RELATED = auto()
    """`(entity, entity, how often the evidence says so)` by ids."""


class Read(Protocol):
    """Answers a query about one case."""

    async def __call__(self, query: Query, **values: Any) -> Rows: ...


@dataclass(frozen=True)
class _Parts:
    """What a neighbourhood is made of: rows as the queries give them."""

    chunks: Rows
    entities: Rows
    mentions: Rows
    related: Rows
    same: Rows
    alike: Rows
    evidence: list[int]
    common: Mapping[int, int]
    size: int


async def names(read: Read, limit: int) -> list[Name]:
    """See `Graph.names`."""
    entities, pois = await read(Query.NAMES, limit=limit), await read(Query.POIS)
    joined = Joined((row[0], row[1]) for row in await read(Query.SAME))
    of_poi: dict[int, list[int]] = defaultdict(list)
    for entity, _, _, _, poi in entities:
        if poi is not None:
            of_poi[poi] += joined.group(entity)
    known = {row[0] for row in entities}
    found = [
        Name(entity, kind, name, tuple(e for e in joined.group(entity) if e in known), accepted)
        for entity, kind, name, accepted, _ in entities
    ]
    found += [
        Name(poi, "poi", alias, tuple(sorted(known.intersection(of_poi[poi]))), True)
        for poi, name, aliases in pois
        for alias in dict.fromkeys([name, *aliases])
    ]
    return sorted(found, key=lambda name: (name.node, name.text))


async def commonness(read: Read, entities: Sequence[int]) -> dict[int, int]:
    """How many chunks mention each entity; absent: none."""
    return {row[0]: row[1] for row in await read(Query.COMMONNESS, entities=list(entities))}


async def size(read: Read) -> int:
    """How many chunks of the case are in sight."""
    [[count]] = await read(Query.SIZE)
    return int(count)


async def around(read: Read, chunks: Sequence[int], entities: Sequence[int], limits: Limits) -> Neighbourhood:
    """See `Graph.around`."""
    chunks_of_case = await size(read)
    seeds = [row[0] for row in await read(Query.OF_CASE, chunks=list(chunks))]
    mentioned = await read(Query.MENTIONED, chunks=seeds)
    candidates = {row[1] for row in mentioned} | set(entities)
    common = await commonness(read, sorted(candidates))
    given = set(entities)
    inner = sorted(candidates, key=lambda e: (e not in given, common.get(e, 0), e))
    leading = _leading(inner, common, limits)
    reached = await read(Query.MENTIONS, entities=leading, limit=limits.common)
    beside = await read(Query.BESIDE, chunks=seeds)
    alike = await read(Query.ALIKE, chunks=seeds)
    within = _nearest(seeds, reached, beside, alike, common, chunks_of_case, limits.chunks)
    joined = await read(Query.JOINED, chunks=within, entities=_joining(inner, mentioned, reached, given))
    kept = _kept_entities(inner, joined, given, limits.entities)
    chunk_rows = await read(Query.CHUNKS, chunks=within)
    parts = _Parts(
        chunks=chunk_rows,
        entities=await read(Query.ENTITIES, entities=kept),
        mentions=joined,
        related=await read(Query.RELATED, entities=kept),
        same=await read(Query.SAME),
        alike=await read(Query.ALIKE_WITHIN, chunks=within),
        evidence=sorted({row[1] for row in chunk_rows}),
        common=common,
        size=chunks_of_case,
    )
    return _assemble(parts, limits.edges)


async def whole(read: Read) -> Neighbourhood:
    """See `Graph.whole`."""
    chunks = await read(Query.CASE_CHUNKS)
    mentions = await read(Query.CASE_MENTIONS)
    common: dict[int, int] = defaultdict(int)
    for row in mentions:
        common[row[1]] += 1
    parts = _Parts(
        chunks=chunks,
        entities=await read(Query.CASE_ENTITIES),
        mentions=mentions,
        related=await read(Query.CASE_RELATED),
        same=await read(Query.SAME),
        alike=await read(Query.CASE_ALIKE),
        evidence=[row[0] for row in await read(Query.CASE_EVIDENCE)],
        common=common,
        size=len(chunks),
    )
    return _assemble(parts, None)


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


def _too_common(parts: _Parts) -> set[int]:
    """Mere names that join nothing: those of which capital letters are all that is known, and which so
    many passages hold that to share one says little."""
    most = max(2.0, COMMON_NAME * parts.size)
    return {
        entity
        for entity, accepted, _, kind in parts.entities
        if kind == "name" and not accepted and parts.common.get(entity, 0) > most
    }


def _edges(parts: _Parts) -> Iterable[tuple[EdgeKind, int, int, float]]:
    """Every edge, those that matter most first: what a limit cuts off stands at the end."""
    ordered = sorted(parts.chunks, key=lambda row: (row[1], row[2]))
    for before, after in pairwise(ordered):
        if before[1] == after[1] and after[2] == before[2] + 1:
            yield EdgeKind.NEXT, min(before[0], after[0]), max(before[0], after[0]), 1.0
    for entity, _, poi, _ in parts.entities:
        if poi is not None:
            yield EdgeKind.IS, entity, poi, 1.0
    known = {row[0] for row in parts.entities}
    joining = known - _too_common(parts)
    for entity, other in parts.same:
        if entity in known and other in known:
            yield EdgeKind.IS, entity, other, 1.0
    for subject, object_, times in parts.related:
        if subject in known and object_ in known:
            yield EdgeKind.RELATION, subject, object_, float(times)
    for chunk, evidence, _ in parts.chunks:
        yield EdgeKind.PART, chunk, evidence, 1.0
    rarest = sorted(parts.mentions, key=lambda row: (parts.common.get(row[1], 0), row[1], row[0]))
    for chunk, entity, times in rarest:
        if entity in joining:
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
    # An edge may be read before its end goes out of sight, or from a store that is behind.
    edges = [edge for edge in _edges(parts) if edge[1] in kinds and edge[2] in kinds][:limit]
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
