"""What there is to be asked about in a case: whom it names most, who stands together, what was asked."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage import hidden

NAMES, PAIRS, TOPICS, ASKED = 24, 12, 12, 12
MENTIONS = 40_000
"""Mentions of the most named ones that are looked at, the latest."""

_NAMES = text(
    f"""
    SELECT entities.id, entities.kind, coalesce(pois.name, entities.name) AS name, entities.poi_id,
           (entities.status = 'accepted' OR entities.poi_id IS NOT NULL) AS accepted, count(*) AS mentions
    FROM entities JOIN mentions ON mentions.entity_id = entities.id
    LEFT JOIN pois ON pois.id = entities.poi_id
    WHERE entities.case_id = :case AND status <> 'rejected'
      AND kind IN ('poi', 'person', 'organisation') AND chunk_id NOT IN {hidden.CHUNKS}
    GROUP BY 1, 2, 3, 4, 5 ORDER BY accepted DESC, mentions DESC, entities.id LIMIT :most
    """
)
_PAIRS = text(
    f"""
    WITH told AS MATERIALIZED (
        SELECT entity_id, chunk_id FROM mentions
        WHERE entity_id = ANY(CAST(:entities AS bigint[])) AND chunk_id NOT IN {hidden.CHUNKS}
        ORDER BY chunk_id DESC LIMIT :mentions
    ), met AS (
        SELECT one.entity_id AS a, other.entity_id AS b, one.chunk_id
        FROM told AS one JOIN told AS other
          ON one.chunk_id = other.chunk_id AND one.entity_id < other.entity_id
    )
    SELECT a, b, count(DISTINCT chunk_id)::int AS passages, min(chunk_id) AS passage
    FROM met GROUP BY a, b ORDER BY passages DESC, a, b LIMIT :most
    """
)
_WITH = text(
    f"""
    SELECT DISTINCT ON (named.entity_id, other.kind) named.entity_id AS named, other.kind, other.name
    FROM mentions AS named JOIN mentions AS at ON at.chunk_id = named.chunk_id
    JOIN entities AS other ON other.id = at.entity_id
    WHERE named.entity_id = ANY(CAST(:entities AS bigint[])) AND other.kind IN ('date', 'money')
      AND other.status <> 'rejected' AND named.chunk_id NOT IN {hidden.CHUNKS}
    ORDER BY named.entity_id, other.kind, abs(at.start - named.start), other.id
    """
)
_TOPICS_OF = text(
    """
    SELECT chunks.id AS passage, evidence.tags FROM chunks JOIN evidence ON evidence.id = chunks.evidence_id
    WHERE chunks.id = ANY(CAST(:passages AS bigint[])) AND evidence.hidden_at IS NULL
    """
)
_ASKED = text(
    """
    SELECT question FROM (
        SELECT DISTINCT ON (lower(question)) question, asked_at FROM questions
        JOIN conversations ON conversations.case_id = questions.case_id
          AND conversations.id = questions.conversation
        WHERE questions.case_id = :case AND questions.asker = :user AND removed_at IS NULL
        ORDER BY lower(question), asked_at DESC
    ) AS once ORDER BY asked_at DESC LIMIT :most
    """
)
_ASKERS = text("SELECT DISTINCT asker FROM questions WHERE case_id = :case")


@dataclass(frozen=True)
class Named:
    """Somebody or something that the case names; `date` and `money` stand beside it, or are ""."""

    id: int
    kind: str
    name: str
    accepted: bool
    date: str
    money: str


@dataclass(frozen=True)
class Together:
    """Two of the names share passages; `tags` are of the evidence with the first of these."""

    a: int
    b: int
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Askable:
    """All that suggestions for a case rest on; `names` the confirmed and most mentioned ones first."""

    names: list[Named]
    together: list[Together]


class Suggesting:
    """Reads it from PostgreSQL; hidden evidence and conversations that go are no part of it."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def askable(self, case: str) -> Askable:
        """What the evidence names, as of now."""
        async with self._database.connect() as connection:
            rows = list(await connection.execute(_NAMES, {"case": case, "most": NAMES}))
            entities = [row.id for row in rows]
            asked = {"case": case, "entities": entities}
            beside: dict[tuple[int, str], str] = {
                (row.named, row.kind): row.name for row in await connection.execute(_WITH, asked)
            }
            pairs = list(await connection.execute(_PAIRS, asked | {"most": PAIRS, "mentions": MENTIONS}))
            passages = {"passages": [row.passage for row in pairs]}
            tags = {row.passage: tuple(row.tags) for row in await connection.execute(_TOPICS_OF, passages)}
        names = [
            Named(
                row.id, row.kind, row.name, row.accepted,
                beside.get((row.id, "date"), ""), beside.get((row.id, "money"), ""),
            )
            for row in rows
        ]  # fmt: skip
        return Askable(names, [Together(row.a, row.b, tags.get(row.passage, ())) for row in pairs])

    async def asked(self, case: str, user: str) -> list[str]:
        """What somebody asked in a case, the latest first, each question once."""
        async with self._database.connect() as connection:
            found = await connection.execute(_ASKED, {"case": case, "user": user, "most": ASKED})
            return list(found.scalars())

    async def askers(self, case: str) -> list[str]:
        """Who has asked anything."""
        async with self._database.connect() as connection:
            return sorted((await connection.execute(_ASKERS, {"case": case})).scalars())
