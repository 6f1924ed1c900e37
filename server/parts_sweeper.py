"""Forgets what was sent and never finished, once nobody can resume it any more."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from server.by_turns import by_turns
from server.engine import Engine
from storage.parts import PartStore
from storage.transfers import KEEP_S, Transfer, Transfers, UnknownTransfer

logger = logging.getLogger(__name__)

EVERY_S = 300.0
_AT_ONCE = 100
_LONGER = timedelta(hours=1)
_NAMES_AT_ONCE = 1000

_TURN = "parts-0-sweep"
"""A lease by which the servers agree on who sweeps, in the shape of an effect id of shard 0."""


class PartsSweeper:
    """Looks every `every_s`; of many servers one sweeps.

    What a machine still waits for is left to that machine's own timer, which fails it with a reason
    and has its parts dropped; what failed with all its bytes there is left to its user.

    Args:
        holder: Unique to this life of this process.
    """

    def __init__(
        self,
        engine: Engine,
        transfers: Transfers,
        parts: PartStore,
        *,
        holder: str,
        every_s: float = EVERY_S,
        orphan_s: float = KEEP_S,
    ) -> None:
        self._engine = engine
        self._transfers = transfers
        self._parts = parts
        self._holder = holder
        self._every_s = every_s
        self._orphan_s = orphan_s

    async def run(self) -> None:
        """Sweep until cancelled.

        Raises:
            Unavailable, SQLAlchemyError: A store does not answer.
        """
        await by_turns(self._engine.store, _TURN, self._holder, self.sweep, every_s=self._every_s, missed=2)

    async def sweep(self) -> int:
        """One round; how many transfers and groups of parts were forgotten."""
        forgotten = 0
        while found := await self._transfers.expired(_AT_ONCE):
            for transfer in found:
                if await self._is_needed(transfer):
                    # Out of the way of those behind it, and looked at again.
                    await self._transfers.prolong(transfer, datetime.now(UTC) + _LONGER)
                    continue
                await asyncio.to_thread(self._parts.delete, transfer.place)
                await self._transfers.drop(transfer.id)
                forgotten += 1
        groups = await asyncio.to_thread(lambda: list(self._parts.groups(idle_s=self._orphan_s)))
        for start in range(0, len(groups), _NAMES_AT_ONCE):
            some = groups[start : start + _NAMES_AT_ONCE]
            known = await self._transfers.known_groups(some)
            for group in set(some) - known:
                await asyncio.to_thread(self._parts.delete_group, group)
                forgotten += 1
        await self._transfers.forget_gone()
        if forgotten:
            logger.info(
                "Parts of uploads that nobody went on with were forgotten.",
                extra={"action": "parts.swept", "count": forgotten},
            )
        return forgotten

    async def _is_needed(self, transfer: Transfer) -> bool:
        if not transfer.machine and not transfer.whole:
            return False
        try:
            whole = await self._transfers.get(transfer.whole) if transfer.whole else transfer
        except UnknownTransfer:
            return False
        snapshot = await self._engine.load(whole.machine)
        if snapshot is None:
            return False
        waits = {"receiving", "paused"} & set(snapshot.configuration)
        return bool(waits) or snapshot.context["parts"] == whole.id
