"""What runs where and whether it is well, gathered from the services themselves."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from handlers.job import Temporary
from handlers.parsing.guards import Guards
from handlers.sandbox import Sandbox
from machines.releases import leads
from machines.step import CHARTS, hash_of
from server.blob_store import blobs_health
from server.followers_status import follower_line, follower_problems, followers_status
from server.pressure import meaning_of
from server.queues import JOB_QUEUES, JobQueues
from server.services import ServiceHealth, Services, attached_services, health
from server.settings import Settings
from server.status_models import embedder_line, embedder_status, language_model_status
from storage.backlog import Backlogs
from storage.census import Census, Counted
from storage.database import create_engine
from storage.machine_store import Unavailable
from storage.migrate import current, newest
from storage.redis_client import connect
from storage.runtime_records import PressureState, RuntimeRecords

logger = logging.getLogger(__name__)

Status = dict[str, Any]

GIVEN_UP = 10
"""So many inline effects that were given up are told, the newest first."""

_LATE_S = 60.0
"""Work that has been on its way for so long shows that something does not run."""


async def gather_status(settings: Settings, services: Services, census: Census) -> Status:
    """Ask everything at the same time; what does not answer is a problem and not an exception.

    Returns:
        JSON values. `well` is true when `problems`, one sentence each, is empty.
    """
    healths, runtime, (model, embedder), schema, backlog, held = await asyncio.gather(
        _healths(settings, services),
        _runtime(services),
        asyncio.gather(language_model_status(settings), embedder_status(settings, services)),
        _schema(services),
        _backlog(settings, services),
        _held(census),
    )
    guards, followers = await asyncio.gather(_sandbox(services), _followers(settings, services))
    problems = [f"{one.name} at {one.where}: {one.problem}" for one in healths if one.problem]
    if all(one.ok for one in healths if one.name != "blobs"):
        problems += [*schema, *_worker_problems(settings, runtime), *_late(backlog or {})]
    problems += [row["meaning"] for row in held] + follower_problems(followers)
    if not guards:
        problems.append("files cannot be read: the process that reads them does not start")
    problems += [part["problem"] for part in (model, embedder) if part["problem"]]
    return {
        "well": not problems,
        "problems": problems,
        "version": version("casewire"),
        "services": [_service(one) for one in healths],
        "backends": _backends(healths, settings, model, embedder),
        "followers": followers,
        **runtime,
        "backlog": backlog,
        "held": held,
        "watching": _watching(settings),
        "sandbox": guards,
        "embedder": embedder,
        "language_model": model,
        "data": {"folder": str(services.data_dir), "free_bytes": _free_bytes(services)},
    }


async def gather_from_outside(settings: Settings) -> Status:
    """The status as a process beside the server sees it.

    Raises:
        ServicesError: No server runs on the data folder and the services are not configured.
    """
    services = attached_services(settings)
    database = create_engine(services.database_url, pool_size=1)
    try:
        return await gather_status(settings, services, Census(database))
    finally:
        await database.dispose()


def format_status(status: Mapping[str, Any]) -> str:
    """The status for people, one line a fact."""
    lines = ["well" if status["well"] else "NOT WELL", *(f"  ! {p}" for p in status["problems"])]
    for one in status["services"]:
        kind = "embedded" if one["embedded"] else "configured"
        latency = f", {one['latency_ms']:.1f} ms" if one["latency_ms"] is not None else ""
        lines.append(
            f"{one['name']:<15} {one['version'] or 'does not answer'} ({kind}) at {one['where']}{latency}"
        )
        if one["advice"]:
            lines.append(f"{'':<15} {one['advice']}")
    lines += [f"{need:<15} {backend}" for need, backend in status["backends"].items()]
    lines += [f"{row['name']:<15} {follower_line(row)}" for row in status["followers"]]
    for s in status["servers"]:
        lines.append(
            f"{'server':<15} {s['name']}: process {s['pid']}, {s['sockets']} websockets, "
            f"{s['rss_bytes'] / 2**20:.0f} MiB"
        )
    for queue, waiting in status["queues"].items():
        workers = [worker for worker in status["workers"] if worker["queue"] == queue]
        lines.append(f"queue {queue:<9} {waiting} waiting, {len(workers)} workers")
        for w in workers:
            lines.append(f"{'':<15} {_worker(w)}")
    lines.append(f"{'pressure':<15} {status['pressure']['meaning']}")
    if backlog := status["backlog"]:
        lines.append(
            f"{'on the way':<15} outbox {backlog['outbox']} (oldest {backlog['outbox_s']:.1f} s), "
            f"journal {backlog['journal']} (oldest {backlog['journal_s']:.1f} s), "
            f"{backlog['awaited']} effects awaited, "
            f"{backlog['timers']} timers, {backlog['timers_due']} due (late by {backlog['timers_s']:.1f} s)"
        )
    lines += [f"{'held':<15} {row['meaning']}" for row in status["held"]]
    lines += [f"{'sandbox':<15} {_guarded(what, by)}" for what, by in status["sandbox"].items()]
    lines += [f"{what:<15} {where}" for what, where in status["watching"].items()]
    for letter in status["given_up"]:
        lines.append(f"{'given up':<15} {letter['name']} of {letter['machine']}: {letter['reason']}")
    return "\n".join(lines)


async def _healths(settings: Settings, services: Services) -> tuple[ServiceHealth, ...]:
    asked, blobs = await asyncio.gather(health(services), blobs_health(settings))
    return (*asked, blobs)


def held_machines(counted: Iterable[Counted]) -> list[dict[str, Any]]:
    """Machines that no event can move under this release, by definition, each with a sentence."""
    found: dict[tuple[str, int, str], int] = {}
    for one in counted:
        known = one.kind in CHARTS and leads(one.kind, one.chart_hash, hash_of(one.kind))
        if not known:
            key = (one.kind, one.version, one.chart_hash)
            found[key] = found.get(key, 0) + one.machines
    return [
        {
            "kind": kind,
            "version": number,
            "chart_hash": chart_hash,
            "machines": machines,
            "meaning": f"{machines} {'machine waits' if machines == 1 else 'machines wait'} for a migration "
            f"of the chart {kind} from version {number} ({chart_hash}), which this release does not have",
        }
        for (kind, number, chart_hash), machines in found.items()
    ]


_guards: Guards = {}
"""Found once: neither the kernel nor this process's rights change while it runs."""


