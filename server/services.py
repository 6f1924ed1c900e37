"""The Redis and the PostgreSQL that an instance runs on: started, checked, and described.

`running_services` is for the one owner of a data folder; `attached_services` for another process
on the same machine (`casewire status`, `casewire worker`), which starts nothing.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import psutil
from redis.exceptions import RedisError
from sqlalchemy import make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from server.pinning import can_pin
from server.settings import Settings
from storage.data_folder import DataFolder, DataFolderError, Owner, locked, read_owner
from storage.embedded import EmbeddedError
from storage.embedded_postgres import EmbeddedPostgres
from storage.embedded_redis import OLDEST, EmbeddedRedis
from storage.redis_client import cluster_of, connect, servers

DATABASE_CONNECTIONS = 10
"""That a server process keeps open to the database; as many again may be opened under load."""
WORKER_CONNECTIONS = 5
"""The same, of a worker."""

_ANSWER_S = 5.0
_VECTOR_VERSION = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"


class ServicesError(Exception):
    """A service cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class Services:
    """Addresses to hand to whatever needs a service.

    Attributes:
        redis_url: For `storage.redis_client.connect`; one server or a cluster.
        queue_url: For `redis.Redis.from_url`, and RQ.
        database_url: For SQLAlchemy's `create_async_engine`.
        embedded_redis: The supervised server in the process that owns it, else None.
    """

    redis_url: str
    queue_url: str
    database_url: str
    data_dir: Path
    redis_is_embedded: bool
    postgres_is_embedded: bool
    embedded_redis: EmbeddedRedis | None = None
    embedded_postgres: EmbeddedPostgres | None = None


@dataclass(frozen=True)
class ServiceHealth:
    """What one service answered.

    Attributes:
        where: Host and port, or the socket; never a password.
        memory_bytes: What it uses; None if it cannot be seen from here.
        problem: Why it is not well, or None.
        advice: What should be changed although it works, or None.
    """

    name: str
    embedded: bool
    where: str
    version: str = ""
    latency_ms: float | None = None
    memory_bytes: int | None = None
    problem: str | None = None
    advice: str | None = None

    @property
    def ok(self) -> bool:
        return self.problem is None


@asynccontextmanager
async def running_services(settings: Settings) -> AsyncIterator[Services]:
    """Own the data folder, start what is not configured, and end it afterwards.

    Raises:
        ServicesError: The folder is in use, a service does not start, or a configured one does
            not answer or cannot serve.
    """
    if settings.pin != "no" and not can_pin():
        raise ServicesError("This system does not let processes choose their cores: unset CASEWIRE_PIN.")
    folder = DataFolder(settings.data_dir)
    async with AsyncExitStack() as stack:
        try:
            lock = stack.enter_context(locked(folder, settings.address))
            redis = postgres = None
            if settings.redis_url is None:
                redis = EmbeddedRedis(folder)
                stack.push_async_callback(redis.stop)
                await redis.start()
            if settings.database_url is None:
                postgres = EmbeddedPostgres(folder, connections=_connections(settings))
                stack.push_async_callback(postgres.stop)
                await postgres.start()
        except (DataFolderError, EmbeddedError) as error:
            raise ServicesError(str(error)) from error
        if settings.database_url is not None:
            await _create_extension(settings.database_url)
        redis_url = settings.redis_url or (redis.url if redis else "")
        services = Services(
            redis_url=redis_url,
            queue_url=settings.queue_url or redis_url,
            database_url=settings.database_url or (postgres.url if postgres else ""),
            data_dir=folder.root,
            redis_is_embedded=redis is not None,
            postgres_is_embedded=postgres is not None,
            embedded_redis=redis,
            embedded_postgres=postgres,
        )
        await wait_healthy(services, timeout_s=_ANSWER_S)
        lock.describe(
            Owner(
                pid=os.getpid(),
                address=settings.address,
                redis_url=services.redis_url if services.redis_is_embedded else "",
                database_url=services.database_url if services.postgres_is_embedded else "",
                started_at=time.time(),
            )
        )
        yield services


def _connections(settings: Settings) -> int:
    """What all processes of an instance may open at most, and some for commands and backups."""
    workers = settings.cpu_workers + settings.gpu_workers
    return 60 + 2 * DATABASE_CONNECTIONS * settings.processes + 2 * WORKER_CONNECTIONS * workers


def attached_services(settings: Settings) -> Services:
    """The services that a process beside the running server shares with it.

    Raises:
        ServicesError: One is neither configured nor run by a server on the data folder.
    """
    folder = DataFolder(settings.data_dir)
    owner = read_owner(folder)
    redis_url = settings.redis_url or (owner.redis_url if owner else "")
    database_url = settings.database_url or (owner.database_url if owner else "")
    missing = [name for name, url in (("REDIS_URL", redis_url), ("DATABASE_URL", database_url)) if not url]
    if missing:
        raise ServicesError(
            f"No server is running on the data folder {folder.root}: start it with `casewire serve`, "
            f"or set {' and '.join(missing)}."
        )
    return Services(
        redis_url=redis_url,
        queue_url=settings.queue_url or redis_url,
        database_url=database_url,
        data_dir=folder.root,
        redis_is_embedded=settings.redis_url is None,
        postgres_is_embedded=settings.database_url is None,
    )


