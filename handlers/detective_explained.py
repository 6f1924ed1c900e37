"""A finding as its user reads it: with names, a sentence, and the places that say so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from handlers.detective_drafts import Draft
from handlers.detective_keys import WORDS
from handlers.detective_sources import mark_at
from handlers.detective_words import sentence
from storage.detective import DetectiveFacts, End, PassageText
from storage.detective_told import ToldAt
from storage.findings import FindingRow, PathEdge, PathNode, Source

SOURCES = 6

Place = tuple[str, int, int | tuple[int, int]]
"""Case, passage, and the entity that it names or the characters that are meant."""


async def explained(
    draft: Draft, nodes: Mapping[int, End], titles: Mapping[str, str], facts: DetectiveFacts
) -> FindingRow | None:
    """The finding with its sources; None where its places are gone or not the reader's to see.

    Args:
        nodes: What of its path and of `also` the reader may see, by id; all of its path.
        titles: Of the cases that the reader may see.
    """
    told = await facts.told(_relations(draft))
    telling = await facts.described([one.evidence for one in told.values()])
    nodes = {**nodes, **{node: end for node, end in telling.items() if end.case in titles}}
    if any(one not in told or told[one].evidence not in nodes for one in _relations(draft)):
        return None
    sources = await _sources(draft, nodes, told, facts)
    if not sources and (told or any(step.what == "evidence" for step in draft.steps)):
        return None
    also = [node for node in draft.also if node in nodes]
    path = [nodes[step.node] for step in draft.steps]
    edges = [
        PathEdge(_edge_kind(edge), _edge_words(draft, edge, start, told), edge not in ("alike", "near"))
        for edge, start in zip(draft.edges, path, strict=False)
    ]
    marked = [entity for step in draft.steps for _, entity in step.marks if entity and entity in nodes]
    marked += [end for one in told.values() for end in (one.subject, one.object, one.evidence)]
    evidence = {s.node for s in draft.steps if s.what == "evidence"} | {t.evidence for t in told.values()}
    named = [*(step.node for step in draft.steps), *also]
    return FindingRow(
        fingerprint=draft.fingerprint,
        kind=draft.kind,
        explicit=draft.explicit,
        score=round(draft.score, 6),
        confidence=round(draft.confidence, 4),
        cases=sorted({nodes[node].case for node in [*named, *evidence]}),
        evidence=sorted(evidence),
        nodes=sorted({*named, *marked}),
        sentence=sentence(draft, nodes, titles, told),
        path=[PathNode(end.node, end.what, end.kind, end.name, end.case) for end in path],
        edges=edges,
        sources=sources,
    )


def _relations(draft: Draft) -> list[int]:
    """The relations along its path."""
    return [int(edge.partition(":")[2]) for edge in draft.edges if _edge_kind(edge) == "relation"]


def _edge_kind(edge: str) -> str:
    sort = edge.partition(":")[0]
    return "relation" if sort in ("does", "done") else sort


def _edge_words(draft: Draft, edge: str, start: End, told: Mapping[int, ToldAt]) -> str:
    sort, _, rest = edge.partition(":")
    if sort == "same":
        return WORDS[rest]
    if sort == "does":
        return f"{told[int(rest)].predicate} →"
    if sort == "done":
        return f"← {told[int(rest)].predicate}"
    if sort == "named":
        return "names" if start.what == "evidence" else "named in"
    share = f"{100 * draft.cosine:.0f} %"
    return f"spelt alike, {share}" if sort == "alike" else f"says similar things, {share}"


async def _sources(
    draft: Draft, nodes: Mapping[int, End], told: Mapping[int, ToldAt], facts: DetectiveFacts
) -> list[Source]:
    """The places that a path leads through, in its order."""
    marks: list[Place] = []
    if draft.kind == "near":
        a, b = ((step.node, step.marks[0][0]) for step in draft.steps)
        nearest = await facts.nearest(a, b)
        if nearest is None:
            return []
        marks = [(nodes[a[0]].case, nearest[0], 0), (nodes[b[0]].case, nearest[1], 0)]
    else:
        marks = list(_places(draft, nodes, told))
    passages: dict[int, PassageText] = {}
    places: dict[tuple[int, int], tuple[int, int]] = {}
    by_case: dict[str, list[tuple[int, int | tuple[int, int]]]] = defaultdict(list)
    for case, chunk, what in marks:
        by_case[case].append((chunk, what))
    for case, here in by_case.items():
        chunks = sorted({chunk for chunk, _ in here})
        entities = sorted({what for _, what in here if isinstance(what, int) and what})
        passages |= await facts.passages(case, chunks)
        places |= await facts.places(case, chunks, entities)
    spots: dict[int, list[tuple[int, int]]] = {}
    for _, chunk, what in marks:
        spots.setdefault(chunk, [])
        place = places.get((chunk, what)) if isinstance(what, int) else what
        if place is not None:
            spots[chunk].append(place)
    case_of = {chunk: case for case, chunk, _ in marks}
    return [
        mark_at(passages[chunk], case_of[chunk], sorted(set(places_of)))
        for chunk, places_of in spots.items()
        if chunk in passages
    ][:SOURCES]


def _places(draft: Draft, nodes: Mapping[int, End], told: Mapping[int, ToldAt]) -> Iterator[Place]:
    for at, step in enumerate(draft.steps):
        if at and _edge_kind(edge := draft.edges[at - 1]) == "relation":
            one = told[int(edge.partition(":")[2])]
            yield one.case, one.chunk, (one.start, one.end)
        if step.what == "evidence":
            for chunk, entity in step.marks:
                yield nodes[step.node].case, chunk, entity