async def _sandbox(services: Services) -> Guards:
    """What guards the processes that read files, tried with one of them; nothing where it does not start."""
    if not _guards:
        sandbox = Sandbox(memory_bytes=128 << 20, time_s=1, folder=services.data_dir / "scratch")
        try:
            _guards.update(await sandbox.guards())
        except (Temporary, OSError) as error:
            logger.warning(
                "No reader of files started.", extra={"action": "status.sandbox", "why": str(error)}
            )
        finally:
            await sandbox.aclose()
    return dict(_guards)


def _guarded(what: str, by: list[str]) -> str:
    return (
        f"{what} guarded by {', '.join(by)}" if by else f"{what} NOT GUARDED: this system has nothing for it"
    )


async def _held(census: Census) -> list[dict[str, Any]]:
    try:
        return held_machines(await census.count())
    except (SQLAlchemyError, OSError):
        return []  # told by the service's health


async def _followers(settings: Settings, services: Services) -> list[dict[str, Any]]:
    database = create_engine(services.database_url, pool_size=1)
    try:
        return await followers_status(settings, database)
    finally:
        await database.dispose()


async def _backlog(settings: Settings, services: Services) -> dict[str, Any] | None:
    try:
        redis = await connect(services.redis_url)
    except (RedisError, OSError):
        return None  # told by the service's health
    try:
        return asdict(await Backlogs(redis, shards=settings.shards).read())
    except Unavailable:
        return None  # told by the service's health
    finally:
        await redis.aclose()


def _late(backlog: Mapping[str, Any]) -> list[str]:
    meanings = {
        "outbox_s": "effects wait for their queue since {:.0f} s: does the dispatcher run?",
        "journal_s": "transitions wait to be written to PostgreSQL since {:.0f} s: does the journalist run?",
    }
    return [
        meaning.format(backlog[name])
        for name, meaning in meanings.items()
        if backlog.get(name, 0.0) > _LATE_S
    ]


