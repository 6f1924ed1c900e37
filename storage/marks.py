"""Which stores follow PostgreSQL, how far each is, and what it has yet to look at.

A follower passes through phases. `new`: triggers mark for it from the moment its row is committed, but
transactions that were already writing may not have seen it, so the next phase waits until those have
ended. `marking`: the store is empty, and everything that PostgreSQL holds is marked, bit by bit.
`filling`: all is marked, and applied as it comes. `following`: the store has held everything once, so it
lacks only what is marked now.

Marks are read by id and deleted by the ids that were read, so one whose transaction commits late is not
passed over. What a mark says is that something may have changed, so one too many does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.follow import KINDS, Follower, Kind, Mark

Phase = Literal["new", "marking", "filling", "following"]

MARKED_AT_ONCE = 1000
MOST_WAITING = 5000
"""While so many marks wait, no more of what is there already is marked: the table stays small."""

_REGISTER = text(
    """
    INSERT INTO followers
        (name, target, kinds, phase, cursor_kind, cursor_node, fill_until, total, marked, error)
    VALUES (:name, :target, :kinds, 'new', '', 0, 0, 0, 0, '')
    ON CONFLICT (name) DO UPDATE
        SET target = excluded.target, kinds = excluded.kinds, phase = 'new', barrier = NULL,
            registered_at = now()
        WHERE followers.target <> excluded.target OR followers.kinds <> excluded.kinds
    """
)
_BEGIN_AGAIN = text("UPDATE followers SET phase = 'new', barrier = NULL WHERE name = :name RETURNING name")
_UNREGISTER = text("DELETE FROM followers WHERE name <> ALL(:names) RETURNING name")
_DROP_MARKS = text("DELETE FROM store_marks WHERE follower NOT IN (SELECT name FROM followers)")
_STATE = text("SELECT phase, barrier, cursor_kind, cursor_node, fill_until FROM followers WHERE name = :name")
_SET_BARRIER = text(
    "UPDATE followers SET barrier = CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) "
    "WHERE name = :name AND phase = 'new' AND barrier IS NULL"
)
_PASSED = text(
    "SELECT barrier IS NOT NULL AND "
    "barrier <= CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) "
    "FROM followers WHERE name = :name AND phase = 'new'"
)
_TAKE = text(
    "SELECT id, case_id, kind, node FROM store_marks WHERE follower = :name ORDER BY id LIMIT :limit"
)
_DONE = text("DELETE FROM store_marks WHERE follower = :name AND id = ANY(:ids) RETURNING id")
_MARK = text(
    "INSERT INTO store_marks (follower, case_id, kind, node) "
    "SELECT :name, * FROM unnest(CAST(:cases AS text[]), CAST(:kinds AS text[]), CAST(:nodes AS bigint[]))"
)
_WAITING = text(
    "SELECT count(*) FROM (SELECT FROM store_marks WHERE follower = :name LIMIT :limit) AS waiting"
)
_STATES = text(
    """
    SELECT f.name, f.target, f.phase, f.total, f.marked, f.error, f.failing_since,
           count(m.id) AS waiting, min(m.at) AS behind_since
    FROM followers AS f LEFT JOIN store_marks AS m ON m.follower = f.name
    GROUP BY f.name ORDER BY f.name
    """
)
_FAILED = text(
    "UPDATE followers SET error = :error, failing_since = coalesce(failing_since, now()) WHERE name = :name"
)
_WELL = text("UPDATE followers SET error = '', failing_since = NULL WHERE name = :name AND error <> ''")

_ALL: Mapping[Kind, tuple[str, str, str]] = {
    "case": ("cases", "id", "0"),
    "evidence": ("evidence", "case_id", "id"),
    "chunks": ("evidence", "case_id", "id"),
    "mention": ("evidence", "case_id", "id"),
    "entity": ("entities", "case_id", "id"),
    "poi": ("pois", "case_id", "id"),
    "similar": ("similarities", "case_id", "source"),
    "relation": ("evidence", "case_id", "id"),
    "same": ("same_as", "case_id", "entity"),
}
"""Table, case and node of all marks of a kind. Vectors come with the chunks of their evidence."""


@dataclass(frozen=True)
class FollowerState:
    """How far a store is.

    Attributes:
        total: Marks that filling it takes, about; `marked` of them were made so far.
        waiting: Marks that it has yet to look at.
        behind_since: When the oldest of them was made.
        error: Why its last round failed, as a sentence without a final stop; "" where it did not.
    """

    name: str
    target: str
    phase: Phase
    total: int
    marked: int
    waiting: int
    behind_since: datetime | None
    error: str
    failing_since: datetime | None

    @property
    def filled(self) -> float:
        """How much of what was there is in the store, 0 to 1."""
        if self.phase == "following":
            return 1.0
        if self.phase == "new":
            return 0.0
        return max(0.0, min(1.0, (self.marked - self.waiting) / max(1, self.total)))


class Marks:
    """Followers and their marks in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def register(self, follower: Follower) -> None:
        """Have changes marked for it from now on; one that is new, or has another target, begins anew."""
        values = {"name": follower.name, "target": follower.target, "kinds": sorted(follower.kinds)}
        async with self._database.begin() as connection:
            await connection.execute(_REGISTER, values)

    async def keep_only(self, names: Sequence[str]) -> list[str]:
        """Forget every other follower with its marks; returns whom."""
        async with self._database.begin() as connection:
            gone = list((await connection.execute(_UNREGISTER, {"names": list(names)})).scalars())
            # Those, too, of transactions that had still seen a follower when it was forgotten.
            await connection.execute(_DROP_MARKS)
        return gone

    async def begin_again(self, name: str) -> bool:
        """Have the store emptied and filled from the beginning; False where nobody of that name follows."""
        async with self._database.begin() as connection:
            return (await connection.execute(_BEGIN_AGAIN, {"name": name})).scalar_one_or_none() is not None

    async def phase(self, name: str) -> Phase | None:
        """See the module; None where nobody of that name follows."""
        async with self._database.connect() as connection:
            row = (await connection.execute(_STATE, {"name": name})).one_or_none()
        return None if row is None else row.phase

    async def is_known_to_all(self, name: str) -> bool:
        """Whether a follower that is `new` may be wiped: every transaction from now on marks for it.

        Transactions are expected to read what is committed by others (READ COMMITTED), as all that write
        what is marked do.
        """
        async with self._database.begin() as connection:
            await connection.execute(_SET_BARRIER, {"name": name})
        async with self._database.connect() as connection:
            return bool((await connection.execute(_PASSED, {"name": name})).scalar_one_or_none())

    async def begin_marking(self, follower: Follower) -> None:
        """From `new` to `marking`: the store has been wiped."""
        kinds = _marked_kinds(follower)
        counts = [f"(SELECT count(DISTINCT ({_ALL[k][1]}, {_ALL[k][2]})) FROM {_ALL[k][0]})" for k in kinds]
        begin = text(
            "UPDATE followers SET phase = 'marking', cursor_kind = :first, cursor_node = 0, marked = 0, "
            f"total = {' + '.join(counts)} WHERE name = :name AND phase = 'new'"
        )
        async with self._database.begin() as connection:
            await connection.execute(begin, {"name": follower.name, "first": kinds[0]})

    async def mark_more(
        self, follower: Follower, *, at_once: int = MARKED_AT_ONCE, most_waiting: int = MOST_WAITING
    ) -> None:
        """Mark some more of what is there, unless many marks wait; after the last, on to `filling`."""
        name, kinds = follower.name, _marked_kinds(follower)
        async with self._database.begin() as connection:
            asked = {"name": name, "limit": most_waiting}
            if (await connection.execute(_WAITING, asked)).scalar_one() >= most_waiting:
                return
            state = (await connection.execute(text(f"{_STATE.text} FOR UPDATE"), {"name": name})).one()
            if state.phase != "marking":
                return
            # A release that copies other kinds has begun anew, so the kind is among them.
            kind = state.cursor_kind
            count, last = await _mark_some(connection, name, kind, state.cursor_node, at_once)
            after: dict[str, str | int] = {"kind": kind, "node": last, "phase": "marking"}
            if count < at_once:
                following = kinds[kinds.index(kind) + 1 :]
                after = {"kind": following[0], "node": 0, "phase": "marking"} if following else after | {
                    "phase": "filling"
                }  # fmt: skip
            await connection.execute(
                text(
                    "UPDATE followers SET phase = :phase, cursor_kind = :kind, cursor_node = :node, "
                    "marked = marked + :count, fill_until = (SELECT coalesce(max(id), 0) FROM store_marks "
                    "WHERE follower = :name) WHERE name = :name"
                ),
                after | {"name": name, "count": count},
            )

    async def settle(self, name: str) -> bool:
        """From `filling` to `following` once the last mark of what was there is done; whether it is."""
        follow = text(
            "UPDATE followers SET phase = 'following' WHERE name = :name AND phase = 'filling' "
            "AND NOT EXISTS (SELECT FROM store_marks WHERE follower = :name AND id <= followers.fill_until) "
            "RETURNING name"
        )
        async with self._database.begin() as connection:
            return (await connection.execute(follow, {"name": name})).scalar_one_or_none() is not None

    async def take(self, name: str, limit: int) -> list[Mark]:
        """The oldest marks of a follower, which stay until they are `done`."""
        async with self._database.connect() as connection:
            rows = await connection.execute(_TAKE, {"name": name, "limit": limit})
            return [Mark(row.id, row.case_id, row.kind, row.node) for row in rows]

    async def done(self, name: str, marks: Sequence[Mark]) -> None:
        """Delete marks that were applied.

        One that is gone already was applied by somebody else at the same time, and what was read first
        may have been written last: such things are marked anew.
        """
        async with self._database.begin() as connection:
            deleted = set(
                (await connection.execute(_DONE, {"name": name, "ids": [m.id for m in marks]})).scalars()
            )
            await _mark(connection, name, [mark for mark in marks if mark.id not in deleted])

    async def failed(self, name: str, error: str) -> None:
        """Note why a round failed, for people."""
        async with self._database.begin() as connection:
            await connection.execute(_FAILED, {"name": name, "error": error})

    async def succeeded(self, name: str) -> None:
        """Note that the store did what it was asked."""
        async with self._database.begin() as connection:
            await connection.execute(_WELL, {"name": name})

    async def states(self) -> list[FollowerState]:
        """All followers, by name."""
        async with self._database.connect() as connection:
            return [FollowerState(**row) for row in (await connection.execute(_STATES)).mappings()]


