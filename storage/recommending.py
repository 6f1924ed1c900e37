"""What is known of who liked which evidence of a case, what they have opened, and what is like what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage import hidden

MOST = 20_000
"""Pieces of evidence of a case that are considered, the latest."""
MEMBERS = 200
"""People of a case that something is recommended to."""
LIKED = 60
"""Pieces of evidence that one person liked, the most liked ones, of which the neighbours are looked for."""

_EVIDENCE = text(
    """
    SELECT id, title, media_type, tags, upload FROM evidence
    WHERE case_id = :case AND hidden_at IS NULL ORDER BY id DESC LIMIT :most
    """
)
_MEMBERS = text(
    "SELECT user_id FROM members JOIN cases ON cases.id = members.case_id "
    "WHERE case_id = :case ORDER BY user_id LIMIT :most"
)
_OF_NODES = f"""
    SELECT id AS node, id AS evidence FROM evidence WHERE case_id = :case AND hidden_at IS NULL
    UNION ALL
    SELECT id, evidence_id FROM chunks WHERE case_id = :case AND evidence_id NOT IN {hidden.EVIDENCE}
"""
_VOTED = text(
    f"""
    WITH cast_at AS MATERIALIZED (SELECT user_id, node, value FROM votes WHERE case_id = :case)
    SELECT user_id, evidence, sum(value)::int AS votes FROM cast_at
    JOIN ({_OF_NODES}) AS nodes USING (node) GROUP BY 1, 2
    """
)
_ATTENDED = text(
    f"""
    WITH attended AS MATERIALIZED (
        SELECT user_id, node, bool_or(what = 'read') AS read, bool_or(what IN ('view', 'read')) AS opened,
               (array_agg(value ORDER BY id DESC) FILTER (WHERE what = 'dismissed'))[1] AS dismissed
        FROM attention WHERE case_id = :case GROUP BY 1, 2
    )
    SELECT user_id, evidence, bool_or(read) AS read, bool_or(opened) AS opened,
           bool_or(node = evidence AND coalesce(dismissed, 0) < 0) AS dismissed
    FROM attended JOIN ({_OF_NODES}) AS nodes USING (node) GROUP BY 1, 2
    """
)
_SIMILAR = text(
    """
    WITH here AS MATERIALIZED (
        SELECT id, evidence_id FROM chunks WHERE evidence_id = ANY(CAST(:liked AS bigint[]))
    ), beside AS (
        SELECT here.evidence_id, target AS other, weight FROM here JOIN similarities ON source = here.id
        UNION ALL
        SELECT here.evidence_id, source, weight FROM here JOIN similarities ON target = here.id
    )
    SELECT beside.evidence_id AS liked, chunks.evidence_id AS other, max(weight) AS best,
           count(*)::int AS pairs
    FROM beside JOIN chunks ON chunks.id = other AND chunks.evidence_id <> beside.evidence_id
    GROUP BY 1, 2
    """
)
_NEAR = text(
    """
    SELECT a, b, max(score) AS score FROM near_duplicates
    WHERE a = ANY(CAST(:liked AS bigint[])) OR b = ANY(CAST(:liked AS bigint[])) GROUP BY 1, 2
    """
)


@dataclass(frozen=True)
class Piece:
    """Evidence in sight."""

    id: int
    title: str
    media_type: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Taste:
    """What one person made of a case's evidence, by its id.

    Attributes:
        votes: Sum of the votes on it and its passages.
        read: What was read.
        known: What was opened, voted on or put aside: nothing of it is recommended.
    """

    votes: dict[int, int]
    read: frozenset[int]
    known: frozenset[int]


@dataclass(frozen=True)
class Alike:
    """How like two pieces of evidence are, 0 to 1, and whether they are nearly the same."""

    liked: int
    other: int
    score: float
    copy: bool


@dataclass(frozen=True)
class Facts:
    """All that recommendations in a case rest on; `tastes` of all its members."""

    pieces: list[Piece]
    tastes: dict[str, Taste]
    alike: list[Alike]


class Recommending:
    """Reads the facts from PostgreSQL; hidden evidence is no part of them."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def facts(self, case: str) -> Facts:
        """The facts as of now, from one view of the tables."""
        async with self._database.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            rows = await connection.execute(_EVIDENCE, {"case": case, "most": MOST})
            pieces = [Piece(row.id, row.title, row.media_type, tuple(row.tags)) for row in rows]
            members = (await connection.execute(_MEMBERS, {"case": case, "most": MEMBERS})).scalars()
            votes: dict[str, dict[int, int]] = {user: {} for user in members}
            read: dict[str, set[int]] = defaultdict(set)
            known: dict[str, set[int]] = defaultdict(set)
            for row in await connection.execute(_VOTED, {"case": case}):
                if row.user_id in votes:
                    votes[row.user_id][row.evidence] = row.votes
                    known[row.user_id].add(row.evidence)
            for row in await connection.execute(_ATTENDED, {"case": case}):
                if row.read:
                    read[row.user_id].add(row.evidence)
                if row.opened or row.dismissed:
                    known[row.user_id].add(row.evidence)
            tastes = {
                user: Taste(given, frozenset(read[user]), frozenset(known[user]))
                for user, given in votes.items()
            }
            liked = sorted({one for taste in tastes.values() for one in most_liked(taste)})
            alike = [
                Alike(row.liked, row.other, row.best * row.pairs / (row.pairs + 1), False)
                for row in await connection.execute(_SIMILAR, {"liked": liked})
            ]
            for row in await connection.execute(_NEAR, {"liked": liked}):
                alike += [Alike(row.a, row.b, row.score, True), Alike(row.b, row.a, row.score, True)]
        return Facts(pieces, tastes, alike)


def most_liked(taste: Taste) -> Sequence[int]:
    """What a person voted up or read, the most liked first, at most `LIKED`."""
    up = {one for one, votes in taste.votes.items() if votes > 0}
    all_liked = up | {one for one in taste.read if taste.votes.get(one, 0) >= 0}
    return sorted(all_liked, key=lambda one: (-taste.votes.get(one, 0), -one))[:LIKED]