async def health(services: Services) -> tuple[ServiceHealth, ...]:
    """Ask every service once, all at the same time; a service that does not answer is a `problem`."""
    asked = [
        _redis_health(
            "redis",
            services.redis_url,
            services.redis_is_embedded,
            queues=services.queue_url == services.redis_url,
        ),
        _postgres_health(services),
    ]
    if services.queue_url != services.redis_url:
        asked.insert(1, _redis_health("queue", services.queue_url, embedded=False, queues=True))
    return tuple(await asyncio.gather(*asked))


async def wait_healthy(services: Services, *, timeout_s: float = 30.0) -> None:
    """Return once every service is well.

    Raises:
        ServicesError: One still is not after `timeout_s`; names it, its place and its problem.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        ill = [service for service in await health(services) if not service.ok]
        if not ill:
            return
        if time.monotonic() > deadline:
            raise ServicesError(" ".join(f"{one.name} at {one.where}: {one.problem}." for one in ill))
        await asyncio.sleep(0.1)


async def _redis_health(name: str, url: str, embedded: bool, *, queues: bool) -> ServiceHealth:
    parts = urlsplit(url)
    where = unquote(parts.path) if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"
    try:
        client = await connect(url, socket_timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S)
    except (RedisError, OSError, TimeoutError) as error:
        return ServiceHealth(name, embedded, where, problem=f"does not answer ({error})")
    try:
        asked = time.perf_counter()
        await client.ping()
        latency_ms = (time.perf_counter() - asked) * 1e3
        told = await servers(client)
    except (RedisError, OSError, TimeoutError) as error:
        return ServiceHealth(name, embedded, where, problem=f"does not answer ({error})")
    finally:
        await client.aclose()
    product = "Valkey" if told[0].get("server_name") == "valkey" else "Redis"
    version = str(told[0].get("valkey_version") or told[0]["redis_version"])
    shown = f"{product} {version}" + (f", a cluster of {len(told)} masters" if len(told) > 1 else "")
    memory = sum(int(info["used_memory"]) for info in told)
    problem, advice = _misfit(told, version)
    if queues and cluster_of(client) is not None:
        problem = (
            "is a cluster, which cannot hold the queues of jobs: set CASEWIRE_QUEUE_URL to a Redis of its own"
        )
    return ServiceHealth(name, embedded, where, shown, latency_ms, memory, problem, advice)


def _misfit(told: list[dict[str, Any]], version: str) -> tuple[str | None, str | None]:
    """What keeps servers from being used, and what should be changed."""
    if any(tuple(map(int, str(info["redis_version"]).split(".")[:2])) < OLDEST for info in told):
        return f"is version {version}, but {OLDEST[0]}.{OLDEST[1]} or newer is needed", None
    if any(info.get("maxmemory") and info.get("maxmemory_policy") != "noeviction" for info in told):
        return "may evict what is stored only there: set its maxmemory-policy to noeviction", None
    if not all(info.get("aof_enabled") for info in told):
        return None, "keeps no append-only file, so a crash loses its newest changes: set appendonly yes"
    return None, None


async def _postgres_health(services: Services) -> ServiceHealth:
    url = make_url(services.database_url)
    embedded = services.postgres_is_embedded
    where = str(url.query.get("host") or f"{url.host}:{url.port or 5432}/{url.database}")
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with asyncio.timeout(_ANSWER_S), engine.connect() as connection:
            asked = time.perf_counter()
            version = (await connection.execute(text("SHOW server_version"))).scalar_one()
            latency_ms = (time.perf_counter() - asked) * 1e3
            vector = (await connection.execute(text(_VECTOR_VERSION))).scalar_one_or_none()
    except (SQLAlchemyError, asyncpg.PostgresError, OSError, TimeoutError) as error:
        return ServiceHealth("postgres", embedded, where, problem=f"does not answer ({_reason(error)})")
    finally:
        await engine.dispose()
    return ServiceHealth(
        "postgres",
        embedded,
        where,
        f"PostgreSQL {version}" + (f" with pgvector {vector}" if vector else ""),
        latency_ms,
        await asyncio.to_thread(_cluster_memory, DataFolder(services.data_dir)) if embedded else None,
        None if vector else "has no extension vector: install pgvector and run CREATE EXTENSION vector",
    )


async def _create_extension(database_url: str) -> None:
    engine = create_async_engine(database_url, poolclass=NullPool)
    try:
        async with asyncio.timeout(_ANSWER_S), engine.begin() as connection:
            if (await connection.execute(text(_VECTOR_VERSION))).scalar_one_or_none() is None:
                await connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    except (SQLAlchemyError, asyncpg.PostgresError, OSError, TimeoutError) as error:
        raise ServicesError(
            f"The database of DATABASE_URL cannot be used ({_reason(error)}): check that it runs, and that "
            "the extension vector is there or this user may create it."
        ) from error
    finally:
        await engine.dispose()


def _reason(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    return (str(cause) or type(cause).__name__).splitlines()[0]


def _cluster_memory(folder: DataFolder) -> int | None:
    """Memory of all processes of the embedded PostgreSQL; what they share is counted once."""
    try:
        leader = psutil.Process(
            int((folder.postgres / "postmaster.pid").read_text(encoding="utf-8").split()[0])
        )
        family = [leader, *leader.children(recursive=True)]
        return sum(_own_memory(process) for process in family)
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def _own_memory(process: psutil.Process) -> int:
    try:
        memory = process.memory_full_info()
    except psutil.NoSuchProcess:  # a connection's process that has just ended
        return 0
    return int(getattr(memory, "pss", memory.uss))
