"""Several server processes on one port, behind one owner of the data folder.

The owner runs the private services, the workers and the server processes, marks the era, and
serves nothing itself. Every server process listens on a socket of its own (SO_REUSEPORT), among
which the system spreads the connections; one that dies takes only its own with it, and gets no new
ones until it is back. All else that a server runs, each of them runs: state is in the stores.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

from redis.exceptions import RedisError

from server.app import bind
from server.children import Pauses, child_environment, stop
from server.ending import end
from server.engine import Engine
from server.logs import configure_logging
from server.prepare import prepare
from server.queues import JobQueues
from server.results import Results
from server.runtime import close_era_of, keep, mark_era
from server.services import Services, ServicesError, running_services
from server.serving import GRACE_S
from server.settings import Settings
from server.supervisor import STOP_S, Supervisor
from server.sweeper import Sweeper
from storage.database import create_engine
from storage.era import settle_era
from storage.machine_store_redis import RedisMachineStore
from storage.redis_client import connect
from storage.runtime_records import RuntimeRecords

logger = logging.getLogger(__name__)

SILENT_S = 60.0
"""A server process that has not reported for so long, while Redis answers, is stuck."""
END_S = GRACE_S + 15.0
_LOOK_S = 1.0


class Servers:
    """Keeps server processes running; `pids` holds those that run now, by number."""

    def __init__(self, processes: int, records: RuntimeRecords) -> None:
        self._processes = processes
        self._records = records
        self.pids: dict[int, int] = {}

    async def run(self) -> None:
        """Keep them running until cancelled; then end them, by force if they do not in time."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._processes):
                group.create_task(self._fill(number), name=f"server {number}")

    async def _fill(self, number: int) -> None:
        pauses = Pauses()
        while True:
            name, since = f"server-{number}-{token_hex(6)}", time.monotonic()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "server.one_of_several", f"--name={name}", f"--parent={os.getpid()}",
                env=child_environment(),
                # Its own session: Ctrl-C at the terminal reaches the owner, which then ends them.
                start_new_session=True,
            )  # fmt: skip
            self.pids[number] = process.pid
            logger.info(
                "A server process was started.",
                extra={"action": "server.started", "server": name, "pid": process.pid},
            )
            try:
                await self._attend(name, process)
            except asyncio.CancelledError:
                await stop(process, within_s=END_S)
                raise
            finally:
                self.pids.pop(number, None)
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            logger.warning(
                "A server process ended and is started again.",
                extra={"action": "server.ended", "server": name, "code": process.returncode},
            )
            await self._forget(name)
            await asyncio.sleep(pauses.after(time.monotonic() - since))

    async def _attend(self, name: str, process: asyncio.subprocess.Process) -> None:
        """Wait until the process ends, by itself or killed from here because it is stuck."""
        ended = asyncio.ensure_future(process.wait())
        beat_at, heard_at = 0.0, time.monotonic()
        try:
            while not (await asyncio.wait({ended}, timeout=_LOOK_S))[0]:
                try:
                    state = await self._records.server(name)
                except RedisError:  # says nothing about the process
                    heard_at = time.monotonic()
                    continue
                if state is not None and state.beat_at != beat_at:
                    beat_at, heard_at = state.beat_at, time.monotonic()
                elif time.monotonic() - heard_at > SILENT_S:
                    logger.warning(
                        "A server process is killed, since it stopped reporting.",
                        extra={"action": "server.killed", "server": name},
                    )
                    process.kill()
                    await ended
        finally:
            ended.cancel()

    async def _forget(self, name: str) -> None:
        try:
            await self._records.forget_server(name)
        except RedisError as error:
            logger.info(
                "A dead server process is shown for a while.",
                extra={"action": "server.unforgotten", "server": name, "error": str(error)},
            )


async def serve_several(settings: Settings) -> None:
    """As `app.serve`, by `settings.processes` processes.

    Raises:
        ServicesError: The address or a service cannot be used; its text says what to do.
    """
    configure_logging(settings.log_level, settings.log_format)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopped.set)
    with _reserved(settings):
        async with running_services(settings) as services:
            await prepare(settings, services)
            logger.info(
                "Serving by several processes.",
                extra={"action": "serve", "address": settings.address, "processes": settings.processes},
            )
            await _own(settings, services, stopped)


async def _own(settings: Settings, services: Services, stopped: asyncio.Event) -> None:
    """Keep servers and workers until `stopped`, then end them, and the era after the last of them."""
    redis = await connect(services.redis_url)
    database = create_engine(services.database_url, pool_size=1)
    queues = JobQueues(services.queue_url)
    name = f"{socket.gethostname()}-{os.getpid()}-{token_hex(4)}"
    records = RuntimeRecords(redis)
    try:
        era = await settle_era(redis, database, shards=settings.shards)
        engine = Engine(RedisMachineStore(redis, shards=settings.shards, era=era), shards=settings.shards)
        sweeper = Sweeper(
            engine=engine, queues=queues, results=Results(engine, records), records=records, holder=name
        )
        supervisor = Supervisor(
            settings,
            services,
            workers={"cpu": settings.cpu_workers, "gpu": settings.gpu_workers},
            store=engine.store,
            records=records,
            queues=queues,
            sweeper=sweeper,
        )
        marking = keep("era", lambda: mark_era(redis, database, shards=settings.shards, writer=name))
        workers = keep("workers", supervisor.run)
        servers = keep("servers", Servers(settings.processes, records).run)
        try:
            await stopped.wait()
        finally:
            await asyncio.gather(
                end([servers], again_s=2 * END_S), end([workers], again_s=2 * STOP_S), end([marking])
            )
            await close_era_of(redis, name)
    finally:
        queues.close()
        await database.dispose()
        await redis.aclose()


def shared_listener(settings: Settings) -> socket.socket:
    """A socket on the address, which other processes of this user may share; not listening yet.

    Raises:
        ServicesError: It cannot be bound, or this system shares no ports.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ServicesError("This system cannot share a port among processes: set CASEWIRE_PROCESSES to 1.")
    return bind(settings, shared=True)


@contextmanager
def _reserved(settings: Settings) -> Iterator[None]:
    """Hold the address without listening, so that no other user can take a share of it.

    Another instance of this user could; so it is taken alone first, which fails if anybody listens.
    """
    with bind(settings):
        pass
    with shared_listener(settings):
        yield
