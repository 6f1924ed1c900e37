"""What the background processes leave in Redis for people to see: workers, counts, dead letters.

Nothing here is needed to carry on; it may be lost at any time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from redis.asyncio import Redis

WORKERS_KEY = "runtime:workers"
SERVERS_KEY = "runtime:servers"
COUNTS_KEY = "runtime:counts"
DEAD_KEY = "runtime:dead"
HELD_KEY = "runtime:held"
GAVE_WAY_KEY = "runtime:gave_way:"
PRESSURE_KEY = "runtime:pressure"

SILENT_S = 15.0
"""A worker that has not reported for so long is not shown."""
_FORGET_S = 3600.0
_GAVE_WAY_S = 3600
_PRESSURE_S = 10
"""A pressure that nobody measured for so long is none."""
_DEAD_LETTERS_KEPT = 1000


@dataclass(frozen=True)
class WorkerState:
    """What a worker says of itself.

    Attributes:
        name: Unique to one life of one process.
        state: starting, idle, busy or stopping.
        effect: Id of the effect it works on, "" while idle; `machine` awaits it.
        since: Unix seconds when that state began.
        device: What it computes on, such as `cpu` or a GPU's name.
        cores: Processor cores that it may run on, such as `0-3,8`.
        pinned: Whether it keeps to them because it was told to.
        memory_free_bytes: Main memory that it may still take; `memory_bytes` is all there is for it.
        gpu_memory_bytes: Of its GPU; 0 without one.
        jobs: How many it has ended.
        beat_at: Unix seconds of this report.
    """

    name: str
    queue: str
    host: str
    pid: int
    state: str
    effect: str
    effect_name: str
    machine: str
    since: float
    rss_bytes: int
    device: str
    jobs: int
    beat_at: float
    cores: str = ""
    pinned: bool = False
    memory_free_bytes: int = 0
    memory_bytes: int = 0
    gpu_memory_bytes: int = 0


@dataclass(frozen=True)
class ServerState:
    """What a server process says of itself.

    Attributes:
        name: Unique to one life of one process.
        sockets: Websockets that are open on it.
        streams: Event streams over HTTP that are open on it.
        topics: Topics that are followed on it, by so many subscribers.
        since: Unix seconds when it started.
        beat_at: Unix seconds of this report.
        memory_free_bytes: Main memory that it may still take; `memory_bytes` is all there is for it.
        lag_s: By how much it came late to this report.
    """

    name: str
    host: str
    pid: int
    sockets: int
    topics: int
    subscribers: int
    since: float
    rss_bytes: int
    beat_at: float
    streams: int = 0
    memory_free_bytes: int = 0
    memory_bytes: int = 0
    lag_s: float = 0.0


@dataclass(frozen=True)
class PressureState:
    """How short the instance is, of each from 0 to 1 (see `server.pressure`).

    Attributes:
        memory: Main memory, where it is shortest.
        redis: Memory of the fullest Redis.
        queues: Workers, for what somebody waits for.
        loop: Time of the slowest server process.
        measured_at: Unix seconds; 0 where nobody has measured lately.
    """

    memory: float = 0.0
    redis: float = 0.0
    queues: float = 0.0
    loop: float = 0.0
    measured_at: float = 0.0


class RuntimeRecords:
    """Written by dispatchers and workers, read by the status page."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis  # its replies are typed for every option at once; these are bytes

    async def report(self, state: WorkerState) -> None:
        """A worker is alive."""
        await self._redis.hset(WORKERS_KEY, state.name, orjson.dumps(asdict(state)))

    async def forget_worker(self, name: str) -> None:
        """A worker has ended."""
        await self._redis.hdel(WORKERS_KEY, name)

    async def workers(self) -> list[WorkerState]:
        """Workers that have reported lately, by queue and name."""
        found = [WorkerState(**orjson.loads(v)) for v in (await self._redis.hgetall(WORKERS_KEY)).values()]
        now = time.time()
        for state in found:
            if state.beat_at < now - _FORGET_S:
                await self.forget_worker(state.name)
        alive = [state for state in found if state.beat_at >= now - SILENT_S]
        return sorted(alive, key=lambda state: (state.queue, state.name))

    async def worker(self, name: str) -> WorkerState | None:
        """The last report of one worker, however old."""
        value = await self._redis.hget(WORKERS_KEY, name)
        return None if value is None else WorkerState(**orjson.loads(value))

    async def report_server(self, state: ServerState) -> None:
        """A server process is alive."""
        await self._redis.hset(SERVERS_KEY, state.name, orjson.dumps(asdict(state)))

    async def forget_server(self, name: str) -> None:
        """A server process has ended."""
        await self._redis.hdel(SERVERS_KEY, name)

    async def server(self, name: str) -> ServerState | None:
        """The last report of one server process, however old."""
        value = await self._redis.hget(SERVERS_KEY, name)
        return None if value is None else ServerState(**orjson.loads(value))

    async def servers(self) -> list[ServerState]:
        """Server processes that have reported lately, by name; the others are forgotten."""
        found = [ServerState(**orjson.loads(v)) for v in (await self._redis.hgetall(SERVERS_KEY)).values()]
        now = time.time()
        for state in found:
            if state.beat_at < now - _FORGET_S:
                await self.forget_server(state.name)
        return sorted((s for s in found if s.beat_at >= now - SILENT_S), key=lambda state: state.name)

    async def tell_pressure(self, pressure: PressureState) -> None:
        """Have everybody know the pressure for the next few seconds."""
        await self._redis.set(PRESSURE_KEY, orjson.dumps(asdict(pressure)), ex=_PRESSURE_S)

    async def pressure(self) -> PressureState:
        """What was measured last; none where nobody has measured for some seconds."""
        value = await self._redis.get(PRESSURE_KEY)
        return PressureState() if value is None else PressureState(**orjson.loads(value))

    async def count(self, what: str, by: int = 1) -> None:
        """Add to a counter, such as `results.dropped`."""
        await self._redis.hincrby(COUNTS_KEY, what, by)

    async def counts(self) -> dict[str, int]:
        """Every counter so far."""
        found = await self._redis.hgetall(COUNTS_KEY)
        return {key.decode(): int(value) for key, value in sorted(found.items())}

    async def hold(self, effect_id: str) -> None:
        """An effect waits for a release that can step its machine."""
        await self._redis.hset(HELD_KEY, effect_id, time.time())

    async def held_since(self, effect_id: str) -> float | None:
        """When it was held last, in Unix seconds; None for one that is not."""
        at = await self._redis.hget(HELD_KEY, effect_id)
        return None if at is None else float(at)

    async def let_go(self, effect_id: str) -> None:
        """It waits no longer."""
        await self._redis.hdel(HELD_KEY, effect_id)

    async def gave_way(self, effect_id: str, attempt: int) -> None:
        """A job has begun, and goes on when urgent work is done: that will be the same attempt."""
        await self._redis.set(GAVE_WAY_KEY + effect_id, attempt, ex=_GAVE_WAY_S)

    async def goes_on(self, effect_id: str) -> int:
        """The attempt that a job which gave way goes on with; 0 for one that begins. Asked once."""
        return int(await self._redis.getdel(GAVE_WAY_KEY + effect_id) or 0)

    async def bury(self, letter: Mapping[str, Any]) -> None:
        """Keep an effect that could not be delivered (the newest 1,000 stay)."""
        await self._redis.xadd(
            DEAD_KEY, {"letter": orjson.dumps(dict(letter))}, maxlen=_DEAD_LETTERS_KEPT, approximate=False
        )

    async def dead_letters(self, limit: int = 50) -> list[dict[str, Any]]:
        """Newest first: `effect_id, name, machine, topic, reason, at`."""
        rows = await self._redis.xrevrange(DEAD_KEY, count=limit)
        return [orjson.loads(fields[b"letter"]) for _, fields in rows]
