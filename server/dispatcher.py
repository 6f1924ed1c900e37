"""From the outbox onwards: jobs go to their queue, inline effects are done here.

An item leaves the outbox only after it has reached its queue or was done, so whatever a dying
process leaves behind is claimed by the next one. Inline effects of one machine run one after the
other, in order; those of different machines at the same time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence

from redis.exceptions import RedisError

from handlers.job import Cancelled, Handlers, Permanent
from machines.effect import effect_from
from machines.errors import StepError, Unsteppable
from server import watching
from server.ending import pass_on_cancellation
from server.engine import Engine
from server.queues import JobQueues
from server.results import Results
from server.running_job import RunningJob
from storage.machine_store import OutboxItem, Unavailable
from storage.partials import Partials
from storage.runtime_records import RuntimeRecords

logger = logging.getLogger(__name__)

MOST_DELIVERIES = 5
"""Tries at an inline effect, in this process and in those before it, until it is given up."""
IDLE_S = 60.0
"""How long a consumer may hold an item; longer than any inline effect runs."""
_BATCH = 100
_BLOCK_S = 1.0
_AT_A_TIME = 16
_MOST_INLINE = 500
"""Inline items in hand, beyond which no more are claimed."""
_PAUSE_S = 0.5
"""After the first failure; doubles with each."""


class Dispatcher:
    """Empties the outbox, together with the dispatchers of other servers.

    Args:
        consumer: Its name among them, unique to this life of this process.
        inline: What does the inline effects.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        queues: JobQueues,
        results: Results,
        records: RuntimeRecords,
        partials: Partials,
        inline: Handlers,
        consumer: str,
        idle_s: float = IDLE_S,
    ) -> None:
        self._engine = engine
        self._queues = queues
        self._results = results
        self._records = records
        self._partials = partials
        self._inline = inline
        self._consumer = consumer
        self._idle_s = idle_s
        self._lanes: dict[str, deque[OutboxItem]] = {}
        self._in_hand: set[tuple[int, str]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(_AT_A_TIME)

    async def run(self) -> None:
        """Dispatch until cancelled; inline effects under way are then cancelled, and come again.

        Raises:
            Unavailable: The store does not answer.
        """
        try:
            while True:
                pass_on_cancellation()
                if len(self._in_hand) >= _MOST_INLINE:
                    await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                    continue
                items = await self._engine.store.claim(
                    self._consumer, count=_BATCH, block_s=_BLOCK_S, idle_s=self._idle_s
                )
                await self._enqueue([item for item in items if item.queue != "inline"])
                for item in items:
                    if item.queue == "inline":
                        self._take_in_hand(item)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _enqueue(self, items: Sequence[OutboxItem]) -> None:
        pause_s = _PAUSE_S
        for item in items:
            while True:
                try:
                    with watching.enqueue(item):
                        await asyncio.to_thread(self._queues.enqueue, item)
                    break
                except RedisError as error:
                    logger.warning(
                        "The queue does not answer; the job waits in the outbox.",
                        extra={"action": "queue.down", "effect": item.effect_id, "error": str(error)},
                    )
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, 10.0)
            await self._engine.store.acknowledge(item)

    def _take_in_hand(self, item: OutboxItem) -> None:
        key = (item.shard, item.entry)
        if key in self._in_hand:  # claimed again, since it has been in hand for long
            return
        self._in_hand.add(key)
        lane = self._lanes.get(item.machine)
        if lane is not None:
            lane.append(item)
            return
        self._lanes[item.machine] = deque([item])
        task = asyncio.create_task(self._empty_lane(item.machine), name=f"inline effects of {item.machine}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _empty_lane(self, machine: str) -> None:
        lane = self._lanes[machine]
        try:
            while lane:
                pass_on_cancellation()
                item = lane.popleft()
                try:
                    async with self._turns:
                        await self._settle(item)
                except Exception:  # not acknowledged, so it is claimed again when it has been idle
                    logger.exception(
                        "An inline effect waits to be claimed again.",
                        extra={"action": "inline.waits", "effect": item.effect_id},
                    )
                finally:
                    self._in_hand.discard((item.shard, item.entry))
        finally:
            self._in_hand.difference_update((item.shard, item.entry) for item in lane)
            del self._lanes[machine]

    async def _settle(self, item: OutboxItem) -> None:
        """Do an inline effect or bury it; either way it leaves the outbox, unless it is held."""
        holding = self._results.holding
        was_held = item.delivery > 1 and await holding.since(item) is not None
        reason = f"it was tried {item.delivery - 1} times"
        for delivery in range(1 if was_held else item.delivery, MOST_DELIVERIES + 1):
            try:
                with watching.job(item) as job:
                    await self._do(item)
                    job.ended = "done"
                await self._engine.store.acknowledge(item)
                if was_held:
                    await holding.let_go(item)
                return
            except Unavailable:
                raise
            except Unsteppable as error:  # stays in the outbox, and is claimed again when it has been idle
                await holding.hold(item, error)
                return
            except Permanent as error:
                reason = error.reason
                break
            except Exception as error:  # whatever a handler raises ends here
                reason = f"it failed {delivery} times ({type(error).__name__})"
                logger.warning(
                    "An inline effect failed.",
                    extra={"action": "inline.failed", "effect": item.effect_id, "delivery": delivery},
                    exc_info=True,
                )
                if delivery < MOST_DELIVERIES:
                    await asyncio.sleep(_PAUSE_S * 2 ** (delivery - 1))
        await self._bury(item, reason)

    async def _do(self, item: OutboxItem) -> None:
        stage = await self._results.stage_of(item) or ""
        try:
            effect = effect_from(item.name, item.args)
            handler = self._inline[type(effect)]
        except (KeyError, TypeError) as error:
            raise Permanent(f"this release cannot do “{item.name}”") from error
        job = RunningJob(item, self._engine, self._partials, stage=stage, attempt=item.delivery)
        try:
            async with asyncio.timeout(effect.deadline_s):
                result = await handler(effect, job)
        except Cancelled:
            return
        if result is not None:
            await self._results.deliver(item, result)

    async def _bury(self, item: OutboxItem, reason: str) -> None:
        logger.error(
            "An inline effect was given up.",
            extra={"action": "inline.buried", "effect": item.effect_id, "effect_name": item.name},
        )
        try:
            await self._results.broke(item, reason, temporary=False)
        except Unsteppable as error:
            await self._results.holding.hold(item, error)
            return
        except StepError:
            logger.exception(
                "A machine cannot take that its effect was given up.",
                extra={"action": "inline.unheard", "effect": item.effect_id},
            )
        await self._records.bury(
            {
                "effect_id": item.effect_id,
                "name": item.name,
                "machine": item.machine,
                "topic": item.topic,
                "reason": reason,
                "at": time.time(),
            }
        )
        await self._records.count("inline.buried")
        await self._engine.store.acknowledge(item)
