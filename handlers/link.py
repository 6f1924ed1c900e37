"""Entities of evidence and their mentions are stored, whoever becomes a person of interest meanwhile."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from handlers.entities import entities as find_entities
from handlers.found import Found
from handlers.job import Job, Permanent, Temporary
from handlers.poi_names import Person, PoiNames
from machines.upload_events import Linked, LinkEntities
from storage.entities import Entities, MentionDraft, PoisChanged
from storage.evidence import ChunkRow, EvidenceStore, UnknownEvidence
from storage.pois import PoiRow, Pois

WINDOW = 20_000
"""Characters that are read between two looks at cancellation."""

TRIES = 10
"""How often a text is read anew because the persons of interest have changed meanwhile."""


async def link_entities(
    effect: LinkEntities, job: Job, *, evidence: EvidenceStore, entities: Entities, pois: Pois
) -> Linked:
    """Find what the evidence names and store it, in place of what an earlier run found.

    Raises:
        Permanent: The evidence is gone.
        Temporary: The persons of interest changed whenever all were found.
    """
    try:
        row = await evidence.get(effect.evidence)
        text = await evidence.text(row.id)
    except UnknownEvidence as error:
        raise Permanent(str(error)) from error
    chunks = await evidence.chunks(row.id)
    for _ in range(TRIES):
        people = await pois.of_case(row.case_id)
        names = PoiNames(persons(people))
        found: list[Found] = []
        for start, end in windows(chunks, len(text)):
            await job.progress(start, len(text), "characters")
            here = await asyncio.to_thread(find_entities, text[start:end], names)
            found.extend(_moved(one, start) for one in here)
        mentions = mentions_in(chunks, found)
        await job.check()
        try:
            count = await entities.replace(row.case_id, row.id, mentions, pois=people)
        except PoisChanged:  # somebody was entered meanwhile, who may be named here
            continue
        return Linked(effect=job.id, entities=count, mentions=len(mentions))
    raise Temporary("the persons of interest keep changing; it is tried again when they rest")


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


def _draft(one: Found, chunk: int) -> MentionDraft:
    return MentionDraft(one.kind, one.key, one.name, chunk, one.start, one.end, one.poi)


def _moved(one: Found, by: int) -> Found:
    return Found(one.kind, one.key, one.name, one.start + by, one.end + by, one.poi)


def persons(rows: Sequence[PoiRow]) -> list[Person]:
    """Persons of interest as their names are looked for."""
    return [Person(row.id, row.name, row.aliases) for row in rows]
