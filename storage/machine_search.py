"""Machines found by what they are, in the archive that follows Redis within about a second.

No request reads without bound: a page takes at most its own length from each topic, counts look at
`MOST_COUNTED` machines, and a search that has found too little after `LONGEST_S` is `TooWide`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

MOST_COUNTED = 20_000
MOST_BUSY = 500
LONGEST_S = 3.0

_CANCELLED = "57014"

_LIMIT = text("SELECT set_config('statement_timeout', :ms, true)")
_COUNTS = text(
    "SELECT kind, state, count(*), count(*) FILTER (WHERE terminated) FROM ("
    "  SELECT kind, states, terminated FROM archived_machines WHERE topic = ANY (:topics) LIMIT :most"
    ") AS looked_at, unnest(states) AS state GROUP BY kind, state ORDER BY kind, state"
)
_TOTAL = text(
    "SELECT count(*) FROM ("
    "  SELECT 1 FROM archived_machines WHERE topic = ANY (:topics) LIMIT :most"
    ") AS looked_at"
)
_BUSY = text(
    "SELECT id FROM archived_machines WHERE busy_since < :before AND NOT terminated "
    "AND topic = ANY (:topics) ORDER BY busy_since LIMIT :most"
)
_SPAWNERS = text(
    "SELECT a.id, a.spawned_by, coalesce(u.name, '') FROM archived_machines a "
    "LEFT JOIN users u ON u.id = a.spawned_by WHERE a.id = ANY (:machines)"
)
_NAMES = text("SELECT id, name FROM users WHERE id = ANY (:users)")


class TooWide(Exception):
    """So many machines had to be looked at that the search was given up."""

    def __init__(self) -> None:
        super().__init__(
            "this would look through too many machines; name a case, a kind or a shorter time as well"
        )


@dataclass(frozen=True)
class Criteria:
    """What machines to find; None leaves a question open.

    Attributes:
        owner: Id of the user who spawned it, or whose own topic it lives on.
        text: Begins its id, or stands somewhere in its title.
        changed_after: Unix seconds; also `changed_before`.
        finished: Whether it has ended for good.
        machines: Only these.
    """

    kind: str | None = None
    state: str | None = None
    owner: str | None = None
    text: str | None = None
    changed_after: float = 0.0
    changed_before: float = math.inf
    finished: bool | None = None
    machines: Sequence[str] | None = None


@dataclass(frozen=True)
class FoundMachine:
    """A machine without its context, but for the stages of its work."""

    id: str
    topic: str
    kind: str
    revision: int
    states: list[str]
    updated_at: float
    terminated: bool
    title: str
    spawned_by: str
    spawned_by_name: str
    work: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Count:
    """How many machines of a kind are in a state, and how many of them have ended."""

    kind: str
    state: str
    machines: int
    finished: int


class MachineSearch:
    """The archive as a table that can be asked."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def page(
        self,
        topics: Sequence[str],
        wanted: Criteria,
        *,
        before: tuple[float, str] | None = None,
        without: Collection[str] = (),
        limit: int,
    ) -> list[FoundMachine]:
        """Machines on `topics`, newest change first, equal times by id backwards.

        Args:
            before: Time and id of the machine after which the page begins.
            without: Machines to leave out.

        Raises:
            TooWide: It would take too long.
        """
        at, last = before or (math.inf, "")
        if wanted.changed_before < at:
            at, last = wanted.changed_before, ""
        values = {
            "topics": list(topics),
            "before_at": at,
            "before_id": last,
            "changed_after": wanted.changed_after,
            "kind": wanted.kind,
            "state": wanted.state,
            "finished": wanted.finished,
            "owner": wanted.owner,
            "prefix": None if wanted.text is None else f"{_literal(wanted.text)}%",
            "within": None if wanted.text is None else f"%{_literal(wanted.text)}%",
            "machines": None if wanted.machines is None else list(wanted.machines),
            "without": list(without),
            "most": limit,
        }
        async with self._within_limits() as connection:
            rows = (await connection.execute(_page(), values)).mappings().all()
        return [FoundMachine(**{**row, "work": _json(row["work"])}) for row in rows]

    async def busy(self, topics: Sequence[str], *, before: float) -> list[str]:
        """Machines that have waited for a stage since before a Unix time, the `MOST_BUSY` longest first."""
        values = {"topics": list(topics), "before": before, "most": MOST_BUSY}
        async with self._within_limits() as connection:
            return list((await connection.execute(_BUSY, values)).scalars())

    async def counts(self, topics: Sequence[str]) -> tuple[list[Count], int]:
        """Machines by kind and state, and how many were counted: at most `MOST_COUNTED`."""
        values = {"topics": list(topics), "most": MOST_COUNTED}
        async with self._within_limits() as connection:
            counts = [Count(*row) for row in await connection.execute(_COUNTS, values)]
            total = await connection.scalar(_TOTAL, values)
        return counts, int(total or 0)

    async def spawners(self, machines: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Machine → who spawned it, by id and name, for those that are archived."""
        async with self._database.connect() as connection:
            rows = await connection.execute(_SPAWNERS, {"machines": list(machines)})
            return {machine: (user, name) for machine, user, name in rows}

    async def names(self, users: Collection[str]) -> dict[str, str]:
        """User → name, for those who have an account."""
        async with self._database.connect() as connection:
            rows = await connection.execute(_NAMES, {"users": list(users)})
            return {row.id: row.name for row in rows}

    @asynccontextmanager
    async def _within_limits(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._database.begin() as connection:
                await connection.execute(_LIMIT, {"ms": str(round(LONGEST_S * 1000))})
                yield connection
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == _CANCELLED:
                raise TooWide from error
            raise


@cache
def _page() -> Any:
    return text((Path(__file__).parent / "machine_search.sql").read_text(encoding="utf-8"))


def _literal(asked: str) -> str:
    """A pattern of LIKE that means the text itself."""
    return asked.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _json(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str) else value
