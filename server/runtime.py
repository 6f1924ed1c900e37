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
from server.ending import end, pass_on_cancellation
from server.engine import Engine
from server.gauging import Gauging
from server.import_feeding import Feeder
from server.journalist import Journalist
from server.positions import Positions
from server.queues import JobQueues
from server.resting import Resting
from server.results import Results
from server.services import Services
from server.settings import Settings
from server.supervisor import GRACE_S, STOP_S, Supervisor
from server.sweeper import AFTER_S, EVERY_S, Sweeper
from server.timers import Timers
from server.worker import DEFAULT_BINDINGS
from storage.arrivals import Arrivals
from storage.custody_heads import CustodyHeads
from storage.era import advance_marker, close_era
from storage.journal import CustodyJournal
from storage.journal_stream import JournalStream
from storage.outage import is_outage
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
    arrivals: Arrivals,
    bindings: str = DEFAULT_BINDINGS,
    beside: Mapping[str, Callable[[], Awaitable[None]]] | None = None,
    pace: Pace | None = None,
    name: str = "",
    alone: bool = True,
) -> AsyncIterator[Running]:
    """Run dispatcher, timers, sweeper, workers, journalist and era marker for as long as it is open.

    Args:
        redis: The machines' Redis; replies are bytes.
        inline: What does the inline effects.
        arrivals: Which contents the files of imports need.
        bindings: `module:function` that yields the handlers of a worker.
        beside: Further parts, by name.
        name: Unique to this life of this process; made up if it is empty.
        alone: False for one of several processes, whose owner runs the workers and marks the era.
    """
    pace = pace or Pace()
    name = name or f"{socket.gethostname()}-{os.getpid()}-{token_hex(4)}"
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
        workers={"cpu": settings.cpu_workers, "gpu": settings.gpu_workers} if alone else {},
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
    feeder = Feeder(engine, database, queues, arrivals, records, window=settings.import_window, holder=name)
    gauging = Gauging(engine.store, redis, queues, memory_from=settings.pressure_memory, holder=name)
    journalist = Journalist(
        store=engine.store,
        stream=JournalStream(redis, shards=settings.shards),
        database=database,
        journal=journal,
        heads=heads,
    )

    first = [
        keep("journalist", journalist.follow),
        keep("custody heads", journalist.sign_regularly),
        keep("eviction", journalist.evict_regularly),
    ]
    if alone:
        first.append(keep("era", lambda: mark_era(redis, database, shards=settings.shards, writer=name)))
    then = [
        keep("dispatcher", dispatcher.run),
        keep("timers", Timers(engine, records).run),
        keep("sweeper", sweeper.run),
        keep("imports", feeder.run),
        keep("resting", Resting(engine.store, database, holder=name).run),
        keep("positions", Positions(engine, queues, holder=name).run),
        keep("pressure", gauging.run),
        *(keep(part, run) for part, run in (beside or {}).items()),
    ]
    # On its own, since ending workers in good order takes longer than ending the rest.
    workers = keep("workers", supervisor.run)
    try:
        yield Running(queues, records, supervisor, sweeper, journal, heads)
    finally:
        # What writes transitions ends first, then what carries them on.
        await asyncio.gather(end(then), end([workers], again_s=2 * STOP_S))
        await end(first)
        if alone:
            await close_era_of(redis, name)
        queues.close()


async def mark_era(redis: Redis, database: AsyncEngine, *, shards: int, writer: str) -> None:
    """Tick, until cancelled, and be known as one who writes.

    Raises:
        RedisError, SQLAlchemyError: A store does not answer.
    """
    while True:
        await advance_marker(redis, database, shards=shards, writer=writer)
        pass_on_cancellation()
        await asyncio.sleep(ERA_EVERY_S)


async def close_era_of(redis: Redis, writer: str) -> None:
    """The last thing a writer does: note that it stops, which closes the era if it was the last."""
    try:
        await close_era(redis, writer)
    except (RedisError, RedisClusterException) as error:
        logger.warning(
            "Redis did not hear that all writers have stopped; the next start begins a new era.",
            extra={"action": "era.open", "error": str(error)},
        )


def keep(name: str, part: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
    """Run a part without an end in a task, again whenever it fails."""
    return asyncio.create_task(_keep(name, part), name=name)


async def _keep(name: str, part: Callable[[], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    pause_s = _FIRST_PAUSE_S
    while True:
        since = loop.time()
        try:
            await part()
        except Exception as error:  # the loop that keeps the part alive, whatever ended it
            if is_outage(error):
                logger.warning(
                    "A part of the server waits for a service that does not answer.",
                    extra={"action": "part.waits", "part": name, "error": type(error).__name__},
                )
            else:
                logger.exception(
                    "A part of the server failed and is started again.",
                    extra={"action": "part.failed", "part": name},
                )
        # It can also arrive as another error, when closing a connection fails on its way out.
        pass_on_cancellation()
        if loop.time() - since > 2 * _LONGEST_PAUSE_S:
            pause_s = _FIRST_PAUSE_S
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
