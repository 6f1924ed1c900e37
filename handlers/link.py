"""Entities of evidence and their mentions are stored; a changed POI is looked for in the whole case."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from handlers.entities import entities as find_entities
from handlers.found import Found
from handlers.job import Job, Permanent
from handlers.poi_names import Person, PoiNames, words_to_look_for
from machines.upload_events import Linked, LinkEntities
from storage.entities import Entities, KnownPerson, MentionDraft, PlacedText
from storage.evidence import ChunkRow, EvidenceStore, UnknownEvidence
from storage.pois import PoiRow, Pois

WINDOW = 20_000
"""Characters that are read between two looks at cancellation."""

TEXTS = 500
"""Chunks that are searched at once for a changed POI."""


async def link_entities(
    effect: LinkEntities, job: Job, *, evidence: EvidenceStore, entities: Entities, pois: Pois
) -> Linked:
    """Find what the evidence names and store it, in place of what an earlier run found.

    Raises:
        Permanent: The evidence is gone.
    """
    try:
        row = await evidence.get(effect.evidence)
        text = await evidence.text(row.id)
    except UnknownEvidence as error:
        raise Permanent(str(error)) from error
    chunks = await evidence.chunks(row.id)
    names = PoiNames(_persons(await pois.of_case(row.case_id)))
    found: list[Found] = []
    for start, end in windows(chunks, len(text)):
        await job.progress(start, len(text), "characters")
        here = await asyncio.to_thread(find_entities, text[start:end], names)
        found.extend(_moved(one, start) for one in here)
    mentions = mentions_in(chunks, found)
    await job.check()
    count = await entities.replace(row.case_id, row.id, mentions)
    return Linked(effect=job.id, entities=count, mentions=len(mentions))


async def relink(case: str, poi: int, *, entities: Entities, pois: Pois) -> int:
    """Look for one POI in all evidence of a case, when it was added or changed; returns its mentions.

    A POI that is gone is taken out of the graph.
    """
    rows = await pois.of_case(case)
    mine = [row for row in rows if row.id == poi]
    if not mine:
        await entities.forget_poi(case, poi)
        return 0
    # All are looked for, so that a title with a surname is nobody's where two share the surname.
    names = PoiNames(_persons(rows))
    words = words_to_look_for(_persons(mine))
    mentions: list[MentionDraft] = []
    after = 0
    while texts := await entities.texts(case, words, after=after, limit=TEXTS):
        after = texts[-1].chunk
        mentions.extend(await asyncio.to_thread(_mentions_of, poi, names, texts))
    people = await entities.people(case)
    same = await asyncio.to_thread(_same, poi, names, people)
    # A misspelt name has none of the words; where it was recognised before, it may still be.
    there = await entities.places_of_poi(case, poi)
    mentions.extend(m for m in there if (near := names.near(m.name)) is not None and near.id == poi)
    await entities.set_poi(case, poi, mine[0].name, mentions, same)
    return len({(m.chunk, m.start) for m in mentions})


def windows(chunks: Sequence[ChunkRow], length: int) -> list[tuple[int, int]]:
    """Stretches of text that begin and end where chunks do, each about `WINDOW` characters long."""
    found: list[tuple[int, int]] = []
    start = 0
    for before, chunk in pairwise(chunks):
        # Only where chunks do not overlap nothing is cut in two.
        if chunk.start >= before.end and chunk.start - start >= WINDOW:
            found.append((start, chunk.start))
            start = chunk.start
    return [*found, (start, length)] if length else []


def mentions_in(chunks: Sequence[ChunkRow], found: Sequence[Found]) -> list[MentionDraft]:
    """Give each finding to every chunk that holds it whole; chunks come in the order of the text."""
    starts = [chunk.start for chunk in chunks]
    mentions: list[MentionDraft] = []
    for one in found:
        # Overlaps are short: only neighbours can hold the same place.
        last = bisect_right(starts, one.start)
        mentions.extend(
            _draft(one, chunk.id) for chunk in chunks[max(0, last - 3) : last] if one.end <= chunk.end
        )
    return mentions


def _mentions_of(poi: int, names: PoiNames, texts: Sequence[PlacedText]) -> list[MentionDraft]:
    return [
        _draft(_moved(one, placed.start), placed.chunk)
        for placed in texts
        for one in (*names.find(placed.text), *names.find_addresses(placed.text))
        if one.poi == poi
    ]


def _same(poi: int, names: PoiNames, people: Sequence[KnownPerson]) -> list[int]:
    """People whose names are slips of the POI's."""
    nearest = ((person.id, names.near(person.name)) for person in people)
    return [entity for entity, person in nearest if person is not None and person.id == poi]


def _draft(one: Found, chunk: int) -> MentionDraft:
    return MentionDraft(one.kind, one.key, one.name, chunk, one.start, one.end, one.poi)


def _moved(one: Found, by: int) -> Found:
    return Found(one.kind, one.key, one.name, one.start + by, one.end + by, one.poi)


def _persons(rows: Sequence[PoiRow]) -> list[Person]:
    return [Person(row.id, row.name, row.aliases) for row in rows]
