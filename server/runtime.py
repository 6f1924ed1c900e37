"""Everything that runs behind the requests of one server, started and ended together.

Each part is a coroutine without an end. One that fails is logged and started again after a pause,
so an outage of Redis or Postgres ends by itself; all state is in the stores, and any number of
servers may run all parts at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from secrets import token_hex

from redis.asyncio import Redis
from redis.exceptions import RedisClusterException, RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.job import Handlers
from server.dispatcher import IDLE_S, Dispatcher
from server.ending import end
from server.engine import Engine
from server.journalist import Journalist
from server.positions import Positions
from server.queues import JobQueues
from server.results import Results
from server.services import Services
from server.settings import Settings
from server.supervisor import GRACE_S, STOP_S, Supervisor
from server.sweeper import AFTER_S, EVERY_S, Sweeper
from server.timers import Timers
from server.worker import DEFAULT_BINDINGS
from storage.custody_heads import CustodyHeads
from storage.era import advance_marker, close_era
from storage.journal import CustodyJournal
from storage.journal_stream import JournalStream
from storage.partials import Partials
from storage.runtime_records import RuntimeRecords

logger = logging.getLogger(__name__)

ERA_EVERY_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


@dataclass(frozen=True)
class Pace:
    """How patient the parts are, in seconds; tests are in a hurry."""

    idle_s: float = IDLE_S
    sweep_after_s: float = AFTER_S
    sweep_every_s: float = EVERY_S
    grace_s: float = GRACE_S


@dataclass(frozen=True)
class Running:
    """What others may ask of the runtime."""

    queues: JobQueues
    records: RuntimeRecords
    supervisor: Supervisor
    sweeper: Sweeper
    journal: CustodyJournal
    heads: CustodyHeads


def custody_folder(services: Services) -> CustodyHeads:
    """The signed heads of this instance."""
    return CustodyHeads(services.data_dir / "custody")


@asynccontextmanager
async def runtime(
    settings: Settings,
    services: Services,
    *,
    engine: Engine,
    redis: Redis,
    database: AsyncEngine,
    inline: Handlers,
    bindings: str = DEFAULT_BINDINGS,
    beside: Mapping[str, Callable[[], Awaitable[None]]] | None = None,
    pace: Pace | None = None,
) -> AsyncIterator[Running]:
    """Run dispatcher, timers, sweeper, workers, journalist and era marker for as long as it is open.

    Args:
        redis: The machines' Redis; replies are bytes.
        inline: What does the inline effects.
        bindings: `module:function` that yields the handlers of a worker.
        beside: Further parts, by name.
    """
    pace = pace or Pace()
    name = f"{socket.gethostname()}-{os.getpid()}-{token_hex(4)}"
    records, partials = RuntimeRecords(redis), Partials(redis)
    results = Results(engine, records)
    queues = JobQueues(services.queue_url)
    journal, heads = CustodyJournal(database), custody_folder(services)
    sweeper = Sweeper(
        engine=engine,
        queues=queues,
        results=results,
        records=records,
        holder=name,
        after_s=pace.sweep_after_s,
        every_s=pace.sweep_every_s,
    )
    supervisor = Supervisor(
        settings,
        services,
        workers={"cpu": settings.cpu_workers, "gpu": settings.gpu_workers},
        store=engine.store,
        records=records,
        queues=queues,
        sweeper=sweeper,
        bindings=bindings,
        grace_s=pace.grace_s,
    )
    dispatcher = Dispatcher(
        engine=engine,
        queues=queues,
        results=results,
        records=records,
        partials=partials,
        inline=inline,
        consumer=name,
        idle_s=pace.idle_s,
    )
    journalist = Journalist(
        store=engine.store,
        stream=JournalStream(redis, shards=settings.shards),
        database=database,
        journal=journal,
        heads=heads,
    )

    async def mark_era() -> None:
        while True:
            await advance_marker(redis, database, shards=settings.shards)
            await asyncio.sleep(ERA_EVERY_S)

    first = [
        _start("journalist", journalist.follow),
        _start("custody heads", journalist.sign_regularly),
        _start("eviction", journalist.evict_regularly),
        _start("era", mark_era),
    ]
    then = [
        _start("dispatcher", dispatcher.run),
        _start("timers", Timers(engine, records).run),
        _start("sweeper", sweeper.run),
        _start("positions", Positions(engine, queues).run),
        *(_start(part, run) for part, run in (beside or {}).items()),
    ]
    # On its own, since ending workers in good order takes longer than ending the rest.
    workers = _start("workers", supervisor.run)
    try:
        yield Running(queues, records, supervisor, sweeper, journal, heads)
    finally:
        # What writes transitions ends first, then what carries them on.
        await asyncio.gather(end(then), end([workers], again_s=2 * STOP_S))
        await end(first)
        try:
            await close_era(redis)
        except (RedisError, RedisClusterException) as error:
            logger.warning(
                "Redis did not hear that all writers have stopped; the next start begins a new era.",
                extra={"action": "era.open", "error": str(error)},
            )
        finally:
            queues.close()


def _start(name: str, part: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    return asyncio.create_task(_keep(name, part), name=name)


async def _keep(name: str, part: Callable[[], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    pause_s = _FIRST_PAUSE_S
    while True:
        since = loop.time()
        try:
            await part()
        except Exception:  # the loop that keeps the part alive, whatever ended it
            logger.exception(
                "A part of the server failed and is started again.",
                extra={"action": "part.failed", "part": name},
            )
            _end_if_cancelled()
        if loop.time() - since > 2 * _LONGEST_PAUSE_S:
            pause_s = _FIRST_PAUSE_S
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def _end_if_cancelled() -> None:
    """A cancellation can arrive as another error, when closing a connection fails on its way out."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
