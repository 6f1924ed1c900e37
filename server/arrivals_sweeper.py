"""Forgets which bytes were expected by uploads that never came to them, once none can any more."""

from __future__ import annotations

import logging

from sqlalchemy.ext.asyncio import AsyncEngine

from machines.snapshot import Snapshot
from server.by_turns import by_turns
from server.engine import Engine
from storage.archive import archived
from storage.arrivals import Arrivals

logger = logging.getLogger(__name__)

EVERY_S = 3600.0
OLDER_S = 3 * 86_400.0
"""Far beyond the longest time from expecting bytes to noting them: a worker has a day to assemble a file."""
_AT_ONCE = 100

_TURN = "arrivals-0-sweep"
"""A lease by which the servers agree on who sweeps, in the shape of an effect id of shard 0."""


class ArrivalsSweeper:
    """Looks every `every_s`; of many servers one sweeps.

    What a machine on its way may still need is left to that machine, however slow it is, and what is
    expected anew while this looks is kept.

    Args:
        holder: Unique to this life of this process.
    """

    def __init__(
        self,
        engine: Engine,
        database: AsyncEngine,
        arrivals: Arrivals,
        *,
        holder: str,
        every_s: float = EVERY_S,
        older_s: float = OLDER_S,
    ) -> None:
        self._engine = engine
        self._database = database
        self._arrivals = arrivals
        self._holder = holder
        self._every_s = every_s
        self._older_s = older_s

    async def run(self) -> None:
        """Sweep until cancelled.

        Raises:
            Unavailable, SQLAlchemyError, BlobsUnavailable: A store does not answer.
        """
        await by_turns(self._engine.store, _TURN, self._holder, self.sweep, every_s=self._every_s, missed=2)

    async def sweep(self) -> int:
        """One round; how many needs were forgotten."""
        forgotten, after = 0, ""
        while found := await self._arrivals.stale(older_s=self._older_s, after=after, limit=_AT_ONCE):
            after = found[-1]
            for upload in found:
                if not await self._may_come(upload):
                    forgotten += await self._arrivals.abandon(upload, older_s=self._older_s)
        if forgotten:
            logger.info(
                "Bytes that were expected for uploads that never came to them are needed no more.",
                extra={"action": "arrivals.swept", "count": forgotten},
            )
        return forgotten

    async def _may_come(self, upload: str) -> bool:
        snapshot = await self._engine.load(upload)
        if snapshot is None:
            async with self._database.connect() as connection:
                snapshot = await archived(connection, upload)
        return snapshot is not None and not has_ended(snapshot)


def has_ended(upload: Snapshot) -> bool:
    """Whether an upload that is no evidence needs none of its bytes; one that failed before they had an
    address expects them anew when it is tried again."""
    failed = "failed" in upload.configuration and not upload.context["sha256"]
    return upload.terminated or failed
