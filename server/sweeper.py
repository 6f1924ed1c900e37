"""Finds the awaited effects that got lost: nobody works on them and no queue holds them.

A job that waits in its queue is not lost, however long it waits. One that never reached it, because
a dispatcher died with it in its hands, is put there. One that was taken out of it and has neither
lease nor result lost its worker, and is queued again; after `MOST_TRIES` such ends it is given up,
since whatever kills workers may be in the job itself. One whose machine this release cannot step is
left alone, and queued once a release can: no try is counted for that.
"""

from __future__ import annotations

import asyncio
import logging
import time

from machines.effect import Queue
from machines.errors import StepError, Unsteppable
from server.by_turns import by_turns
from server.engine import Engine
from server.holding import HOLD_S, check_steppable
from server.queues import JOB_QUEUES, JobQueues
from server.results import Results
from storage.machine_store import OutboxItem
from storage.runtime_records import RuntimeRecords

logger = logging.getLogger(__name__)

AFTER_S = 20.0
"""Age from which an awaited effect is looked for; every effect on its normal way is queued by then."""
EVERY_S = 5.0
MOST_TRIES = 3

_TURN = "sweeper-0-turn"
"""A lease by which the servers agree on who sweeps, in the shape of an effect id of shard 0."""


class Sweeper:
    """Looks every `every_s`; of many servers one sweeps.

    Args:
        holder: Unique to this life of this process.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        queues: JobQueues,
        results: Results,
        records: RuntimeRecords,
        holder: str,
        after_s: float = AFTER_S,
        every_s: float = EVERY_S,
        hold_s: float = HOLD_S,
    ) -> None:
        self._engine = engine
        self._queues = queues
        self._results = results
        self._records = records
        self._holder = holder
        self._after_s = after_s
        self._every_s = every_s
        self._hold_s = hold_s
        self._looked_at: dict[str, float] = {}
        """Effects that are held, by the monotonic time of the last look."""
        self._suspects: set[str] = set()
        self._litter: set[str] = set()

    async def run(self) -> None:
        """Sweep until cancelled.

        Raises:
            Unavailable, RedisError: The store or the queue does not answer.
        """
        await by_turns(self._engine.store, _TURN, self._holder, self.sweep, every_s=self._every_s, missed=4)

    async def sweep(self) -> None:
        """Queue again what was missing in this sweep and the one before.

        Two sweeps, since a worker that has just taken a job has no lease for a moment.
        """
        missing = await self._missing()
        lost = [item for item in missing.values() if item.effect_id in self._suspects]
        taken = {effect for queue in JOB_QUEUES for effect in await self._taken(queue)} if lost else set()
        for item in lost:
            await (self.rescue(item) if item.effect_id in taken else self._queue_again(item))
        self._suspects = set(missing) - self._suspects
        self._looked_at = {effect: at for effect, at in self._looked_at.items() if effect in missing}
        litter = {effect: queue for queue in JOB_QUEUES for effect in await self._left_over(queue)}
        for effect_id in self._litter & litter.keys():
            await asyncio.to_thread(self._queues.forget, litter[effect_id], effect_id)
        self._litter = set(litter)

    async def rescue(self, item: OutboxItem) -> None:
        """Queue a lost effect again, or give it up; nothing if nobody awaits it, or while it is held."""
        if await self._is_held(item):
            return
        tries = await self._engine.store.retry_pending(item.effect_id, at=time.time())
        if tries == 0:
            return
        logger.warning(
            "A job lost its worker.",
            extra={"action": "job.lost", "effect": item.effect_id, "effect_name": item.name, "tries": tries},
        )
        if tries < MOST_TRIES:
            await self._records.count("jobs.rescued")
            await asyncio.to_thread(self._queues.requeue, item)
            return
        await self._records.count("jobs.given_up")
        reason = f"the worker died {tries} times on this"
        try:
            await self._results.broke(item, reason, temporary=False)
        except StepError:
            logger.exception(
                "A machine cannot take that its effect was given up.",
                extra={"action": "job.unheard", "effect": item.effect_id},
            )
        await asyncio.to_thread(self._queues.forget, item.queue, item.effect_id)

    async def _is_held(self, item: OutboxItem) -> bool:
        """Whether the effect is a matter of releases; one that is held no longer goes into its queue."""
        looked_at = self._looked_at.get(item.effect_id)
        if looked_at is not None and time.monotonic() - looked_at < self._hold_s:
            return True
        self._looked_at.pop(item.effect_id, None)
        holding = self._results.holding
        since = await holding.since(item)
        snapshot = await self._engine.load(item.machine)
        try:
            if snapshot is not None:
                check_steppable(snapshot)
        except Unsteppable as error:
            self._looked_at[item.effect_id] = time.monotonic()
            if since is None:
                await holding.hold(item, error)
            return True
        if since is None:
            return False
        if time.time() - since >= self._hold_s:
            await holding.let_go(item)
            await asyncio.to_thread(self._queues.requeue, item)
        return True

    async def _queue_again(self, item: OutboxItem) -> None:
        """Queue what no worker had: a dispatcher died with it, or the queue lost it. No try counts."""
        if await self._is_held(item) or not await self._engine.store.is_pending(item.effect_id):
            return
        logger.info(
            "A job had not reached its queue.",
            extra={"action": "job.unqueued", "effect": item.effect_id, "effect_name": item.name},
        )
        await self._records.count("jobs.queued_again")
        await asyncio.to_thread(self._queues.requeue, item)

    async def _taken(self, queue: Queue) -> list[str]:
        return await asyncio.to_thread(self._queues.taken, queue)

    async def rescue_by_id(self, effect_id: str) -> None:
        """`rescue` for one whose worker is known to be dead."""
        for pending in await self._engine.store.pending(older_than=time.time()):
            item = pending.item
            if item.effect_id == effect_id and effect_id not in await asyncio.to_thread(
                self._queues.waiting, item.queue
            ):
                await self.rescue(item)

    async def _missing(self) -> dict[str, OutboxItem]:
        store = self._engine.store
        pending = await store.pending(older_than=time.time() - self._after_s)
        items = {p.item.effect_id: p.item for p in pending if p.item.queue in JOB_QUEUES}
        if not items:
            return {}
        # First the queues, then the leases: in the other order a job taken in between looks lost.
        for queue in JOB_QUEUES:
            for effect_id in await asyncio.to_thread(self._queues.waiting, queue):
                items.pop(effect_id, None)
        leased = await store.leases(list(items))
        return {
            effect_id: item for (effect_id, item), held in zip(items.items(), leased, strict=True) if not held
        }

    async def _left_over(self, queue: Queue) -> list[str]:
        """What was taken from a queue, is not held, and has an answer: left by a dead worker.

        Or just about to be put away by a living one, so only what two sweeps see is removed.
        """
        store = self._engine.store
        taken = await self._taken(queue)
        if not taken:
            return []
        leased = await store.leases(taken)
        return [
            effect_id
            for effect_id, held in zip(taken, leased, strict=True)
            if not held and not await store.is_pending(effect_id)
        ]
