"""What a case knows of its names: who they are, where they stand, and what stands beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage import hidden

_NAMES = text(
    f"""
    SELECT id, kind, name, poi_id FROM entities
    WHERE case_id = :case AND status <> 'rejected' AND kind IN ('poi', 'person', 'organisation', 'email')
      AND id NOT IN {hidden.ENTITIES}
    ORDER BY id
    """
)
_POIS = text("SELECT id, name, aliases FROM pois WHERE case_id = :case ORDER BY id")
_MENTIONS = text(
    f"""
    SELECT m.chunk_id, m.entity_id FROM mentions m JOIN entities e ON e.id = m.entity_id
    WHERE e.case_id = :case AND e.status <> 'rejected'
      AND e.kind IN ('poi', 'person', 'organisation', 'email') AND m.chunk_id NOT IN {hidden.CHUNKS}
    GROUP BY 1, 2 ORDER BY 1, 2
    """
)
_BESIDE = text(
    f"""
    SELECT w.entity_id, a.entity_id, count(DISTINCT (c.evidence_id, a.start))::int
    FROM mentions a
    JOIN entities mail ON mail.id = a.entity_id AND mail.kind = 'email' AND mail.status <> 'rejected'
    JOIN mentions w ON w.chunk_id = a.chunk_id AND w."end" <= a.start AND a.start - w."end" <= 10
    JOIN entities who ON who.id = w.entity_id AND who.kind IN ('person', 'poi') AND who.status <> 'rejected'
    JOIN chunks c ON c.id = a.chunk_id
    WHERE mail.case_id = :case AND a.chunk_id NOT IN {hidden.CHUNKS}
      AND trim(both from substr(c.text, w."end" - c.start + 1, a.start - w."end"))
          IN ('<', '"<', '[', '(', '''<', '" <', '[mailto:')
    GROUP BY 1, 2 ORDER BY 1, 2
    """
)
_QUOTES = text(
    f"""
    SELECT side, chunk_id, evidence_id, title, page, start, "end", chunk_start, text FROM (
        SELECT found.*, row_number() OVER (PARTITION BY side ORDER BY nth, evidence_id, start) AS place FROM (
            SELECT wanted.side, m.chunk_id, c.evidence_id, e.title, c.page, m.start, m."end",
                   c.start AS chunk_start, c.text,
                   row_number() OVER (PARTITION BY wanted.side, c.evidence_id ORDER BY m.start) AS nth
            FROM unnest(CAST(:sides AS bigint[]), CAST(:entities AS bigint[])) AS wanted(side, entity)
            JOIN LATERAL (
                SELECT * FROM mentions WHERE entity_id = wanted.entity AND chunk_id NOT IN {hidden.CHUNKS}
                ORDER BY chunk_id LIMIT 60
            ) AS m ON true
            JOIN chunks c ON c.id = m.chunk_id AND c.case_id = :case
            JOIN evidence e ON e.id = c.evidence_id
        ) AS found
    ) AS told WHERE place <= :each ORDER BY side, place
    """
)


@dataclass(frozen=True)
class Known:
    """A name of a case; `poi` is the person of interest that it is."""

    id: int
    kind: str
    name: str
    poi: int | None


@dataclass(frozen=True)
class Called:
    """A person of interest with all its names."""

    id: int
    names: list[str]


@dataclass(frozen=True)
class NameFacts:
    """What is known of a case's names.

    Attributes:
        mentions: `(chunk, entity)`, by chunk.
        beside: `(person, address, times)`: the name stands right before the mail address.
    """

    names: list[Known]
    pois: list[Called]
    mentions: list[tuple[int, int]]
    beside: list[tuple[int, int, int]]


@dataclass(frozen=True)
class Quote:
    """A place where a name stands; `side` is the entity or person of interest asked for."""

    side: int
    chunk: int
    evidence: int
    title: str
    page: int
    start: int
    end: int
    chunk_start: int
    text: str


class NameStore:
    """Names and their places in PostgreSQL; evidence that is hidden tells nothing."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def facts(self, case: str) -> NameFacts:
        """All that is known of the names of a case."""
        asked = {"case": case}
        async with self._database.connect() as connection:
            names = [Known(*row) for row in await connection.execute(_NAMES, asked)]
            pois = [Called(row[0], [row[1], *row[2]]) for row in await connection.execute(_POIS, asked)]
            mentions = [(row[0], row[1]) for row in await connection.execute(_MENTIONS, asked)]
            beside = [(row[0], row[1], row[2]) for row in await connection.execute(_BESIDE, asked)]
        return NameFacts(names, pois, mentions, beside)

    async def quotes(self, case: str, sides: Sequence[tuple[int, int]], *, each: int) -> list[Quote]:
        """Places of `(side, entity)`, at most `each` a side, of as many different documents as there are."""
        if not sides:
            return []
        asked = {
            "case": case,
            "sides": [side for side, _ in sides],
            "entities": [entity for _, entity in sides],
            "each": each,
        }
        async with self._database.connect() as connection:
            return [Quote(*row) for row in await connection.execute(_QUOTES, asked)]
