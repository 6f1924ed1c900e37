"""How the graph around a question is put together, whichever store its rows are read from.

An adapter answers each `Query` with rows; what is read when, what is kept and in which order is decided
here alone, so that equal data gives equal arrays in every store.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, Protocol

import numpy as np

from storage.assembling import Columns, Parts, assemble, common_of
from storage.graph import Limits, Name, Neighbourhood, rarity
from storage.same_as import Joined

Rows = Sequence[Any]


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


_KINDS: dict[Query, tuple[type, ...]] = {
    Query.CHUNKS: (np.int64, np.int64, np.int64),
    Query.CASE_CHUNKS: (np.int64, np.int64, np.int64),
    Query.CASE_EVIDENCE: (np.int64,),
    Query.JOINED: (np.int64, np.int64, np.float64),
    Query.CASE_MENTIONS: (np.int64, np.int64, np.float64),
    Query.ALIKE_WITHIN: (np.int64, np.int64, np.float64),
    Query.CASE_ALIKE: (np.int64, np.int64, np.float64),
}
"""What the values of a query's rows become in arrays."""


def as_columns(query: Query, rows: Rows) -> Columns:
    """The rows that a query was answered with, as arrays."""
    return tuple(
        np.fromiter((row[i] for row in rows), dtype=kind, count=len(rows))
        for i, kind in enumerate(_KINDS[query])
    )


class Read(Protocol):
    """Answers a query about one case."""

    async def __call__(self, query: Query, **values: Any) -> Rows: ...


class ReadColumns(Protocol):
    """Answers a query about one case with an array for each value of its rows, of numbers alone."""

    async def __call__(self, query: Query) -> Columns: ...


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
    parts = Parts(
        chunks=as_columns(Query.CHUNKS, chunk_rows),
        entities=await read(Query.ENTITIES, entities=kept),
        mentions=as_columns(Query.JOINED, joined),
        related=await read(Query.RELATED, entities=kept),
        same=await read(Query.SAME),
        alike=as_columns(Query.ALIKE_WITHIN, await read(Query.ALIKE_WITHIN, chunks=within)),
        evidence=np.array(sorted({row[1] for row in chunk_rows}), dtype=np.int64),
        common=common_of(common),
        size=chunks_of_case,
    )
    return assemble(parts, limits.edges)


async def parts_of_whole(read: Read, columns: ReadColumns) -> Parts:
    """What `Graph.whole` is made of; what there is most of is in arrays, some 24 bytes a row."""
    chunks, mentions = await columns(Query.CASE_CHUNKS), await columns(Query.CASE_MENTIONS)
    entities, counts = np.unique(mentions[1], return_counts=True)
    return Parts(
        chunks=chunks,
        entities=await read(Query.CASE_ENTITIES),
        mentions=mentions,
        related=await read(Query.CASE_RELATED),
        same=await read(Query.SAME),
        alike=await columns(Query.CASE_ALIKE),
        evidence=(await columns(Query.CASE_EVIDENCE))[0],
        common=(entities, counts),
        size=len(chunks[0]),
    )


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
    rare = {entity: rarity(common[entity], size) for entity in {row[1] for row in reached}}
    for chunk, entity, _ in reached:
        pull[chunk] += rare[entity]
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
