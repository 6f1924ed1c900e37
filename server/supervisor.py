"""Keeps the worker processes of one server alive, and ends those that do what nobody awaits.

Each slot holds one process at a time. One that ends is started again, at once after a long life
and after growing pauses otherwise; the job that it left is queued again without waiting for its
lease to run out. One that goes on with a cancelled job, or has stopped reporting, is killed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_hex

from redis.exceptions import RedisError

from machines.effect import Queue
from server.children import Pauses, child_environment, stop
from server.pinning import format_cores, memory_nodes, own_cores, shares, thread_settings
from server.queues import JobQueues
from server.services import Services
from server.settings import Settings
from server.sweeper import Sweeper
from server.worker import DEFAULT_BINDINGS, GIVE_BACK_S
from storage.machine_store import MachineStore, Unavailable
from storage.runtime_records import RuntimeRecords

logger = logging.getLogger(__name__)

GRACE_S = 10.0
"""How long a worker may go on with a job after nobody awaits it any more."""
SILENT_S = 90.0
"""A worker that has not reported for so long is stuck in a way that no thread of it can move."""
_LOOK_S = 1.0
STOP_S = GIVE_BACK_S + 2.0


@dataclass(frozen=True)
class Slot:
    """Place for one worker process at a time."""

    queue: Queue
    number: int
    cores: tuple[int, ...] = ()
    """To which it keeps; empty for all."""


class Supervisor:
    """Runs the workers of this server.

    Args:
        workers: Queue → how many.
        bindings: `module:function`, see `server.worker.Bindings`.
    """

    def __init__(
        self,
        settings: Settings,
        services: Services,
        *,
        workers: Mapping[Queue, int],
        store: MachineStore,
        records: RuntimeRecords,
        queues: JobQueues,
        sweeper: Sweeper,
        bindings: str = DEFAULT_BINDINGS,
        grace_s: float = GRACE_S,
    ) -> None:
        self._settings = settings
        self._services = services
        places = [(queue, number) for queue, count in workers.items() for number in range(count)]
        cores = shares(settings.pin, len(places), cores=own_cores(), nodes=memory_nodes())
        self._slots = [Slot(*place, share) for place, share in zip(places, cores, strict=True)]
        self._store = store
        self._records = records
        self._queues = queues
        self._sweeper = sweeper
        self._bindings = bindings
        self._grace_s = grace_s
        self.pids: dict[Slot, int] = {}
        """The processes that run now."""

    async def run(self) -> None:
        """Keep every slot filled until cancelled; then end the workers, by force after a few seconds."""
        if not self._slots:  # all workers run elsewhere
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            for slot in self._slots:
                group.create_task(self._fill(slot), name=f"worker {slot.queue} {slot.number}")

    async def _fill(self, slot: Slot) -> None:
        pauses = Pauses()
        while True:
            name = f"{slot.queue}-{slot.number}-{token_hex(6)}"
            since = time.monotonic()
            process = await self._start(slot, name)
            self.pids[slot] = process.pid
            try:
                await self._attend(name, process)
            except asyncio.CancelledError:
                await stop(process, within_s=STOP_S)
                raise
            finally:
                self.pids.pop(slot, None)
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            logger.warning(
                "A worker ended and is started again.",
                extra={"action": "worker.ended", "worker": name, "code": process.returncode},
            )
            await self._clear_up(slot.queue, name)
            await asyncio.sleep(pauses.after(time.monotonic() - since))

    async def _start(self, slot: Slot, name: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "server.worker",
            f"--queue={slot.queue}",
            f"--name={name}",
            f"--bindings={self._bindings}",
            f"--parent={os.getpid()}",
            *([f"--cores={format_cores(slot.cores)}"] if slot.cores else []),
            env=self._environment() | thread_settings(slot.cores),
            # Its own session: Ctrl-C at the terminal reaches this process, which then ends its workers.
            start_new_session=True,
        )
        logger.info(
            "A worker was started.",
            extra={"action": "worker.started", "worker": name, "pid": process.pid, "queue": slot.queue},
        )
        return process

    def _environment(self) -> dict[str, str]:
        """Addresses go by the environment, which other users cannot read, for they may hold passwords."""
        own = {
            "REDIS_URL": self._services.redis_url,
            "CASEWIRE_QUEUE_URL": self._services.queue_url,
            "DATABASE_URL": self._services.database_url,
            "CASEWIRE_DATA": str(self._services.data_dir),
            "CASEWIRE_SHARDS": str(self._settings.shards),
            "CASEWIRE_LOG_LEVEL": self._settings.log_level,
            "CASEWIRE_LOG_FORMAT": self._settings.log_format,
        }
        return child_environment() | own

    async def _attend(self, name: str, process: asyncio.subprocess.Process) -> None:
        """Wait until the process ends, by itself or killed from here."""
        ended = asyncio.ensure_future(process.wait())
        effect, unawaited_since, heard_at = "", None, time.monotonic()
        beat_at = 0.0
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=_LOOK_S)
                try:
                    state = await self._records.worker(name)
                    now = time.monotonic()
                    if state is not None and state.beat_at != beat_at:
                        beat_at, heard_at = state.beat_at, now
                        if state.effect != effect:
                            effect, unawaited_since = state.effect, None
                    if not effect or await self._store.is_pending(effect):
                        unawaited_since = None
                    else:
                        unawaited_since = unawaited_since or now
                except (RedisError, Unavailable):  # says nothing about the worker
                    heard_at = time.monotonic()
                    continue
                why = ""
                if unawaited_since is not None and now - unawaited_since > self._grace_s:
                    why = "it went on with a job that nobody awaits"
                elif now - heard_at > SILENT_S:
                    why = "it stopped reporting"
                if why and not ended.done():
                    logger.warning(
                        "A worker is killed.",
                        extra={"action": "worker.killed", "worker": name, "why": why, "effect": effect},
                    )
                    process.kill()
                    await ended
        finally:
            ended.cancel()

    async def _clear_up(self, queue: Queue, name: str) -> None:
        """Hand on what a dead worker left, now rather than after its lease."""
        try:
            await self._records.forget_worker(name)
            # RQ's record of it, which unlike the worker's own report is there before the job begins.
            for effect in await asyncio.to_thread(self._queues.taken_by, queue, name):
                await self._store.drop_lease(effect, name)
                if not any(await self._store.leases([effect])):
                    await self._sweeper.rescue_by_id(effect)
        except (RedisError, Unavailable) as error:
            logger.warning(
                "The job of a dead worker waits for the sweeper.",
                extra={"action": "worker.uncleared", "worker": name, "error": str(error)},
            )
