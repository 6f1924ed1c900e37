"""The page that Prometheus reads: the sums of all processes, and the state of the instance as of now."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import version

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from server.followers_status import behind_s
from server.metrics import METRICS, SUM, Counter, Series, bucket_bounds
from server.parts import Parts
from server.services import health
from server.status import held_machines, queue_lengths
from storage.backlog import Backlogs
from storage.machine_store import Unavailable
from storage.marks import Marks
from storage.metric_sums import MetricSums
from storage.runtime_records import RuntimeRecords

_own = CollectorRegistry()
ProcessCollector(registry=_own)
GCCollector(registry=_own)


class _Collected:
    """What `prometheus_client` wants to be given."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        yield from self._metrics
        yield from _own.collect()


async def render(parts: Parts, accept: str) -> tuple[bytes, str]:
    """The page and its media type, in the format that an `Accept` header asks for.

    What a service that does not answer would tell is left out; `casewire_service_up` says so.
    """
    found = await asyncio.gather(_services(parts), _from_redis(parts), _from_postgres(parts))
    info = _gauge("casewire_build", "The release that answers.", ("version",), {(version("casewire"),): 1})
    encode, media_type = choose_encoder(accept)
    return encode(_Collected([info, *(metric for some in found for metric in some)])), media_type


async def _services(parts: Parts) -> list[Metric]:
    healths = await health(parts.services)
    return [
        _gauge(
            "casewire_service_up",
            "Whether a service answers.",
            ("service",),
            {(one.name,): float(one.ok) for one in healths},
        ),
        _gauge(
            "casewire_service_latency_seconds",
            "How long a service took to answer just now.",
            ("service",),
            {(one.name,): one.latency_ms / 1000 for one in healths if one.latency_ms is not None},
        ),
    ]


async def _from_redis(parts: Parts) -> list[Metric]:
    sums, records = MetricSums(parts.redis), RuntimeRecords(parts.redis)
    try:
        await parts.reporter.report()
        await parts.presence.report()
        series, servers = await sums.read(), await records.servers()
        counts, workers = await records.counts(), await records.workers()
        pressure = await records.pressure()
        backlog = await Backlogs(parts.redis, shards=parts.settings.shards).read()
        queued = await asyncio.to_thread(queue_lengths, parts.services.queue_url)
    except (RedisError, Unavailable):
        return []
    plain = {
        "casewire_servers": len(servers),
        "casewire_sockets": sum(server.sockets for server in servers),
        "casewire_streams": sum(server.streams for server in servers),
        "casewire_topics": sum(server.topics for server in servers),
        "casewire_subscribers": sum(server.subscribers for server in servers),
        "casewire_outbox_effects": backlog.outbox,
        "casewire_outbox_oldest_seconds": backlog.outbox_s,
        "casewire_journal_entries": backlog.journal,
        "casewire_journal_oldest_seconds": backlog.journal_s,
        "casewire_awaited_effects": backlog.awaited,
        "casewire_timers": backlog.timers,
        "casewire_timers_due": backlog.timers_due,
        "casewire_timers_late_seconds": backlog.timers_s,
    }
    states: dict[tuple[str, ...], float] = defaultdict(float)
    memory: dict[tuple[str, ...], float] = defaultdict(float)
    for worker in workers:
        states[worker.queue, worker.state] += 1
        memory[f"worker {worker.queue}",] += worker.rss_bytes
    memory["server",] = sum(server.rss_bytes for server in servers)
    return [
        *_summed(series),
        *(_gauge(name, _PLAIN[name], (), {(): value}) for name, value in plain.items()),
        _counter("casewire_runtime", "What background parts count.", ("what",), _by_one(counts)),
        _gauge("casewire_queue_jobs", "Jobs that wait in a queue.", ("queue",), _by_one(queued)),
        _gauge(
            "casewire_pressure",
            "How short the instance is of what, from 0 to 1.",
            ("of",),
            _by_one({name: value for name, value in asdict(pressure).items() if name != "measured_at"}),
        ),
        _gauge("casewire_workers", "Workers; a busy one holds a lease.", ("queue", "state"), states),
        _gauge("casewire_memory_bytes", "Resident memory of processes by role.", ("role",), memory),
    ]


_PLAIN = {
    "casewire_servers": "Server processes.",
    "casewire_sockets": "Open websockets.",
    "casewire_streams": "Open event streams over HTTP.",
    "casewire_topics": "Topics that are followed, counted by each server that does.",
    "casewire_subscribers": "Subscriptions to topics.",
    "casewire_outbox_effects": "Effects that have not reached their queue.",
    "casewire_outbox_oldest_seconds": "Since when the oldest of them waits.",
    "casewire_journal_entries": "Entries that PostgreSQL does not have yet.",
    "casewire_journal_oldest_seconds": "Since when the oldest of them waits.",
    "casewire_awaited_effects": "Effects without a result yet, queued and running.",
    "casewire_timers": "Timers that are set.",
    "casewire_timers_due": "Timers that are due and have not fired.",
    "casewire_timers_late_seconds": "By how much the earliest of them is late.",
}


def _by_one(values: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(label,): value for label, value in values.items()}


async def _from_postgres(parts: Parts) -> list[Metric]:
    try:
        counted = await parts.census.count()
        followers = await Marks(parts.database).states()
    except (SQLAlchemyError, OSError):
        return []
    machines: dict[tuple[str, ...], float] = defaultdict(float)
    for one in counted:
        machines[one.kind, str(one.version), one.state] += one.machines
    held: dict[tuple[str, ...], float] = defaultdict(float)
    for row in held_machines(counted):
        held[row["kind"], str(row["version"])] += row["machines"]
    of_machines, of_held = ("kind", "version", "state"), ("kind", "version")
    return [
        _gauge("casewire_machines", "Live machines by their outermost state.", of_machines, machines),
        _gauge("casewire_held_machines", "Machines that wait for a migration.", of_held, held),
        _gauge(
            "casewire_follower_marks",
            "Changes that a store beside PostgreSQL has yet to take.",
            ("follower", "phase"),
            {(each.name, each.phase): float(each.waiting) for each in followers},
        ),
        _gauge(
            "casewire_follower_behind_seconds",
            "Since when the oldest of them waits.",
            ("follower",),
            {(each.name,): behind_s(each) for each in followers},
        ),
    ]


def _summed(series: Mapping[Series, float]) -> Iterable[Metric]:
    by_name: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    for (name, *labels), value in series.items():
        by_name[name][tuple(labels)] = value
    for name, what in METRICS.items():
        if isinstance(what, Counter):
            yield _counter(name, what.help, what.labels, by_name[name])
        else:
            yield _histogram(name, what.help, what.labels, by_name[name])


def _histogram(
    name: str, text: str, labels: tuple[str, ...], found: Mapping[tuple[str, ...], float]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=labels)
    for mine in sorted({values[:-1] for values in found}):
        so_far, buckets = 0.0, []
        for bound in bucket_bounds():
            so_far += found.get((*mine, bound), 0.0)
            buckets.append((bound, so_far))
        family.add_metric(mine, buckets, found.get((*mine, SUM), 0.0))
    return family


def _counter(
    name: str, text: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for mine, value in sorted(values.items()):
        family.add_metric(mine, value)
    return family


def _gauge(
    name: str, text: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for mine, value in sorted(values.items()):
        family.add_metric(mine, value)
    return family
