"""A worker process: takes jobs from one queue, one at a time, on one event loop for its whole life.

It never forks, since numba's threads and CUDA do not survive that. The main thread waits in RQ's
blocking read and runs the loop while a job is on; pools and models belong to the loop and stay.
Ended by SIGTERM it finishes its job, or gives it back after `GIVE_BACK_S`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from types import FrameType
from typing import Any

from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.exceptions import InvalidJobOperation, NoSuchJobError, StopRequested
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty
from rq.utils import now
from rq.worker_registration import clean_worker_registry
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.job import Handlers
from machines.effect import Queue
from server import tracing
from server.engine import Busy, Engine
from server.environment import SettingsError, load_settings
from server.logs import configure_logging
from server.pacing import Pacing
from server.pinning import keep_to, parse_cores
from server.pulse import Place, Pulse, device_of, die_with
from server.queues import JOB_QUEUES, JobQueues, is_urgent, item_in
from server.results import Results
from server.room import PAUSE_S, has_room
from server.runner import Ended, Runner
from server.services import WORKER_CONNECTIONS, Services, ServicesError, attached_services
from server.settings import Settings
from storage.archive import resting_in
from storage.database import create_engine
from storage.machine_store import MachineStore, OutboxItem
from storage.machine_store_redis import RedisMachineStore
from storage.outage import is_outage
from storage.partials import Partials
from storage.redis_client import connect
from storage.runtime_records import RuntimeRecords

logger = logging.getLogger(__name__)

DEFAULT_BINDINGS = "server.bindings:worker"
GIVE_BACK_S = 4.0
"""How long a job may go on after SIGTERM; the supervisor waits a little longer."""

OUTAGE_PAUSE_S = 0.5

_KEEP_S = 7 * 86_400
"""RQ's own heartbeat is not sent during a job; its records must outlive the longest one."""


@dataclass(frozen=True)
class WorkerSetup:
    """What the bindings build the handlers of one worker from; all of it lives on its loop.

    Attributes:
        redis: Replies are bytes.
    """

    settings: Settings
    services: Services
    queue: Queue
    store: MachineStore
    engine: Engine
    redis: Redis
    database: AsyncEngine


Bindings = Callable[[WorkerSetup], AbstractAsyncContextManager[Handlers]]
"""Opens what the handlers of a queue need, yields them, and closes it."""


class NoDeathPenalty(BaseDeathPenalty):  # type: ignore[misc]
    """RQ's time limit, switched off: deadlines are the charts'."""

    def setup_death_penalty(self) -> None:
        """Nothing."""

    def cancel_death_penalty(self) -> None:
        """Nothing."""


