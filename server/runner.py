"""One job from its lease to its result: the same in every worker, whatever the handler does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_hex
from typing import Literal

from handlers.job import Cancelled, GaveWay, Handlers, Permanent, Temporary
from machines.effect import effect_from
from machines.errors import StepError, Unsteppable
from machines.event import Event
from machines.work import Started
from server import watching
from server.engine import Engine, MachineMissing
from server.results import Results
from server.running_job import RunningJob
from storage.machine_store import OutboxItem, Unavailable
from storage.outage import is_outage
from storage.partials import Partials
from storage.runtime_records import RuntimeRecords

logger = logging.getLogger(__name__)

LEASE_S = 10.0
"""How long a worker may be silent before its job is thought lost."""
_WATCH_S = 1.0
OUTAGE_S = 120.0
"""How long a job waits for a store that does not answer before it has failed."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 3.0
_UNWIND_S = 3.0
"""How long a handler may take to see that it is cancelled before its task is."""

Ended = Literal["done", "failed", "unawaited", "held", "cancelled", "kept", "gave_way"]


@dataclass(frozen=True)
class Current:
    """What a worker does now, since a Unix time."""

    item: OutboxItem
    since: float


class Runner:
    """Runs one job at a time.

    Args:
        holder: Name of the lease; another worker's differs.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        results: Results,
        records: RuntimeRecords,
        partials: Partials,
        handlers: Handlers,
        holder: str,
        lease_s: float = LEASE_S,
        outage_s: float = OUTAGE_S,
    ) -> None:
        self._engine = engine
        self._results = results
        self._records = records
        self._partials = partials
        self._handlers = handlers
        self._holder = holder
        self._lease_s = lease_s
        self._outage_s = outage_s
        self.current: Current | None = None
        """Read by the thread that renews the lease."""
        self.ended = 0
        self.on_start: Callable[[], None] = lambda: None
        """Told at the start of each job."""

    async def run(self, item: OutboxItem) -> Ended:
        """Do the work of an effect, unless somebody else does it or nobody awaits it.

        It is kept for another release where this one cannot step the machine (see `server.holding`).

        Cancelling this gives the job back: its lease is dropped and no result is sent. So it is with one
        that gave way to urgent work: it is to be queued again.

        Raises:
            Busy, Unavailable: The job has no result; whoever finds it without a lease runs it again.
        """
        store = self._engine.store
        if not await store.take_lease(item.effect_id, self._holder, ttl_s=self._lease_s):
            await self._records.count("jobs.held")
            return "held"
        self.current = Current(item, time.time())
        self.on_start()
        try:
            with watching.job(item) as job:
                try:
                    job.ended = ended = await self._run(item)
                except Unsteppable as error:
                    await self._results.holding.hold(item, error)
                    job.ended = ended = "kept"
            await self._records.count(f"jobs.{ended}")
            return ended
        finally:
            self.current = None
            self.ended += 1
            await store.drop_lease(item.effect_id, self._holder)

    async def _run(self, item: OutboxItem) -> Ended:
        stage = await self._results.stage_of(item)
        if stage is None:
            return "unawaited"
        attempt = await self._start(item, stage)
        if attempt is None:
            return "unawaited"
        job = RunningJob(item, self._engine, self._partials, stage=stage, attempt=attempt)
        try:
            result = await self._through_outages(item, job)
        except Cancelled:
            return "cancelled"
        except GaveWay:
            await self._records.gave_way(item.effect_id, attempt)
            return "gave_way"
        except Temporary as error:
            return await self._broke(item, error.reason, temporary=True)
        except Permanent as error:
            return await self._broke(item, error.reason, temporary=False)
        except Exception as error:  # whatever a handler raises ends here
            logger.exception(
                "A handler failed in a way it does not foresee.",
                extra={"action": "job.failed", "effect": item.effect_id, "effect_name": item.name},
            )
            reason = f"it failed unexpectedly ({type(error).__name__})"
            return await self._broke(item, reason, temporary=True)
        return "done" if await self._results.deliver(item, result) else "cancelled"

    async def _start(self, item: OutboxItem, stage: str) -> int | None:
        """Tell the machine that its work runs; the attempt, or None when it awaits the work no more.

        A job that gave way is still the same attempt, and its machine knows that it runs.
        """
        if attempt := await self._records.goes_on(item.effect_id):
            return attempt
        started = Started(effect=item.effect_id, stage=stage)
        try:
            outcome = await self._engine.send(
                item.machine,
                started.name,
                started.model_dump(mode="json"),
                source="handler",
                event_id=f"{item.effect_id}:started:{token_hex(8)}",
            )
        except (StepError, MachineMissing):
            if await self._results.stage_of(item) is None:
                return None
            raise
        work = outcome.snapshot.context["work"][stage] if outcome.snapshot is not None else {}
        return int(work.get("attempt", 1))

    async def _through_outages(self, item: OutboxItem, job: RunningJob) -> Event:
        """The handler's result; a store that is away for a while costs none of the chart's attempts.

        A handler that runs twice leaves what one run leaves, so it simply runs again.
        """
        until, pause_s = time.monotonic() + self._outage_s, _FIRST_PAUSE_S
        while True:
            try:
                return await self._watched(item, job)
            except Exception as error:
                if not is_outage(error) or time.monotonic() > until:
                    raise
                logger.warning(
                    "A job met a store that does not answer, and begins again.",
                    extra={"action": "job.outage", "effect": item.effect_id, "error": type(error).__name__},
                )
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            await self._ask(job)

    async def _ask(self, job: RunningJob) -> None:
        with contextlib.suppress(Unavailable):
            await job.ask()
        if job.cancelled:
            raise Cancelled

    async def _watched(self, item: OutboxItem, job: RunningJob) -> Event:
        work = asyncio.create_task(self._handle(item, job))
        watch = asyncio.create_task(self._cancel_when_unawaited(job, work))
        try:
            return await work
        except asyncio.CancelledError:
            # The watch cancels only a job that nobody awaits; anyone else gives the job back.
            if job.cancelled and not _is_cancelling():
                raise Cancelled from None
            raise
        finally:
            watch.cancel()

    async def _handle(self, item: OutboxItem, job: RunningJob) -> Event:
        try:
            effect = effect_from(item.name, item.args)
            handler = self._handlers[type(effect)]
        except (KeyError, TypeError) as error:
            raise Permanent(f"this release cannot do “{item.name}”") from error
        result = await handler(effect, job)
        if result is None:
            raise TypeError(f"the handler of {item.name} returned nothing")
        return result

    async def _cancel_when_unawaited(self, job: RunningJob, work: asyncio.Task[Event]) -> None:
        while not job.cancelled:
            await asyncio.sleep(_WATCH_S)
            try:
                await job.ask()
            except Unavailable:
                continue
        await asyncio.sleep(_UNWIND_S)
        work.cancel()

    async def _broke(self, item: OutboxItem, reason: str, *, temporary: bool) -> Ended:
        logger.info(
            "A job failed.",
            extra={
                "action": "job.broke",
                "effect": item.effect_id,
                "effect_name": item.name,
                "temporary": temporary,
            },
        )
        sent = await self._results.broke(item, reason, temporary=temporary)
        return "failed" if sent else "cancelled"


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
