"""A part of a server that stops itself (SIGSTOP) at the worst moment: `python -m` this module, WHAT MACHINE.

It says `stopping` in the Redis list `SAID` just before, and what became of it after it was resumed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

from redis.asyncio import Redis

from handlers.job import Job
from handlers.notify import notify
from machines.event import Event
from machines.notification import Notify
from machines.step import Step
from server.dispatcher import Dispatcher
from server.engine import Engine
from server.queues import JobQueues
from server.results import Results
from storage.machine_store import Committed, Conflict, DueTimer
from storage.machine_store_redis import RedisMachineStore
from storage.partials import Partials
from storage.runtime_records import RuntimeRecords

SAID = "test:said"
FUTURE_S = 1e6
"""How far ahead timers are looked for."""


class StoppingStore(RedisMachineStore):
    """Stops the process between a step and its commit, once."""

    stopped = False

    async def commit(
        self, step: Step, *, event_id: str, actor: str, timer: DueTimer | None = None
    ) -> Committed:
        """See `MachineStore.commit`; says when another writer was faster."""
        if not self.stopped:
            self.stopped = True
            await stop(self._redis)
        try:
            return await super().commit(step, event_id=event_id, actor=actor, timer=timer)
        except Conflict:
            await self._redis.rpush(SAID, "conflict")
            raise


async def stop(redis: Redis) -> None:
    """Say so, and stop until somebody sends SIGCONT."""
    await redis.rpush(SAID, "stopping")
    os.kill(os.getpid(), signal.SIGSTOP)


async def main(what: str, machine: str) -> None:
    redis = Redis.from_url(os.environ["REDIS_URL"])
    shards = int(os.environ["CASEWIRE_SHARDS"])
    said = "done"
    match what:
        case "send":
            engine = Engine(StoppingStore(redis, shards=shards, era="test"), shards=shards)
            await engine.send(machine, "rename", {"title": "stopped"}, source="client", role="owner")
        case "timer":
            store = RedisMachineStore(redis, shards=shards, era="test")
            due = [t for t in await store.due_timers(time.time() + FUTURE_S, limit=9) if t.machine == machine]
            await stop(redis)
            outcome = await Engine(store, shards=shards).fire(due[0])
            said = "repeated" if outcome.repeated else "fired"
        case "inline":
            store = RedisMachineStore(redis, shards=shards, era="test")
            engine, records = Engine(store, shards=shards), RuntimeRecords(redis)
            ended = asyncio.Event()

            async def stopping_notify(effect: Notify, job: Job) -> Event | None:
                await stop(redis)
                await notify(effect, job, spawn=engine.spawn)
                ended.set()
                return None

            dispatcher = Dispatcher(
                engine=engine,
                queues=JobQueues(os.environ["CASEWIRE_QUEUE_URL"]),
                results=Results(engine, records),
                records=records,
                partials=Partials(redis),
                inline={Notify: stopping_notify},
                consumer="stopped",
            )
            running = asyncio.create_task(dispatcher.run())
            await ended.wait()
            await asyncio.sleep(0.2)
            running.cancel()
    await redis.rpush(SAID, said)
    await redis.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