class EffectWorker(SimpleWorker):  # type: ignore[misc]
    """RQ's loop around `Runner`."""

    death_penalty_class = NoDeathPenalty
    max_connection_wait_time = 2.0

    def __init__(
        self,
        queue: Queue,
        *,
        name: str,
        connection: BlockingRedis,
        queues: JobQueues,
        loop: asyncio.AbstractEventLoop,
        runner: Runner,
        pulse: Pulse,
    ) -> None:
        rq_queue = JobQueues.open(queue, connection)
        super().__init__([rq_queue], name=name, connection=connection, serializer=JSONSerializer)
        self._job_queues = queues
        self._line = queues.line(queue)
        self._pacing = Pacing()
        self._loop = loop
        self._runner = runner
        self._pulse = pulse
        self._task: asyncio.Task[Ended] | None = None
        self._occupied = False

    def work_on(self) -> None:
        """Work until a signal; unlike RQ's own loop it does not end with the connection to Redis.

        A worker that ended would take its models with it, and need seconds to load them again.
        """
        self._install_signal_handlers()
        try:
            while not self._stop_requested:
                try:
                    self.bootstrap("WARNING")
                    while not self._stop_requested:
                        self._pacing.wait(self._line, lambda: self._pulse.pressure)
                        self.execute_job(*self.dequeue_job_and_maintain_ttl(self.dequeue_timeout))
                        self.heartbeat()
                except RedisError as error:
                    wait_for("queue", error)
        except StopRequested:
            pass
        finally:
            with contextlib.suppress(RedisError):
                self.teardown()

    def register_birth(self) -> None:
        """As RQ's, also for a worker that was cut off: its name is its own."""
        self.connection.delete(self.key)
        super().register_birth()

    def execute_job(self, job: Any, queue: Any) -> None:
        """As RQ's; a signal meanwhile must not cut its bookkeeping in two."""
        self._occupied = True
        try:
            super().execute_job(job, queue)
        except RedisError as error:
            wait_for("queue", error)
            self._put_back(item_in(job.kwargs))
        finally:
            self._occupied = False

    def _put_back(self, item: OutboxItem) -> None:
        """Queue a job again whose envelope may have been lost; if it was done, the next run sees that."""
        while not self._stop_requested:
            try:
                self._job_queues.requeue(item)
                return
            except RedisError as error:
                wait_for("queue", error)

    def perform_job(self, job: Any, queue: Any) -> bool:
        """Run the effect in the envelope `job` and put the envelope away."""
        self.prepare_job_execution(job, remove_from_intermediate_queue=True)
        job.started_at = now()
        item = item_in(job.kwargs)
        lacking = not has_room(item)
        began = time.monotonic()
        given_back = lacking or self._run(item)
        if not lacking:
            took_s = time.monotonic() - began
            self._pacing.ended(took_s, urgent=is_urgent(item))
        self.handle_execution_ended(job, queue, _KEEP_S)
        try:
            self.handle_job_success(job, queue, queue.started_job_registry)
        except (InvalidJobOperation, NoSuchJobError):
            # A worker that was stopped for long enough finds its envelope removed by the sweeper.
            logger.warning(
                "An envelope had been removed.",
                extra={"action": "job.envelope_gone", "effect": item.effect_id},
            )
        if given_back:
            # What does not fit goes behind what may fit, or to a worker that has the room.
            self._job_queues.enqueue(item, place="back" if lacking else "front")
        if lacking:
            time.sleep(PAUSE_S)
        return True

    def _run(self, item: OutboxItem) -> bool:
        """Whether the job was given back instead of done."""
        while not self._stop_requested:
            self._task = self._loop.create_task(self._runner.run(item))
            try:
                return self._loop.run_until_complete(self._task) == "gave_way"
            except asyncio.CancelledError:
                break
            except Exception as error:
                if not is_outage(error) and not isinstance(error, Busy):
                    raise
                wait_for("store", error)
            finally:
                self._task = None
        logger.info("A job was given back.", extra={"action": "job.given_back", "effect": item.effect_id})
        return True

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """On SIGTERM or SIGINT: leave an idle wait at once, and a job when it is over or given back."""
        self._pulse.stopping = True
        self._stop_requested = True
        task = self._task
        if task is not None:
            self._loop.call_soon_threadsafe(lambda: self._loop.call_later(GIVE_BACK_S, task.cancel))
        elif not self._occupied:
            raise StopRequested

    def subscribe(self) -> None:
        """Take no commands: the supervisor and the charts decide."""

    def run_maintenance_tasks(self) -> None:
        """Only forget dead workers: RQ's own cleaning fails jobs that the sweeper has queued again."""
        for queue in self.queues:
            clean_worker_registry(queue)
        self.last_cleaned_at = now()

    def get_heartbeat_ttl(self, job: Any) -> int:
        """How long RQ remembers that the job is on, in seconds."""
        return _KEEP_S


def wait_for(service: str, error: Exception) -> None:
    """Say what this process waits for, and do so for a moment."""
    logger.warning(
        "A worker waits for a service that does not answer.",
        extra={"action": "worker.waits", "service": service, "error": str(error)},
    )
    time.sleep(OUTAGE_PAUSE_S)


