"""Topics of a case and its documents' likeness: what they are made of, and what was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage import hidden

LEAST = 6
"""Evidence of which a case has at least so much has topics."""

_DUE = text(
    """
    SELECT cases.id FROM cases
    JOIN (
        SELECT case_id, count(*) AS now FROM evidence
        WHERE hidden_at IS NULL
          AND EXISTS (SELECT FROM chunks WHERE evidence_id = evidence.id AND vector IS NOT NULL)
        GROUP BY 1
    ) AS seen ON seen.case_id = cases.id
    LEFT JOIN topic_runs ON topic_runs.case_id = cases.id
    WHERE cases.hidden_at IS NULL AND (now >= :least OR topic_runs.case_id IS NOT NULL)
      AND (topic_runs.case_id IS NULL OR abs(now - topic_runs.evidence) >= 0.1 * topic_runs.evidence
           OR EXISTS (SELECT FROM topics WHERE topics.case_id = cases.id AND terms = '{}')
           OR EXISTS (
               SELECT FROM topics JOIN topic_members ON topic_id = topics.id
               JOIN evidence ON evidence.id = evidence_id
               WHERE topics.case_id = cases.id AND evidence.hidden_at IS NOT NULL))
    ORDER BY topic_runs.at NULLS FIRST, cases.id LIMIT :limit
    """
)
_DOCUMENTS = text(
    """
    SELECT evidence.id, evidence.tags, avg(chunks.vector)::vector::text AS mean
    FROM evidence JOIN chunks ON chunks.evidence_id = evidence.id AND chunks.vector IS NOT NULL
    WHERE evidence.case_id = :case AND evidence.hidden_at IS NULL
    GROUP BY evidence.id ORDER BY evidence.id
    """
)
_COPIES = text("SELECT a, b FROM near_duplicates WHERE case_id = :case AND kind = 'text'")
_MEMBERS = text(
    "SELECT topic_id, evidence_id FROM topic_members JOIN topics ON topics.id = topic_id "
    "WHERE case_id = :case ORDER BY 1, 2"
)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('topics:' || :case, 0))")
_PUT = text(
    """
    INSERT INTO topics (id, case_id, terms, size)
    VALUES (coalesce(CAST(:id AS bigint), nextval('topics_id_seq')), :case, :terms, :size)
    ON CONFLICT (id) DO UPDATE SET terms = excluded.terms, size = excluded.size RETURNING id
    """
)
_JOIN = text(
    """
    INSERT INTO topic_members (evidence_id, topic_id)
    SELECT id, :topic FROM evidence
    WHERE id = ANY(CAST(:evidence AS bigint[])) AND case_id = :case AND hidden_at IS NULL
    """
)
_ALIKE = text(
    """
    INSERT INTO similar_documents (case_id, source, target, cosine)
    SELECT :case, pair.source, pair.target, pair.cosine
    FROM unnest(CAST(:sources AS bigint[]), CAST(:targets AS bigint[]), CAST(:cosines AS float[]))
        AS pair(source, target, cosine)
    JOIN evidence AS one ON one.id = pair.source AND one.case_id = :case
    JOIN evidence AS two ON two.id = pair.target AND two.case_id = :case
    """
)
_RUN = text(
    """
    INSERT INTO topic_runs (case_id, evidence) VALUES (:case, :evidence)
    ON CONFLICT (case_id) DO UPDATE SET evidence = excluded.evidence, at = now()
    """
)
_TOPICS = text(
    f"""
    SELECT topics.id, count(*)::int AS evidence,
           CASE WHEN count(*) = topics.size THEN topics.terms ELSE '{{}}' END AS terms
    FROM topics JOIN topic_members ON topic_id = topics.id
    WHERE case_id = :case AND evidence_id NOT IN {hidden.EVIDENCE}
    GROUP BY topics.id ORDER BY count(*) DESC, topics.id
    """
)
_OF_TOPIC = text(
    """
    SELECT evidence.id, evidence.title FROM topic_members
    JOIN evidence ON evidence.id = evidence_id AND hidden_at IS NULL
    JOIN topics ON topics.id = topic_id
    WHERE topic_id = :topic AND topics.case_id = :case AND evidence.id > :after
    ORDER BY evidence.id LIMIT :limit
    """
)
_SIMILAR = text(
    """
    SELECT evidence.id, evidence.title, evidence.filename, cosine FROM similar_documents
    JOIN evidence ON evidence.id = target
    WHERE source = :evidence AND evidence.hidden_at IS NULL ORDER BY cosine DESC, target
    """
)


@dataclass(frozen=True, eq=False)
class Documents:
    """What topics are made of.

    Attributes:
        ids: Of the evidence in sight that has vectors, rising.
        tags: Of each.
        means: Shape (n, d), float32: the mean of each one's chunk vectors.
        copies: Pairs of near copies.
    """

    ids: list[int]
    tags: list[list[str]]
    means: NDArray[np.float32]
    copies: set[tuple[int, int]]


@dataclass(frozen=True)
class NewTopic:
    """Evidence that belongs together; `id` of the topic that it goes on, None for a new one."""

    id: int | None
    terms: list[str]
    evidence: list[int]


@dataclass(frozen=True)
class TopicRow:
    """A topic as it is seen; without terms while it waits to be named anew."""

    id: int
    evidence: int
    terms: list[str]


@dataclass(frozen=True)
class TopicEvidence:
    """Evidence of a topic."""

    id: int
    title: str


@dataclass(frozen=True)
class SimilarRow:
    """A document that is like another."""

    evidence: int
    title: str
    filename: str
    cosine: float


class Topics:
    """Topics and similar documents in PostgreSQL; hidden evidence is no part of what is read."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def due(self, *, limit: int) -> list[str]:
        """Cases that have grown or shrunk by a tenth since their topics were made, or have an unnamed one."""
        async with self._database.connect() as connection:
            return list(await connection.scalars(_DUE, {"least": LEAST, "limit": limit}))

    async def documents(self, case: str) -> Documents:
        """The documents of a case with what is compared."""
        asked = {"case": case}
        async with self._database.connect() as connection:
            rows = (await connection.execute(_DOCUMENTS, asked)).all()
            copies = {(row[0], row[1]) for row in await connection.execute(_COPIES, asked)}
        means = [np.fromstring(row.mean[1:-1], dtype=np.float32, sep=",") for row in rows]
        return Documents(
            [row.id for row in rows],
            [list(row.tags) for row in rows],
            np.stack(means) if means else np.zeros((0, 1), dtype=np.float32),
            copies,
        )

    async def members(self, case: str) -> dict[int, set[int]]:
        """Topic → its evidence, hidden or not."""
        async with self._database.connect() as connection:
            return await _members(connection, case)

    async def replace(
        self,
        case: str,
        topics: Sequence[NewTopic],
        alike: Mapping[int, Sequence[tuple[int, float]]],
        *,
        evidence: int,
    ) -> None:
        """Make these the topics of a case, and these the nearest documents of each.

        What is gone or hidden meanwhile is left out; a topic that lost some of its evidence so has no terms.
        """
        pairs = [(source, target, cosine) for source, found in alike.items() for target, cosine in found]
        async with self._database.begin() as connection:
            await connection.execute(_LOCK, {"case": case})
            known = set(await _members(connection, case))
            kept = [topic.id for topic in topics if topic.id in known]
            gone = text("DELETE FROM topics WHERE case_id = :case AND NOT id = ANY(CAST(:kept AS bigint[]))")
            await connection.execute(gone, {"case": case, "kept": kept})
            clear = text(
                "DELETE FROM topic_members USING topics WHERE topics.id = topic_id AND case_id = :case"
            )
            await connection.execute(clear, {"case": case})
            for topic in topics:
                asked = {
                    "id": topic.id if topic.id in known else None,
                    "case": case,
                    "terms": topic.terms,
                    "size": len(topic.evidence),
                }
                number = (await connection.execute(_PUT, asked)).scalar_one()
                joined = {"topic": number, "evidence": topic.evidence, "case": case}
                if (await connection.execute(_JOIN, joined)).rowcount != len(topic.evidence):
                    unnamed = text("UPDATE topics SET terms = '{}' WHERE id = :id")
                    await connection.execute(unnamed, {"id": number})
            await connection.execute(
                text("DELETE FROM similar_documents WHERE case_id = :case"), {"case": case}
            )
            told = {
                "case": case,
                "sources": [pair[0] for pair in pairs],
                "targets": [pair[1] for pair in pairs],
                "cosines": [pair[2] for pair in pairs],
            }
            await connection.execute(_ALIKE, told)
            await connection.execute(_RUN, {"case": case, "evidence": evidence})

    async def of_case(self, case: str) -> list[TopicRow]:
        """The topics of a case, the largest first."""
        async with self._database.connect() as connection:
            return [TopicRow(*row) for row in await connection.execute(_TOPICS, {"case": case})]

    async def evidence(self, case: str, topic: int, *, after: int, limit: int) -> list[TopicEvidence]:
        """The evidence of a topic by id; none where the case has no such topic."""
        asked = {"case": case, "topic": topic, "after": after, "limit": limit}
        async with self._database.connect() as connection:
            return [TopicEvidence(*row) for row in await connection.execute(_OF_TOPIC, asked)]

    async def similar(self, evidence: int) -> list[SimilarRow]:
        """The documents nearest to one, beyond its near copies, at most five, the nearest first."""
        async with self._database.connect() as connection:
            return [SimilarRow(*row) for row in await connection.execute(_SIMILAR, {"evidence": evidence})]


async def _members(connection: AsyncConnection, case: str) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for topic, evidence in await connection.execute(_MEMBERS, {"case": case}):
        found.setdefault(topic, set()).add(evidence)
    return found
