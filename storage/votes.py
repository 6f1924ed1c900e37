"""The standing votes of a case, and the record of every vote, view and reading that led to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage import hidden
from storage.attention import BESIDE_DELETIONS, LET

CLAMP = 3
"""Beyond so many votes of one sign a node gains and loses no more."""

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:case, 0))")

_IS_NODE = text(
    """
    SELECT EXISTS (SELECT 1 FROM chunks WHERE id = :node AND case_id = :case)
        OR EXISTS (SELECT 1 FROM entities WHERE id = :node AND case_id = :case)
        OR EXISTS (SELECT 1 FROM evidence WHERE id = :node AND case_id = :case)
        OR EXISTS (SELECT 1 FROM pois WHERE id = :node AND case_id = :case)
    """
)

_IS_HIDDEN = text(
    f"SELECT CAST(:node AS bigint) IN {hidden.EVIDENCE} OR CAST(:node AS bigint) IN {hidden.CHUNKS}"
)

_NOTE = text(
    """
    INSERT INTO attention (case_id, user_id, what, node, value, query, effect, at)
    VALUES (:case, :user, :what, :node, :value, :query, :effect, :at)
    ON CONFLICT (case_id, effect) DO NOTHING
    """
)
_NOTE_IF_LET = text(
    f"""
    INSERT INTO attention (case_id, user_id, what, node, value, query, effect, at)
    SELECT :case, CAST(:user AS text), :what, :node, :value, :query, :effect, :at WHERE {LET}
    ON CONFLICT (case_id, effect) DO NOTHING
    """
)

_LATEST = text(
    """
    SELECT value::int, query, at
    FROM attention
    WHERE case_id = :case AND user_id = :user AND node = :node AND what = 'vote'
    ORDER BY at DESC, id DESC
    LIMIT 1
    """
)

_STAND = text(
    """
    INSERT INTO votes (case_id, user_id, node, value, query, at)
    VALUES (:case, :user, :node, :value, :query, :at)
    ON CONFLICT (case_id, user_id, node)
    DO UPDATE SET value = excluded.value, query = excluded.query, at = excluded.at
    """
)

_TAKE_BACK = text("DELETE FROM votes WHERE case_id = :case AND user_id = :user AND node = :node")

_AS_OF = text("SELECT coalesce(max(id), 0) FROM attention WHERE case_id = :case AND what = 'vote'")

_SUMS = text(
    """
    SELECT node, greatest(-CAST(:clamp AS int), least(CAST(:clamp AS int), sum(value)))::int
    FROM votes WHERE case_id = :case GROUP BY node HAVING sum(value) <> 0 ORDER BY node
    """
)

# One pass over the notes of votes: a look for later ones, note by note, took 20 s of 4,500 notes where the
# planner knew nothing of the tables yet.
_CAST = text(
    """
    SELECT DISTINCT noted.node, noted.query, coalesce(asked.question, '') AS question, votes.value > 0 AS up
    FROM (
      SELECT user_id, node, query,
        count(*) FILTER (WHERE value <= 0) OVER since AS not_up,
        count(*) FILTER (WHERE value >= 0) OVER since AS not_down
      FROM attention WHERE case_id = :case AND what = 'vote'
      WINDOW since AS (PARTITION BY user_id, node ORDER BY at DESC, id DESC)
    ) AS noted
    JOIN votes ON votes.case_id = :case AND votes.user_id = noted.user_id AND votes.node = noted.node
    LEFT JOIN questions AS asked ON asked.machine = noted.query AND asked.case_id = :case
    WHERE CASE WHEN votes.value > 0 THEN noted.not_up ELSE noted.not_down END = 0
    """
)


class NotInCase(Exception):
    """The case has no such node, so nobody can vote on it there."""

    def __init__(self, node: int) -> None:
        super().__init__("the case has no such passage")
        self.node = node


@dataclass(frozen=True)
class Tally:
    """The votes of a case at one moment.

    Attributes:
        as_of: Id of the last recorded vote, 0 for none; rises with every vote.
        sums: Node → sum over users, clamped to ±`CLAMP`; nodes that sum to 0 are absent.
        cast: `(node, query, question, up)` of the standing votes: every query in which their users cast
            them since they last voted otherwise; the question is "" while nothing is archived of it.
    """

    as_of: int
    sums: dict[int, int]
    cast: frozenset[tuple[int, str, str, bool]] = field(default=frozenset())

    def cast_in(self, query: str, question: str) -> frozenset[int]:
        """The nodes of `sums` for which a query had a vote of that sign, or one that asked in the same words.

        Case and spaces do not matter.
        """
        words = _words(question)
        return frozenset(
            node
            for node, cast_in, asked, up in self.cast
            if (self.sums.get(node, 0) > 0) == up and (cast_in == query or (words and _words(asked) == words))
        )


class Votes:
    """Votes and attention in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def record(
        self, case: str, user: str, node: int, value: int, *, query: str, effect: str, at: float
    ) -> Tally:
        """Let `value` (−1, 0, +1) be the user's vote on a node, and return the tally that results.

        Votes of a case are recorded one after the other. The vote that was cast last counts, in
        whatever order votes arrive; a repeated `effect` changes nothing.

        Raises:
            NotInCase: Nothing was recorded.
        """
        key = {"case": case, "user": user, "node": node}
        async with self._database.begin() as connection:
            await connection.execute(_LOCK, {"case": case})
            if not (await connection.execute(_IS_NODE, {"case": case, "node": node})).scalar_one():
                raise NotInCase(node)
            noted = {"what": "vote", "value": float(value), "query": query, "effect": effect}
            new = await connection.execute(_NOTE, key | noted | {"at": datetime.fromtimestamp(at, UTC)})
            if new.rowcount:
                latest = (await connection.execute(_LATEST, key)).one()
                if latest.value:
                    standing = {"value": latest.value, "query": latest.query, "at": latest.at}
                    await connection.execute(_STAND, key | standing)
                else:
                    await connection.execute(_TAKE_BACK, key)
            return await _tally(connection, case)

    async def tally(self, case: str) -> Tally:
        """The votes as of now; sums and `as_of` belong together."""
        async with self._database.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            return await _tally(connection, case)

    async def note(
        self,
        case: str,
        user: str,
        what: Literal["view", "read", "dismissed"],
        node: int,
        *,
        query: str,
        effect: str,
        removed: bool = True,
        value: float = 0.0,
    ) -> None:
        """Record that a user opened, read or put aside a node; a repeated `effect` records nothing twice.

        Nothing is recorded of a user who has turned that off.

        Args:
            removed: Whether the user may know of removed evidence.

        Raises:
            NotInCase: Nothing was recorded.
        """
        place = {"case": case, "node": node}
        async with self._database.begin() as connection:
            await connection.execute(BESIDE_DELETIONS, {"case": case})
            there = (await connection.execute(_IS_NODE, place)).scalar_one()
            if not there or (not removed and (await connection.execute(_IS_HIDDEN, place)).scalar_one()):
                raise NotInCase(node)
            values = {"case": case, "user": user, "what": what, "node": node, "value": value, "query": query}
            await connection.execute(_NOTE_IF_LET, values | {"effect": effect, "at": datetime.now(UTC)})


async def _tally(connection: AsyncConnection, case: str) -> Tally:
    as_of = (await connection.execute(_AS_OF, {"case": case})).scalar_one()
    rows = await connection.execute(_SUMS, {"case": case, "clamp": CLAMP})
    cast = await connection.execute(_CAST, {"case": case})
    return Tally(
        as_of,
        {row[0]: row[1] for row in rows},
        frozenset((row.node, row.query, row.question, row.up) for row in cast),
    )


def _words(question: str) -> str:
    return " ".join(question.casefold().split())
