"""The arrays of a neighbourhood, put together from what was read of it; equal rows give equal arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.graph import EdgeKind, Neighbourhood, NodeKind

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Columns = tuple[NDArray[Any], ...]
Rows = Sequence[Any]
_Edges = tuple[EdgeKind, Ints, Ints, Floats]

COMMON_NAME = 0.05
"""Share of a case's passages beyond which a mere name joins nothing."""


@dataclass(frozen=True)
class Parts:
    """What a neighbourhood is made of, in the order in which queries answer (`storage.neighbourhood.Query`).

    Attributes:
        chunks: Columns of chunks, evidence, ordinals.
        entities: Rows `(entity, accepted, poi or None, kind)`.
        mentions: Columns of chunks, entities, times.
        related: Rows `(entity, entity, times)`.
        same: Rows `(entity, other)`.
        alike: Columns of sources, targets, cosines.
        evidence: All of it.
        common: Entities, rising, and how many chunks of the whole case mention each; of others: none.
        size: Chunks of the whole case.
    """

    chunks: Columns
    entities: Rows
    mentions: Columns
    related: Rows
    same: Rows
    alike: Columns
    evidence: Ints
    common: tuple[Ints, Ints]
    size: int


def common_of(chunks: Mapping[int, int]) -> tuple[Ints, Ints]:
    """How many chunks mention each entity, as `Parts` have it."""
    entities = sorted(chunks)
    return _ints(entities), _ints(chunks[entity] for entity in entities)


def assemble(parts: Parts, limit: int | None) -> Neighbourhood:
    """The arrays; of more than `limit` edges those that matter most."""
    entities = _ints(row[0] for row in parts.entities)
    pois = _ints(row[2] for row in parts.entities if row[2] is not None)
    nodes = np.unique(np.concatenate((parts.chunks[0], parts.evidence, entities, pois)))
    kinds = np.full(len(nodes), NodeKind.CHUNK, dtype=np.uint8)
    for some, kind in (
        (parts.evidence, NodeKind.EVIDENCE),
        (entities, NodeKind.ENTITY),
        (pois, NodeKind.POI),
    ):
        kinds[np.searchsorted(nodes, some)] = kind
    accepted = _ints(row[0] for row in parts.entities if row[1])
    sources, targets, edge_kinds, weights = _edges(parts, nodes, limit)
    return Neighbourhood(
        nodes=nodes,
        kinds=kinds,
        common=np.where(kinds == NodeKind.ENTITY, _common(parts, nodes), 0).astype(np.int32),
        accepted=np.isin(nodes, accepted),
        sources=sources,
        targets=targets,
        edge_kinds=edge_kinds,
        weights=weights,
        chunks=parts.size,
    )


def _edges(
    parts: Parts, nodes: Ints, limit: int | None
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8], Floats]:
    """Every edge, those that matter most first: what a limit cuts off stands at the end."""
    ends: tuple[list[NDArray[np.int32]], list[NDArray[np.int32]]] = ([], [])
    kinds: list[NDArray[np.uint8]] = []
    weighed: list[Floats] = []
    for make in (_next, _is, _related, _part, _mentioned, _similar):
        kind, sources, targets, weights = make(parts)
        # An edge may be read before its end goes out of sight, or from a store that is behind.
        there = np.flatnonzero(_among(nodes, sources) & _among(nodes, targets))
        for side, some in zip(ends, (sources, targets), strict=True):
            side.append(np.searchsorted(nodes, some[there]).astype(np.int32))
        kinds.append(np.full(len(there), kind, dtype=np.uint8))
        weighed.append(weights[there])
    one, other = (np.concatenate(side)[:limit] for side in ends)
    return one, other, np.concatenate(kinds)[:limit], np.concatenate(weighed)[:limit]


def _next(parts: Parts) -> _Edges:
    chunks, evidence, ordinals = (column[np.lexsort(parts.chunks[:0:-1])] for column in parts.chunks)
    follows = np.flatnonzero((evidence[1:] == evidence[:-1]) & (ordinals[1:] == ordinals[:-1] + 1))
    before, after = chunks[follows], chunks[follows + 1]
    return EdgeKind.NEXT, np.minimum(before, after), np.maximum(before, after), np.ones(len(follows))


def _is(parts: Parts) -> _Edges:
    known = {row[0] for row in parts.entities}
    pairs = [(row[0], row[2]) for row in parts.entities if row[2] is not None]
    pairs += [(one, other) for one, other in parts.same if one in known and other in known]
    return (
        EdgeKind.IS,
        _ints(one for one, _ in pairs),
        _ints(other for _, other in pairs),
        np.ones(len(pairs)),
    )


def _related(parts: Parts) -> _Edges:
    known = {row[0] for row in parts.entities}
    rows = [row for row in parts.related if row[0] in known and row[1] in known]
    times = np.array([float(row[2]) for row in rows], dtype=np.float64)
    return EdgeKind.RELATION, _ints(row[0] for row in rows), _ints(row[1] for row in rows), times


def _part(parts: Parts) -> _Edges:
    chunks, evidence, _ = parts.chunks
    return EdgeKind.PART, chunks, evidence, np.ones(len(chunks))


def _mentioned(parts: Parts) -> _Edges:
    """By entities that join something, the rarest first."""
    joining = np.setdiff1d(_ints(row[0] for row in parts.entities), _too_common(parts))
    kept = _among(joining, parts.mentions[1])
    chunks, entities, times = (column[kept] for column in parts.mentions)
    order = np.lexsort((chunks, entities, _common(parts, entities)))
    return EdgeKind.MENTION, chunks[order], entities[order], times[order]


def _similar(parts: Parts) -> _Edges:
    sources, targets, cosines = parts.alike
    order = np.lexsort((targets, sources, -cosines))
    return EdgeKind.SIMILAR, sources[order], targets[order], cosines[order]


def _too_common(parts: Parts) -> Ints:
    """Mere names that join nothing: those of which capital letters are all that is known, and which so
    many passages hold that to share one says little."""
    mere = _ints(row[0] for row in parts.entities if row[3] == "name" and not row[1])
    return mere[_common(parts, mere) > max(2.0, COMMON_NAME * parts.size)]


def _common(parts: Parts, nodes: Ints) -> Ints:
    """How many chunks of the case mention each of the nodes."""
    entities, counts = parts.common
    found = np.zeros(len(nodes), dtype=np.int64)
    there = _among(entities, nodes)
    found[there] = counts[np.searchsorted(entities, nodes[there])]
    return found


def _among(known: Ints, nodes: Ints) -> NDArray[np.bool_]:
    """Which of the nodes are known ones; those rise."""
    if not len(known):
        return np.zeros(len(nodes), dtype=np.bool_)
    there: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, nodes), len(known) - 1)] == nodes
    return there


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)