def _marked_kinds(follower: Follower) -> list[Kind]:
    return [kind for kind in KINDS if kind in follower.kinds and kind in _ALL]


async def _mark_some(
    connection: AsyncConnection, name: str, kind: Kind, after: int, limit: int
) -> tuple[int, int]:
    """Mark the next of a kind, by node; how many, and the last of them."""
    table, case, node = _ALL[kind]
    if kind == "case":  # few, and their ids are no numbers
        rows = (
            await connection.execute(text(f"SELECT DISTINCT {case} AS c, {node} AS n FROM {table}"))
        ).all()
        await _mark(connection, name, [Mark(0, row.c, kind, row.n) for row in rows])
        return 0, 0
    query = text(
        f"SELECT DISTINCT {case} AS c, {node} AS n FROM {table} "
        f"WHERE {node} > :after ORDER BY {node} LIMIT :limit"
    )
    rows = (await connection.execute(query, {"after": after, "limit": limit})).all()
    await _mark(connection, name, [Mark(0, row.c, kind, row.n) for row in rows])
    return len(rows), rows[-1].n if rows else after


async def _mark(connection: AsyncConnection, name: str, marks: Sequence[Mark]) -> None:
    if marks:
        values = {
            "name": name,
            "cases": [mark.case for mark in marks],
            "kinds": [mark.kind for mark in marks],
            "nodes": [mark.node for mark in marks],
        }
        await connection.execute(_MARK, values)
