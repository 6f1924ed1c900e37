"""Who writes the mentions of a case does so alone.

The lock is held from the look at the persons of interest to the commit, and a search for a person
begins after that person is committed. So evidence that is linked meanwhile either waits for the lock
and meets the person, or has committed and is searched.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_MENTIONS = text("SELECT pg_advisory_xact_lock(hashtextextended('mentions:' || :case, 0))")


async def lock_mentions(connection: AsyncConnection, case: str) -> None:
    """Keep everybody else from writing mentions of a case until this transaction ends."""
    await connection.execute(_MENTIONS, {"case": case})
