"""How many bytes a person and a case may hold: stored evidence, and what is on its way."""

from __future__ import annotations

from dataclasses import dataclass

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
            f"{holder} {used} of at most {limit} bytes, so {more} more do not fit: "
            "delete evidence that is not needed, or ask for more room"
        )
        self.whose, self.limit, self.used, self.more = whose, limit, used, more


@dataclass(frozen=True)
class Quotas:
    """Limits in bytes; 0 means none."""

    user_bytes: int = 0
    case_bytes: int = 0

    async def check(self, connection: AsyncConnection, case: str, user: str, more: int) -> None:
        """Refuse what does not fit; two who ask at once are asked one after the other.

        Raises:
            OverQuota: It does not.
        """
        for whose, limit, used in await self._used(connection, case, user):
            if used + more > limit:
                raise OverQuota(whose, limit, used, more)

    async def room(self, connection: AsyncConnection, case: str, user: str) -> int | None:
        """How many more bytes fit; None where there is no limit."""
        left = [max(0, limit - used) for _, limit, used in await self._used(connection, case, user)]
        return min(left, default=None)

    async def _used(self, connection: AsyncConnection, case: str, user: str) -> list[tuple[str, int, int]]:
        found = []
        for whose, who, limit, evidence, transfer, imported in (
            ("case", case, self.case_bytes, "case_id", "case_id", "case_id"),
            ("person", user, self.user_bytes, "uploaded_by", "user_id", "owner"),
        ):
            if limit:
                lock = {"key": f"quota:{whose}:{who}"}
                await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:key))"), lock)
                sql = text(_USED.format(evidence=evidence, transfer=transfer, imported=imported))
                used = await connection.scalar(sql, {"who": who})
                found.append((whose, limit, int(used or 0)))
        return found