def _watching(settings: Settings) -> dict[str, str]:
    return {
        "metrics": f"{settings.address}/metrics, for administrators"
        + (" and whoever has the scrape token" if settings.metrics_token else ""),
        "traces": f"OTLP to {settings.otlp_endpoint}"
        if settings.otlp_endpoint
        else "in log lines; sent nowhere",
        "logs": f"{settings.log_format} on the standard error, from {settings.log_level} on",
    }


def _worker(worker: Mapping[str, Any]) -> str:
    own, free, total = (worker[key] >> 20 for key in ("rss_bytes", "memory_free_bytes", "memory_bytes"))
    gpu = f" with {worker['gpu_memory_bytes'] >> 20} MiB" if worker["gpu_memory_bytes"] else ""
    kept = " (pinned)" if worker["pinned"] else ""
    return (
        f"{worker['name']}: {worker['state']} on {worker['device']}{gpu}, cores {worker['cores']}{kept}, "
        f"{own} MiB ({free} of {total} free), {worker['jobs']} jobs"
    )


def _service(one: ServiceHealth) -> dict[str, Any]:
    return {**asdict(one), "ok": one.ok}


def _backends(
    healths: tuple[ServiceHealth, ...],
    settings: Settings,
    model: Mapping[str, Any],
    embedder: Mapping[str, Any],
) -> dict[str, str]:
    where = {one.name: "embedded" if one.embedded else "configured" for one in healths}
    return {
        "machines": f"Redis, {where['redis']}",
        "canonical data": f"PostgreSQL, {where['postgres']}",
        "words": f"BM25 in PostgreSQL, {where['postgres']}",
        "vectors": f"pgvector, {where['postgres']}"
        if settings.qdrant_url is None
        else f"Qdrant, configured; pgvector, {where['postgres']}, while it is being filled",
        "graph": f"PostgreSQL, {where['postgres']}"
        if settings.neo4j_uri is None
        else f"Neo4j, configured; PostgreSQL, {where['postgres']}, while it is being filled",
        "blobs": "a folder of this machine" if settings.s3_endpoint is None else "S3, configured",
        "answers": f"{model['name']} at {model['where']}"
        if model["name"]
        else "quotations; no text leaves this machine",
        "embeddings": embedder_line(embedder),
        "notifications": "toasts",
    }


async def _runtime(services: Services) -> dict[str, Any]:
    nothing: dict[str, Any] = {"queues": {}, "servers": [], "workers": [], "counts": {}, "given_up": []}
    nothing["pressure"] = _pressure(PressureState())
    try:
        redis = await connect(services.redis_url)
    except (RedisError, OSError):
        return nothing  # told by the service's health
    try:
        records = RuntimeRecords(redis)
        return {
            "queues": await asyncio.to_thread(queue_lengths, services.queue_url),
            "servers": [asdict(server) for server in await records.servers()],
            "workers": [asdict(worker) for worker in await records.workers()],
            "counts": await records.counts(),
            "given_up": await records.dead_letters(GIVEN_UP),
            "pressure": _pressure(await records.pressure()),
        }
    except (RedisError, OSError):
        return nothing
    finally:
        await redis.aclose()


def _pressure(pressure: PressureState) -> dict[str, Any]:
    return asdict(pressure) | {"meaning": meaning_of(pressure)}


def queue_lengths(url: str) -> dict[str, int]:
    """How many jobs wait in each queue. Blocks its thread."""
    queues = JobQueues(url)
    try:
        return queues.lengths()
    finally:
        queues.close()


def _worker_problems(settings: Settings, runtime: Mapping[str, Any]) -> list[str]:
    wanted = {"cpu": settings.cpu_workers, "gpu": settings.gpu_workers}
    serving = {worker["queue"] for worker in runtime["workers"]}
    return [
        f"no worker serves the queue {queue}, where {runtime['queues'].get(queue, 0)} jobs wait"
        for queue in JOB_QUEUES
        if queue not in serving and (wanted[queue] or runtime["queues"].get(queue))
    ]


async def _schema(services: Services) -> list[str]:
    try:
        there, needed = await current(services.database_url), await asyncio.to_thread(newest)
    except (SQLAlchemyError, OSError):
        return []  # told by the service's health
    return [] if there == needed else [f"the database is at revision {there}, but {needed} is needed"]


def _free_bytes(services: Services) -> int:
    return shutil.disk_usage(services.data_dir).free
