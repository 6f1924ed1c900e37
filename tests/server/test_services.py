"""What an instance runs on: embedded or configured, and always visible which."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from server.services import Services, ServicesError, attached_services, health, running_services, wait_healthy
from server.settings import Settings


@pytest.fixture
def other_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="casewire-test-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def embedded(data: Path) -> Settings:
    return Settings(data=data, redis_url=None, queue_url=None, database_url=None)


async def test_embedded_services_say_what_and_where_they_are(services: Services) -> None:
    redis, postgres = await health(services)
    assert redis.ok
    assert redis.embedded
    assert redis.version.split()[0] in ("Redis", "Valkey")
    assert redis.where.startswith(str(services.data_dir))
    assert redis.memory_bytes is not None
    assert redis.memory_bytes > 0
    assert redis.latency_ms is not None
    assert redis.advice is None
    assert postgres.ok
    assert postgres.embedded
    assert "with pgvector" in postgres.version
    assert postgres.where.startswith(str(services.data_dir))
    assert postgres.latency_ms is not None


async def test_a_second_start_on_the_same_folder_is_refused(services: Services) -> None:
    with pytest.raises(ServicesError, match="already in use by process"):
        async with running_services(embedded(services.data_dir)):
            pass
    await wait_healthy(services, timeout_s=5)


async def test_another_process_finds_what_the_server_runs(services: Services) -> None:
    attached = attached_services(embedded(services.data_dir))
    assert attached.redis_url == services.redis_url
    assert attached.database_url == services.database_url
    assert attached.redis_is_embedded
    assert attached.postgres_is_embedded
    await wait_healthy(attached, timeout_s=5)


async def test_without_a_server_there_is_nothing_to_attach_to(other_dir: Path) -> None:
    with pytest.raises(ServicesError, match=r"casewire serve.*REDIS_URL and DATABASE_URL"):
        attached_services(embedded(other_dir))


async def test_configured_services_are_used_and_none_is_started(
    services: Services, settings: Settings, other_dir: Path
) -> None:
    configured = settings.model_copy(update={"data": other_dir})
    async with running_services(configured) as running:
        assert running.redis_url == services.redis_url
        assert running.queue_url == services.queue_url
        assert running.database_url == services.database_url
        assert not running.redis_is_embedded
        assert not running.postgres_is_embedded
        assert [one.embedded for one in await health(running)] == [False, False]
    assert not (other_dir / "postgres").exists()


async def test_configured_addresses_are_not_written_to_the_lock(settings: Settings, other_dir: Path) -> None:
    configured = settings.model_copy(update={"data": other_dir})
    async with running_services(configured):
        assert "unix:" not in (other_dir / "lock").read_text(encoding="utf-8")
        with pytest.raises(ServicesError, match="set REDIS_URL and DATABASE_URL"):
            attached_services(embedded(other_dir))


@pytest.mark.parametrize(
    ("update", "sentence"),
    [
        ({"redis_url": "redis://:hunter2@127.0.0.1:1/0"}, "redis at 127.0.0.1:1: does not answer"),
        ({"queue_url": "redis://:hunter2@127.0.0.1:1/0"}, "queue at 127.0.0.1:1: does not answer"),
        (
            {"database_url": "postgresql+asyncpg://u:hunter2@127.0.0.1:1/d"},
            "The database of DATABASE_URL cannot be used",
        ),
    ],
)
async def test_a_configured_service_that_does_not_answer_is_refused_with_a_sentence(
    settings: Settings,
    other_dir: Path,
    update: dict[str, str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.services._ANSWER_S", 1.0)
    configured = settings.model_copy(update={"data": other_dir, **update})
    with pytest.raises(ServicesError) as refused:
        async with running_services(configured):
            pass
    assert sentence in str(refused.value)
    assert "hunter2" not in str(refused.value)


async def test_a_redis_that_may_evict_is_not_well(services: Services, redis_client: Redis) -> None:
    await redis_client.config_set("maxmemory", "1gb")
    await redis_client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        redis, _ = await health(services)
    finally:
        await redis_client.config_set("maxmemory", "0")
        await redis_client.config_set("maxmemory-policy", "noeviction")
    assert redis.problem is not None
    assert "noeviction" in redis.problem


async def test_a_database_that_is_not_there_is_a_problem_and_not_an_exception(services: Services) -> None:
    _, postgres = await health(
        replace(services, database_url=services.database_url.replace("/casewire", "/none"))
    )
    assert not postgres.ok
    assert postgres.problem is not None
    assert "does not exist" in postgres.problem
