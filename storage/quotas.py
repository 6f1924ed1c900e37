"""How many bytes a person and a case may hold: stored evidence, and what is on its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_USED = """
SELECT coalesce((SELECT sum(bytes) FROM evidence WHERE {evidence} = :who), 0)
  + coalesce((
    SELECT sum(coalesce(t.length, t.received)) FROM transfers t WHERE t.{transfer} = :who AND (
      t.state = 'open' OR t.state = 'taken' AND t.kind <> 'partial'
        AND (t.stored = '' OR t.taken_at > now() - interval '10 minutes')
        AND NOT EXISTS (SELECT FROM evidence e WHERE e.upload = t.machine AND e.case_id = t.case_id)
    )
  ), 0)
  + coalesce((
    SELECT sum(f.bytes) FROM import_files f JOIN imports i ON i.id = f.import_id
    WHERE i.{imported} = :who AND NOT f.found AND f.state IN ('received', 'queued', 'working', 'retrying')
      AND NOT EXISTS (SELECT FROM evidence e WHERE e.upload = f.machine AND e.case_id = i.case_id)
      AND NOT EXISTS (SELECT FROM transfers t WHERE t.machine = f.machine AND t.state <> 'gone')
  ), 0)
"""
"""What is taken counts until it is evidence, or has been found to be none; so do the small files of folders,
which come without a transfer and may wait long for their turn."""


class OverQuota(Exception):
    """It does not fit.

    Attributes:
        whose: `case` or `person`.
        limit: In bytes.
        used: Bytes stored and on their way already.
        more: Bytes that were asked for.
    """

    def __init__(self, whose: str, limit: int, used: int, more: int) -> None:
        holder = "this case holds" if whose == "case" else "your uploads hold"
        super().__init__(
            f"{holder} {in_units(used)} of at most {in_units(limit)}, so {in_units(more)} more do not fit: "
            "delete evidence that is not needed, or ask for more room"
        )
        self.whose, self.limit, self.used, self.more = whose, limit, used, more


def in_units(count: int) -> str:
    """So many bytes as people say it.

    >>> in_units(1), in_units(999), in_units(1_500), in_units(60_000_000)
    ('1 byte', '999 bytes', '1.5 kB', '60.0 MB')
    """
    if count < 1000:
        return "1 byte" if count == 1 else f"{count} bytes"
    value, units = count / 1000, ["kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:,.1f} {units[0]}"


@dataclass(frozen=True)
class Used:
    """How much of a quota is used, in bytes.

    Attributes:
        whose: `case`, or `person` for all cases of one together.
    """

    whose: Literal["case", "person"]
    limit: int
    used: int


@dataclass(frozen=True)
class Quotas:
    """Limits in bytes; 0 means none."""

    user_bytes: int = 0
    case_bytes: int = 0

    async def check(
        self, connection: AsyncConnection, case: str, user: str, more: int, *, noted: bool = False
    ) -> None:
        """Refuse what does not fit; two who ask at once are asked one after the other.

        Args:
            noted: This transaction has written down the `more` bytes already, so that they are among the
                used ones, and takes them back where they are refused.

        Raises:
            OverQuota: It does not.
        """
        await self._one_after_the_other(connection, case, user)
        for one in await self.used(connection, case, user):
            before = max(0, one.used - more) if noted else one.used
            if before + more > one.limit:
                raise OverQuota(one.whose, one.limit, before, more)

    async def room(self, connection: AsyncConnection, case: str, user: str) -> int | None:
        """How many more bytes fit; None where there is no limit."""
        await self._one_after_the_other(connection, case, user)
        left = [max(0, one.limit - one.used) for one in await self.used(connection, case, user)]
        return min(left, default=None)

    async def used(self, connection: AsyncConnection, case: str, user: str) -> list[Used]:
        """How much is used of each quota that there is, the case's first."""
        found = []
        if self.case_bytes:
            sql = text(_USED.format(evidence="case_id", transfer="case_id", imported="case_id"))
            found.append(Used("case", self.case_bytes, int(await connection.scalar(sql, {"who": case}) or 0)))
        if self.user_bytes:
            sql = text(_USED.format(evidence="uploaded_by", transfer="user_id", imported="owner"))
            found.append(
                Used("person", self.user_bytes, int(await connection.scalar(sql, {"who": user}) or 0))
            )
        return found

    async def _one_after_the_other(self, connection: AsyncConnection, case: str, user: str) -> None:
        limited = (("case", case, self.case_bytes), ("person", user, self.user_bytes))
        for key in [f"quota:{whose}:{who}" for whose, who, limit in limited if limit]:
            await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:key))"), {"key": key})