def run_envelope(**_: Any) -> None:
    """Stands in envelopes as the function to call, for workers that are not ours.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError("Jobs of Casewire are run by `casewire worker`, not by RQ's own worker.")


def load_bindings(path: str) -> Bindings:
    """The function named by `module:function`.

    Raises:
        ImportError, AttributeError: There is none.
    """
    module, _, function = path.partition(":")
    bindings: Bindings = getattr(importlib.import_module(module), function)
    return bindings


def _end(_: int, __: FrameType | None) -> None:
    raise SystemExit(0)


def work(
    settings: Settings,
    services: Services,
    *,
    queue: Queue,
    name: str,
    bindings: Bindings,
    parent: int | None = None,
    pinned: bool = False,
) -> None:
    """Work until SIGTERM or SIGINT; for the main thread of a process of its own.

    Args:
        name: Unique to this life of this process; it holds the leases.
        parent: Process id of the one that started this and that this must not outlive.
        pinned: Whether this process was told which cores to keep to.
    """
    if parent is not None:
        die_with(parent)
    # Until RQ has handlers of its own; a worker that is asked to end while it begins ends in order, too.
    signal.signal(signal.SIGTERM, _end)
    end_tracing = tracing.start(settings, "worker")
    place = Place(name, queue, services.redis_url, settings.shards, parent, pinned, settings.pressure_memory)
    pulse = Pulse(place)
    pulse.start()
    queues = JobQueues(services.queue_url)
    connection = BlockingRedis.from_url(services.queue_url)
    try:
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            stack = AsyncExitStack()
            try:
                ready = loop.run_until_complete(_open(stack, settings, services, queue, name, bindings))
                pulse.ready(ready, *device_of(queue))
                _through_outages(
                    lambda: EffectWorker(
                        queue,
                        name=name,
                        connection=connection,
                        queues=queues,
                        loop=loop,
                        runner=ready,
                        pulse=pulse,
                    )
                ).work_on()
            finally:
                loop.run_until_complete(stack.aclose())
    finally:
        pulse.stop()
        end_tracing()
        connection.close()
        queues.close()


def _through_outages(make: Callable[[], EffectWorker]) -> EffectWorker:
    """The worker, made anew while Redis, which RQ asks for its version, does not answer."""
    while True:
        try:
            return make()
        except RedisError as error:
            wait_for("queue", error)


async def _open(
    stack: AsyncExitStack,
    settings: Settings,
    services: Services,
    queue: Queue,
    name: str,
    bindings: Bindings,
) -> Runner:
    redis = await connect(services.redis_url)
    stack.push_async_callback(redis.aclose)
    database = create_engine(services.database_url, pool_size=WORKER_CONNECTIONS)
    stack.push_async_callback(database.dispose)
    store = RedisMachineStore(redis, shards=settings.shards, era="unsettled")
    engine = Engine(store, shards=settings.shards, resting=resting_in(database))
    setup = WorkerSetup(settings, services, queue, store, engine, redis, database)
    handlers = await stack.enter_async_context(bindings(setup))
    records = RuntimeRecords(redis)
    return Runner(
        engine=engine,
        results=Results(engine, records),
        records=records,
        partials=Partials(redis),
        handlers=handlers,
        holder=name,
    )


def main(arguments: list[str] | None = None) -> None:
    """The process that the supervisor starts: settings from the environment, the rest as options."""
    parser = argparse.ArgumentParser(prog="python -m server.worker", description=work.__doc__)
    parser.add_argument("--queue", choices=JOB_QUEUES, required=True)
    parser.add_argument("--name", default=f"worker-{os.getpid()}", help="unique to this life of this process")
    parser.add_argument("--bindings", default=DEFAULT_BINDINGS, help="module:function, see `Bindings`")
    parser.add_argument("--parent", type=int, help="process id without which this worker ends")
    parser.add_argument("--cores", type=parse_cores, default=(), help="processor cores to keep to: 0-3,8")
    options = parser.parse_args(arguments)
    if options.cores:
        keep_to(options.cores)
    try:
        settings = load_settings()
        services = attached_services(settings)
    except (SettingsError, ServicesError) as error:
        sys.exit(str(error))
    configure_logging(settings.log_level, settings.log_format)
    work(
        settings,
        services,
        queue=options.queue,
        name=options.name,
        bindings=load_bindings(options.bindings),
        parent=options.parent,
        pinned=bool(options.cores),
    )


if __name__ == "__main__":
    main()
