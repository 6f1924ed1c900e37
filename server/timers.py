"""Sends the events of timers that have fallen due."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from machines.errors import StepError, Unsteppable
from server import tracing, watching
from server.ending import pass_on_cancellation
from server.engine import Busy, Engine, MachineMissing
from server.holding import HOLD_S, Holding
from storage.machine_store import DueTimer
from storage.runtime_records import RuntimeRecords

logger = logging.getLogger(__name__)

EVERY_S = 0.15
_BATCH = 100
_AT_A_TIME = 16


class Timers:
    """Polls; any number of servers may, since a timer's event counts once.

    Args:
        clock: Unix time in seconds.
    """

    def __init__(
        self,
        engine: Engine,
        records: RuntimeRecords,
        *,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._records = records
        self._every_s = every_s
        self._clock = clock
        self._holding = Holding(records)
        self._held: dict[tuple[str, str, float], float] = {}
        self._turns = asyncio.Semaphore(_AT_A_TIME)

    async def run(self) -> None:
        """Fire until cancelled; a full batch is followed by the next at once.

        Raises:
            Unavailable: The store does not answer.
        """
        while True:
            pass_on_cancellation()
            if await self.fire_due() < _BATCH:
                await asyncio.sleep(self._every_s)

    async def fire_due(self) -> int:
        """Fire what is due now; returns how many were."""
        now = time.monotonic()
        self._held = {key: until for key, until in self._held.items() if until > now}
        due = await self._engine.store.due_timers(self._clock(), limit=_BATCH + len(self._held))
        free = [timer for timer in due if _key(timer) not in self._held]
        async with asyncio.TaskGroup() as group:
            for timer in free:
                group.create_task(self._fire(timer))
        return len(free)

    async def _fire(self, timer: DueTimer) -> None:
        async with self._turns:
            try:
                with tracing.entering(""):
                    await self._engine.fire(timer)
                watching.timer_fired(self._clock() - timer.due)
            except Busy:
                return  # due still, at the next poll
            except Unsteppable as error:
                # Another release may step the machine: forgetting the timer would leave it stuck.
                self._held[_key(timer)] = time.monotonic() + HOLD_S
                self._holding.tell(timer.machine, error)
            except (StepError, MachineMissing) as error:
                logger.info(
                    "A timer came too late and was forgotten.",
                    extra={"action": "timer.dropped", "machine": timer.machine, "error": str(error)},
                )
                await self._records.count("timers.dropped")
                await self._engine.store.drop_timer(timer)


def _key(timer: DueTimer) -> tuple[str, str, float]:
    return timer.machine, timer.key, timer.due
