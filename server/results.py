"""The way back: what came of an effect reaches the machine that awaits it, at most once."""

from __future__ import annotations

import asyncio
import logging

from machines.errors import Stale, StepError, Unsteppable
from machines.event import Event
from machines.work import Broke
from server.engine import Busy, Engine, MachineMissing
from server.holding import Holding, check_steppable
from storage.machine_store import OutboxItem, Unavailable
from storage.runtime_records import RuntimeRecords

logger = logging.getLogger(__name__)

_PAUSES_S = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Between tries to reach a machine that is busy, or a store that does not answer."""


class Results:
    """Sends results; whatever nobody awaits any more is counted and dropped."""

    def __init__(self, engine: Engine, records: RuntimeRecords) -> None:
        self._engine = engine
        self._records = records
        self.holding = Holding(records)

    async def stage_of(self, item: OutboxItem) -> str | None:
        """The state that awaits the effect; None when no state does.

        Raises:
            Unsteppable: One does, but this release could not tell it any result.
        """
        snapshot = await self._engine.load(item.machine)
        if snapshot is None or item.effect_id not in snapshot.awaiting:
            return None
        check_steppable(snapshot)
        return snapshot.awaiting[item.effect_id]

    async def deliver(self, item: OutboxItem, result: Event) -> bool:
        """Send a result; False when nobody awaits it. One that the chart refuses breaks the stage.

        Raises:
            Unsteppable: This release cannot step the machine.
            Busy, Unavailable: Still, after several tries.
        """
        try:
            return await self._send(item, result)
        except Unsteppable:
            raise
        except StepError as error:
            logger.error(
                "A machine refused the result of its effect.",
                extra={"action": "result.refused", "effect": item.effect_id, "code": error.code},
                exc_info=True,
            )
            return await self.broke(item, f"its result was refused: {error.message}", temporary=False)

    async def broke(self, item: OutboxItem, reason: str, *, temporary: bool) -> bool:
        """Tell the machine that the work failed; False when nobody awaits it.

        Raises:
            StepError: The chart knows no `broke`.
            Busy, Unavailable: Still, after several tries.
        """
        stage = await self.stage_of(item)
        if stage is None:
            await self._dropped(item)
            return False
        broke = Broke(effect=item.effect_id, stage=stage, reason=reason, temporary=temporary)
        return await self._send(item, broke)

    async def _send(self, item: OutboxItem, event: Event) -> bool:
        data = event.model_dump(mode="json")
        for pause_s in (*_PAUSES_S, None):
            try:
                await self._engine.send(
                    item.machine, event.name, data, source="handler", event_id=item.effect_id
                )
                return True
            except (Stale, MachineMissing):
                await self._dropped(item)
                return False
            except (Busy, Unavailable):
                if pause_s is None:
                    raise
                await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")

    async def _dropped(self, item: OutboxItem) -> None:
        logger.debug(
            "A result was dropped, as nobody awaits it.",
            extra={"action": "result.dropped", "effect": item.effect_id},
        )
        await self._records.count("results.dropped")
