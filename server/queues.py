"""The RQ queues as a means of transport: what is waiting in them, and nothing about results.

An RQ job is an envelope around one outbox item. Its id is the effect id with `_` for `:` (RQ
allows no colon), so that the same effect waits at most once. RQ neither retries nor keeps
results; an envelope that outlived its worker is found and removed by the sweeper.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.serializers import JSONSerializer

from machines.effect import Queue as QueueName
from server.fair_line import FairLine, Place, Waiting
from storage.machine_store import OutboxItem

JOB_QUEUES: tuple[QueueName, ...] = ("cpu", "gpu")

ENTRY_POINT = "server.worker.run_envelope"
"""Written into every envelope, since RQ wants a function; the worker opens envelopes itself."""

_NO_LIMIT = -1

URGENT = "query-"
"""What the ids of machines begin with whose work somebody waits for: it comes before all other work."""


def job_id_of(effect_id: str) -> str:
    """The RQ job id of an effect."""
    return effect_id.replace(":", "_")


def effect_id_of(job_id: str) -> str:
    """The inverse of `job_id_of`."""
    return ":".join(job_id.rsplit("_", 2))


def is_urgent(item: OutboxItem) -> bool:
    """Whether somebody waits for the work."""
    return item.machine.startswith(URGENT)


def item_in(kwargs: dict[str, Any]) -> OutboxItem:
    """The outbox item in an envelope."""
    return OutboxItem(**kwargs["item"], behalf=kwargs.get("behalf", ""))


class JobQueues:
    """The two queues on one Redis. Every method blocks its thread and raises `redis.RedisError`."""

    def __init__(self, url: str) -> None:
        # Any, since replies are typed for every option at once; here they are bytes.
        # Few retries, since every caller tries again in its own time.
        self._redis: Any = Redis.from_url(url, retry=Retry(ExponentialBackoff(cap=0.4, base=0.05), 3))
        self._queues = {name: self.open(name, self._redis) for name in JOB_QUEUES}
        self._lines = {
            name: FairLine(self._redis, queue.key, urgent=URGENT) for name, queue in self._queues.items()
        }

    @staticmethod
    def open(name: str, connection: Redis) -> Any:
        """RQ's own queue, with JSON instead of pickles."""
        return Queue(name, connection=connection, serializer=JSONSerializer)

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()

    def enqueue(self, item: OutboxItem, *, place: Place = "turn") -> bool:
        """Put an item in its queue; False if it is there, or is being worked on, already.

        Urgent work comes before all other, and people take turns within each (see `server.fair_line`).
        """
        queue, job_id = self._queues[item.queue], job_id_of(item.effect_id)
        try:
            queue.enqueue(
                ENTRY_POINT,
                # Apart, so that a worker of an earlier release can open it.
                kwargs={
                    "item": {name: value for name, value in asdict(item).items() if name != "behalf"},
                    "behalf": item.behalf,
                },
                job_id=job_id,
                unique=True,
                job_timeout=_NO_LIMIT,
                result_ttl=0,
                failure_ttl=60,
                description=item.name,
            )
        except DuplicateJobError:
            return False
        self._lines[item.queue].place(job_id, item.behalf or item.topic, place)
        return True

    def line(self, queue: QueueName) -> FairLine:
        """In which the jobs of a queue wait."""
        return self._lines[queue]

    def waiting_counts(self) -> dict[QueueName, Waiting]:
        """How many jobs wait in each queue, and how many of them are urgent."""
        return {name: line.count() for name, line in self._lines.items()}

    def urgent_waits(self, queue: QueueName) -> bool:
        """Whether the next job of a queue is one that somebody waits for."""
        return self._lines[queue].urgent_waits()

    def redis_memory(self) -> tuple[int, int]:
        """Bytes that the queues' Redis uses, and may use; 0 for no limit."""
        told = self._redis.info("memory")
        return int(told["used_memory"]), int(told["maxmemory"])

    def requeue(self, item: OutboxItem) -> None:
        """Put an item in its queue whatever traces a dead worker has left of it."""
        self.forget(item.queue, item.effect_id)
        self.enqueue(item)

    def forget(self, queue: QueueName, effect_id: str) -> None:
        """Remove every trace of an effect.

        By key and not by `Job.delete`, which fails on executions that have expired.
        """
        rq, job_id = self._queues[queue], job_id_of(effect_id)
        started = rq.started_job_registry.key
        executions = [
            key for key in self._redis.zrange(started, 0, -1) if key.decode().partition(":")[0] == job_id
        ]
        pipeline = self._redis.pipeline()
        pipeline.lrem(rq.key, 0, job_id)
        pipeline.lrem(rq.intermediate_queue_key, 0, job_id)
        self._lines[queue].forget(pipeline, [job_id])
        if executions:
            pipeline.zrem(started, *executions)
            pipeline.delete(*(f"rq:execution:{key.decode()}" for key in executions))
        pipeline.delete(f"rq:job:{job_id}", f"rq:executions:{job_id}")
        pipeline.zrem(rq.failed_job_registry.key, job_id)
        pipeline.execute()

    def waiting(self, queue: QueueName) -> list[str]:
        """Effect ids in their order; the first is next."""
        return [effect_id_of(job_id) for job_id in self._queues[queue].get_job_ids()]

    def items(self, queue: QueueName, most: int) -> list[OutboxItem | None]:
        """The first `most` items in their order; None for one that is being taken out just now."""
        rq = self._queues[queue]
        jobs = rq.job_class.fetch_many(
            rq.get_job_ids(0, most), connection=self._redis, serializer=JSONSerializer
        )
        return [None if job is None else item_in(job.kwargs) for job in jobs]

    def taken(self, queue: QueueName) -> list[str]:
        """Effect ids that some worker, alive or dead, took out of the queue and has not put away."""
        rq = self._queues[queue]
        keys = self._redis.zrange(rq.started_job_registry.key, 0, -1)
        keys += self._redis.lrange(rq.intermediate_queue_key, 0, -1)
        return [effect_id_of(key.decode().partition(":")[0]) for key in keys]

    def taken_by(self, queue: QueueName, worker: str) -> list[str]:
        """Effect ids that the worker of that name had begun, whether it still lives or not."""
        keys = [
            key.decode() for key in self._redis.zrange(self._queues[queue].started_job_registry.key, 0, -1)
        ]
        return [
            effect_id_of(key.partition(":")[0])
            for key in keys
            if self._redis.hget(f"rq:execution:{key}", "worker_name") == worker.encode()
        ]

    def lengths(self) -> dict[str, int]:
        """How many jobs wait in each queue."""
        return {name: self._redis.llen(queue.key) for name, queue in self._queues.items()}

    def clear_away(self, queue: QueueName, effect_ids: Iterable[str]) -> None:
        """Remove the envelopes of effects that nobody awaits and nobody works on."""
        for effect_id in effect_ids:
            self.forget(queue, effect_id)
