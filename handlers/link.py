"""Entities of evidence, where it mentions them and what it says of them are stored.

Whoever becomes a person of interest meanwhile is not missed.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise

from handlers.entities import entities as find_entities
from handlers.extraction import Checked, checked, joined
from handlers.found import Found
from handlers.job import Job, Permanent, Temporary
from handlers.models import Models
from handlers.poi_names import Person, PoiNames
from handlers.reading_model import Read, read_passages
from handlers.relations import Related
from handlers.relations import relations as find_relations
from machines.upload_events import Linked, LinkEntities
from storage.entities import Entities, MentionDraft, PoisChanged
from storage.evidence import ChunkRow, EvidenceStore, UnknownEvidence
from storage.extractions import Extractions
from storage.pois import PoiRow, Pois
from storage.relations import RelationDraft

WINDOW = 20_000
"""Characters that are read between two looks at cancellation."""

TRIES = 10
"""How often a text is read anew because the persons of interest have changed meanwhile."""


async def link_entities(
    effect: LinkEntities,
    job: Job,
    *,
    evidence: EvidenceStore,
    entities: Entities,
    pois: Pois,
    extractions: Extractions,
    models: Models,
) -> Linked:
    """Find what the evidence names and says, and store it in place of what an earlier run found.

    Rules read all of it. Where there is a language model, and the case lets it, the model reads every
    passage first; what it cannot read is told in the result and costs nothing else.

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
    choice = await models.of_case(row.case_id)
    read, name = Read(), ""
    if choice.model is not None and chunks:
        name = choice.model.name
        read = await read_passages(
            row.case_id, row.id, chunks, job, model=choice.model, extractions=extractions
        )
    by_model = {c.id: checked(read.readings[c.id], c.text) for c in chunks if c.id in read.readings}
    for _ in range(TRIES):
        people = await pois.of_case(row.case_id)
        names = PoiNames(persons(people))
        found: list[Found] = []
        related: list[Related] = []
        for start, end in windows(chunks, len(text)):
            await job.progress(start, len(text), "characters")
            given = _within(chunks, by_model, start, end)
            here = await asyncio.to_thread(find_entities, text[start:end], names, given)
            by_rule = await asyncio.to_thread(find_relations, text[start:end], here)
            found.extend(_moved(one, start) for one in here)
            related.extend(_related_moved(one, start) for one in by_rule)
        mentions = mentions_in(chunks, found)
        said = [*drafts(chunks, related, "rule"), *_said(chunks, by_model, found, name)]
        await job.check()
        try:
            count = await entities.replace(row.case_id, row.id, mentions, pois=people, relations=said)
        except PoisChanged:  # somebody was entered meanwhile, who may be named here
            continue
        return Linked(
            effect=job.id,
            entities=count,
            mentions=len(mentions),
            relations=len(said),
            invented=sum(one.invented for one in by_model.values()),
            notice=read.notice(name, len(chunks)),
        )
    raise Temporary("the persons of interest keep changing; it is tried again when they rest")


def drafts(chunks: Sequence[ChunkRow], related: Sequence[Related], source: str) -> list[RelationDraft]:
    """Give each relation to the first chunk that holds all of what says so; others are left out."""
    made, begins = [], [chunk.start for chunk in chunks]
    for subject, predicate, object_, start, end in related:
        places = (subject.start, object_.start, start)
        ends = (subject.end, object_.end, end)
        last = bisect_right(begins, min(places))
        holding = next((c for c in chunks[max(0, last - 3) : last] if max(ends) <= c.end), None)
        if holding is not None:
            who, whom = (subject.kind, subject.key), (object_.kind, object_.key)
            made.append(RelationDraft(holding.id, who, predicate, whom, start, end, source))
    return made


def _said(
    chunks: Sequence[ChunkRow], by_model: Mapping[int, Checked], found: Sequence[Found], model: str
) -> list[RelationDraft]:
    said: list[RelationDraft] = []
    starts = [one.start for one in found]
    for chunk in chunks:
        if (one := by_model.get(chunk.id)) is not None and one.told:
            here = [f for f in found[: bisect_right(starts, chunk.end)] if f.start >= chunk.start]
            said += drafts([chunk], list(joined(one.told, here, shift=chunk.start)), model)
    return said


def _within(chunks: Sequence[ChunkRow], by_model: Mapping[int, Checked], start: int, end: int) -> list[Found]:
    """What was read in the chunks of a window, its places counted from the window's start."""
    return [
        _moved(one, chunk.start - start)
        for chunk in chunks
        if start <= chunk.start and chunk.end <= end and chunk.id in by_model
        for one in by_model[chunk.id].found
    ]


def _related_moved(one: Related, by: int) -> Related:
    subject, predicate, object_, start, end = one
    return _moved(subject, by), predicate, _moved(object_, by), start + by, end + by


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
