"""What one user looked at, passed over, accepted and dismissed in a case, as long as they let it be kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage import hidden

KEPT_S = 180 * 86_400
"""What is older counts no more, and is not read."""
MOST = 2_000
"""Newest notes of a user and case that are read; older ones count no more."""

LET = "NOT EXISTS (SELECT 1 FROM attention_off WHERE attention_off.user_id = CAST(:user AS text))"
"""Whether the user lets attention be kept, as a part of SQL with the value `:user`."""

BESIDE_DELETIONS = text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:case, 0))")
"""Waits for evidence of a case on its way out of the tables, which then takes notes with it or is gone."""

_ON = text(f"SELECT {LET}")
_TURN_OFF = text("INSERT INTO attention_off (user_id) VALUES (:user) ON CONFLICT DO NOTHING")
_TURN_ON = text("DELETE FROM attention_off WHERE user_id = :user")

_SHOWN = text(
    f"""
    INSERT INTO attention (case_id, user_id, what, node, value, query, effect, at)
    SELECT CAST(:case AS text), CAST(:user AS text), 'shown', c.id, 0, CAST(:query AS text),
           concat_ws(':', 'shown', CAST(:user AS text), CAST(:query AS text), c.id), :at
    FROM chunks c
    WHERE c.id = ANY(:nodes) AND c.case_id = :case AND c.id NOT IN {hidden.CHUNKS} AND {LET}
    ON CONFLICT (case_id, effect) DO NOTHING
    """
)
_NOTES = text(
    f"""
    SELECT a.what, a.node, a.value, a.query, coalesce(c.evidence_id, 0) AS evidence,
           extract(epoch FROM a.at)::float8 AS at
    FROM attention a LEFT JOIN chunks c ON c.id = a.node AND c.case_id = a.case_id
    WHERE a.case_id = :case AND a.user_id = :user AND a.at > :since AND a.at <= :until
    ORDER BY a.at DESC, a.id DESC LIMIT {MOST}
    """
)
_VOTES = text(
    """
    SELECT node, value, query, extract(epoch FROM at)::float8 AS at
    FROM votes WHERE case_id = :case AND user_id = :user ORDER BY at DESC, node
    """
)
_PLACES = text(
    f"""
    SELECT c.id AS node, 'passage' AS what, e.id AS evidence, e.title, c.page, c.start, c."end",
           left(c.text, 240) AS said
    FROM chunks c JOIN evidence e ON e.id = c.evidence_id
    WHERE c.id = ANY(:nodes) AND c.case_id = :case AND e.id NOT IN {hidden.EVIDENCE}
    UNION ALL
    SELECT e.id, 'evidence', e.id, coalesce(nullif(e.title, ''), e.filename), 0, 0, 0, ''
    FROM evidence e WHERE e.id = ANY(:nodes) AND e.case_id = :case AND e.id NOT IN {hidden.EVIDENCE}
    UNION ALL
    SELECT n.id, 'name', 0, n.name, 0, 0, 0, '' FROM entities n
    WHERE n.id = ANY(:nodes) AND n.case_id = :case AND n.id NOT IN {hidden.ENTITIES}
    UNION ALL
    SELECT p.id, 'name', 0, p.name, 0, 0, 0, '' FROM pois p WHERE p.id = ANY(:nodes) AND p.case_id = :case
    """
)
_COUNTS = text(
    """
    SELECT case_id, count(DISTINCT node)::int AS items FROM (
        SELECT case_id, node FROM attention
        WHERE user_id = :user AND what <> 'vote' AND case_id = ANY(:cases) AND at > :since
        UNION ALL
        SELECT case_id, node FROM votes WHERE user_id = :user AND case_id = ANY(:cases)
    ) AS noted GROUP BY case_id
    """
)
_FORGET = text(
    "DELETE FROM attention WHERE case_id = :case AND user_id = :user AND node = :node AND what = ANY(:whats)"
)
_FORGET_CASE = text("DELETE FROM attention WHERE case_id = :case AND user_id = :user AND what <> 'vote'")
_FORGET_ALL = text("DELETE FROM attention WHERE user_id = :user AND what <> 'vote'")


@dataclass(frozen=True)
class Note:
    """One thing that was noticed.

    Attributes:
        what: view, read, shown, accepted, dismissed, vote.
        evidence: That of a passage; 0 where `node` is none.
        at: Seconds since 1970.
    """

    what: str
    node: int
    value: float
    query: str
    evidence: int
    at: float


@dataclass(frozen=True)
class StandingVote:
    """What a user says of a node, and the question they said it in."""

    node: int
    value: int
    query: str
    at: float


@dataclass(frozen=True)
class NodePlace:
    """Where a node stands: a passage, evidence as a whole, or a name (of a person, an organisation …).

    `said` is the beginning of a passage; `page` counts from 1 (0: no pages), `start` and `end` are
    characters of the evidence's text. `evidence` is 0 for a name.
    """

    node: int
    what: str
    evidence: int
    title: str
    page: int
    start: int
    end: int
    said: str


class AttentionNotes:
    """Attention in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def is_on(self, user: str) -> bool:
        """Whether the user lets attention be kept and count; so it is until they turn it off."""
        async with self._database.connect() as connection:
            return bool((await connection.execute(_ON, {"user": user})).scalar_one())

    async def turn(self, user: str, *, on: bool) -> None:
        """Let attention be kept and count, or neither; what was kept before stays until it is forgotten."""
        async with self._database.begin() as connection:
            await connection.execute(_TURN_ON if on else _TURN_OFF, {"user": user})

    async def note_shown(self, case: str, user: str, query: str, nodes: Sequence[int]) -> None:
        """Record that a query's first hits were on screen; a repeat records nothing twice.

        Hits that the case does not have (any more), or that are out of sight, are left out.
        """
        values = {"case": case, "user": user, "query": query, "nodes": list(nodes)}
        async with self._database.begin() as connection:
            await connection.execute(BESIDE_DELETIONS, {"case": case})
            await connection.execute(_SHOWN, values | {"at": datetime.now(UTC)})

    async def notes(self, case: str, user: str, until: float) -> list[Note]:
        """What counts: what was noticed up to a moment (seconds since 1970); nothing while turned off."""
        return await self.kept(case, user, until) if await self.is_on(user) else []

    async def kept(self, case: str, user: str, until: float) -> list[Note]:
        """What was noticed up to a moment, newest first, whether it counts or not."""
        key = {"case": case, "user": user, "since": _moment(until - KEPT_S), "until": _moment(until)}
        async with self._database.connect() as connection:
            return [Note(**row) for row in (await connection.execute(_NOTES, key)).mappings()]

    async def votes(self, case: str, user: str) -> list[StandingVote]:
        """The user's standing votes, newest first."""
        async with self._database.connect() as connection:
            rows = await connection.execute(_VOTES, {"case": case, "user": user})
            return [StandingVote(**row) for row in rows.mappings()]

    async def places(self, case: str, nodes: Sequence[int]) -> dict[int, NodePlace]:
        """Where nodes stand; those that are gone or out of sight are absent."""
        async with self._database.connect() as connection:
            rows = await connection.execute(_PLACES, {"case": case, "nodes": list(nodes)})
            return {row["node"]: NodePlace(**row) for row in rows.mappings()}

    async def counts(self, user: str, cases: Sequence[str], now: float) -> dict[str, int]:
        """Of how many nodes of each case something is kept; cases without any are absent."""
        values = {"user": user, "cases": list(cases), "since": _moment(now - KEPT_S)}
        async with self._database.connect() as connection:
            rows = await connection.execute(_COUNTS, values)
            return {row.case_id: row.items for row in rows}

    async def forget(self, case: str, user: str, node: int, whats: Sequence[str]) -> bool:
        """Delete what a user noticed of a node; whether there was anything."""
        assert "vote" not in whats, "the record of votes numbers the orders"
        values = {"case": case, "user": user, "node": node, "whats": list(whats)}
        async with self._database.begin() as connection:
            return bool((await connection.execute(_FORGET, values)).rowcount)

    async def forget_all(self, user: str, case: str = "") -> None:
        """Delete all that a user noticed, in one case or in all; votes stay."""
        statement = _FORGET_CASE if case else _FORGET_ALL
        async with self._database.begin() as connection:
            await connection.execute(statement, {"case": case, "user": user} if case else {"user": user})


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(max(at, 0.0), UTC)
