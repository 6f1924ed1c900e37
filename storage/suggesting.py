"""What there is to be asked about in a case: whom it names, who stands together, what was told and asked."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage import hidden

NAMES, PAIRS, RELATIONS, TITLES, ASKED = 32, 40, 40, 3, 12
MENTIONS = 40_000
"""Mentions of the most named ones that are looked at, the latest."""
DATES = 200_000
"""Mentions of dates that are counted by month, the latest."""

_NAMES = text(
    f"""
    SELECT entities.id, entities.kind, coalesce(pois.name, entities.name) AS name, entities.poi_id,
           (entities.status = 'accepted' OR entities.poi_id IS NOT NULL) AS accepted,
           count(*)::int AS mentions
    FROM entities JOIN mentions ON mentions.entity_id = entities.id
    LEFT JOIN pois ON pois.id = entities.poi_id
    WHERE entities.case_id = :case AND status <> 'rejected'
      AND kind IN ('poi', 'person', 'organisation', 'event') AND chunk_id NOT IN {hidden.CHUNKS}
    GROUP BY 1, 2, 3, 4, 5 ORDER BY poi_id IS NULL, accepted DESC, mentions DESC, entities.id LIMIT :most
    """
)
_MENTIONED = f"""
    SELECT entity_id, chunk_id FROM mentions
    WHERE entity_id = ANY(CAST(:entities AS bigint[])) AND chunk_id NOT IN {hidden.CHUNKS}
    ORDER BY chunk_id DESC LIMIT :mentions
"""
_PAIRS = text(
    f"""
    WITH told AS MATERIALIZED ({_MENTIONED}), met AS (
        SELECT one.entity_id AS a, other.entity_id AS b, one.chunk_id
        FROM told AS one JOIN told AS other
          ON one.chunk_id = other.chunk_id AND one.entity_id < other.entity_id
    )
    SELECT a, b, count(DISTINCT chunk_id)::int AS passages
    FROM met GROUP BY a, b ORDER BY passages DESC, a, b LIMIT :most
    """
)
_RELATIONS = text(
    f"""
    SELECT r.subject, r.predicate, r.object, count(DISTINCT e.id)::int AS documents,
           (array_agg(e.title ORDER BY e.id))[1] AS title
    FROM relations r JOIN chunks c ON c.id = r.chunk_id JOIN evidence e ON e.id = c.evidence_id
    WHERE r.case_id = :case AND r.subject = ANY(CAST(:entities AS bigint[]))
      AND r.object = ANY(CAST(:entities AS bigint[])) AND r.subject <> r.object
      AND r.chunk_id NOT IN {hidden.CHUNKS}
    GROUP BY 1, 2, 3 ORDER BY documents DESC, 1, 3, 2 LIMIT :most
    """
)
_TITLES = text(
    f"""
    WITH told AS MATERIALIZED ({_MENTIONED}), counted AS (
        SELECT told.entity_id AS named, e.title, row_number() OVER (
                   PARTITION BY told.entity_id ORDER BY count(*) DESC, e.id) AS place
        FROM told JOIN chunks c ON c.id = told.chunk_id JOIN evidence e ON e.id = c.evidence_id
        WHERE e.media_type <> 'message/rfc822' GROUP BY told.entity_id, e.id
    )
    SELECT named, title FROM counted WHERE place <= :most ORDER BY named, place
    """
)
_MONTHS = text(
    f"""
    WITH dated AS (
        SELECT left(e.key, 7) AS month, m.chunk_id FROM entities e JOIN mentions m ON m.entity_id = e.id
        WHERE e.case_id = :case AND e.kind = 'date' AND e.status <> 'rejected'
          AND e.key ~ '^[0-9]{{4}}-[0-9]{{2}}' AND m.chunk_id NOT IN {hidden.CHUNKS}
        ORDER BY m.chunk_id DESC LIMIT :dates
    )
    SELECT month, count(DISTINCT evidence)::int AS documents FROM (
        SELECT month, c.evidence_id AS evidence FROM dated JOIN chunks c ON c.id = dated.chunk_id
        UNION ALL
        SELECT left(meta ->> 'date', 7), id FROM evidence
        WHERE case_id = :case AND hidden_at IS NULL AND meta ->> 'date' ~ '^[0-9]{{4}}-[0-9]{{2}}'
    ) AS told GROUP BY month ORDER BY month
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
    """Somebody or something that the case names; `poi` where its user entered it, `accepted` confirmed."""

    id: int
    kind: str
    name: str
    poi: bool
    accepted: bool
    mentions: int


@dataclass(frozen=True)
class Together:
    """Two of the names share so many passages."""

    a: int
    b: int
    passages: int


@dataclass(frozen=True)
class Told:
    """So many documents say that one does something to another; `title` is of the first of them."""

    subject: int
    predicate: str
    object: int
    documents: int
    title: str


@dataclass(frozen=True)
class Month:
    """`2033-06`, and how many documents have that date or tell of one within it."""

    month: str
    documents: int


@dataclass(frozen=True)
class Askable:
    """All that suggestions for a case rest on.

    Attributes:
        names: Persons of interest first, then what is confirmed, each by how often it is named.
        together: The pairs that share most passages first.
        told: What most documents say first.
        titles: Of names, by id: the documents, mails aside, that name them most.
        months: In order.
    """

    names: list[Named]
    together: list[Together]
    told: list[Told]
    titles: dict[int, list[str]]
    months: list[Month]


class Suggesting:
    """Reads it from PostgreSQL; hidden evidence and conversations that go are no part of it."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def askable(self, case: str) -> Askable:
        """What the evidence names and tells, as of now."""
        async with self._database.connect() as connection:
            rows = list(await connection.execute(_NAMES, {"case": case, "most": NAMES}))
            names = [
                Named(row.id, row.kind, row.name, row.poi_id is not None, row.accepted, row.mentions)
                for row in rows
            ]
            asked = {"case": case, "entities": [one.id for one in names], "mentions": MENTIONS}
            pairs = await connection.execute(_PAIRS, asked | {"most": PAIRS})
            together = [Together(*row) for row in pairs]
            relations = await connection.execute(_RELATIONS, asked | {"most": RELATIONS})
            told = [Told(*row) for row in relations]
            months = [
                Month(*row) for row in await connection.execute(_MONTHS, {"case": case, "dates": DATES})
            ]
            return Askable(names, together, told, await _titles(connection, asked), months)

    async def asked(self, case: str, user: str) -> list[str]:
        """What somebody asked in a case, the latest first, each question once."""
        async with self._database.connect() as connection:
            found = await connection.execute(_ASKED, {"case": case, "user": user, "most": ASKED})
            return list(found.scalars())

    async def askers(self, case: str) -> list[str]:
        """Who has asked anything."""
        async with self._database.connect() as connection:
            return sorted((await connection.execute(_ASKERS, {"case": case})).scalars())


async def _titles(connection: AsyncConnection, asked: dict[str, object]) -> dict[int, list[str]]:
    titles: dict[int, list[str]] = {}
    for row in await connection.execute(_TITLES, asked | {"most": TITLES}):
        titles.setdefault(row.named, []).append(row.title)
    return titles
