"""Work of machines that this release cannot step: kept, told once, and taken up by one that can.

A machine of another definition of its chart is no failure of the work that it awaits. Its job goes
out of the queue without a result and stays awaited; no try is counted, and nothing is given up.
"""

from __future__ import annotations

import logging

from machines.errors import Unsteppable, WrongChart
from machines.releases import brought_up
from machines.snapshot import Snapshot
from machines.step import check_configuration, hash_of
from storage.machine_store import OutboxItem
from storage.runtime_records import RuntimeRecords

logger = logging.getLogger(__name__)

HOLD_S = 30.0
"""Between two looks at work that is held; another release may be running beside this one."""


def check_steppable(snapshot: Snapshot) -> None:
    """Nothing, if this release can step the machine.

    Raises:
        Unsteppable: Why it cannot.
    """
    check_configuration(brought_up(snapshot, hash_of(snapshot.kind)))


class Holding:
    """Notes what is held, for every process that comes across it."""

    def __init__(self, records: RuntimeRecords) -> None:
        self._records = records
        self._told: set[tuple[str, ...]] = set()

    def tell(self, machine: str, error: Unsteppable) -> None:
        """Say it, once for each definition (and for each machine whose snapshot is broken)."""
        kind = machine.partition("-")[0]
        what = (kind, error.chart_hash) if isinstance(error, WrongChart) else (kind, error.code, machine)
        if what in self._told:
            return
        self._told.add(what)
        logger.error(
            "A machine waits for a release that can step it.",
            extra={
                "action": "machine.held",
                "machine": machine,
                "kind": kind,
                "code": error.code,
                "error": error.message,
            },
        )

    async def hold(self, item: OutboxItem, error: Unsteppable) -> None:
        """Keep an effect from now on."""
        self.tell(item.machine, error)
        await self._records.hold(item.effect_id)

    async def since(self, item: OutboxItem) -> float | None:
        """When an effect was held last, in Unix seconds; None for one that is not."""
        return await self._records.held_since(item.effect_id)

    async def let_go(self, item: OutboxItem) -> None:
        """It goes its way again."""
        await self._records.let_go(item.effect_id)
