"""Real services for every test: one embedded Redis and PostgreSQL a test process.

`services` starts them, `redis_client` and `database` hand out emptied ones.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from server.services import Services, running_services
from server.settings import Settings
from storage.migrate import upgrade
from storage.s3_place import S3Place
from tests import s3
from tests.cluster import redis_cluster
from tests.contracts import pytest_addoption, pytest_terminal_summary, ran_against

__all__ = ["pytest_addoption", "pytest_terminal_summary", "ran_against"]
"""Hooks and a fixture that pytest looks for here."""

# No example is wrong because the machine was busy with others.
hypothesis_settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("untimed")

SLOW_S = 600
"""What a slow test may take on a busy machine, unless it says otherwise itself."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for garbage neither while all modules are imported nor later in what they have made.

    Some 600,000 objects are looked through for half a second each time, and none of them ever goes.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """See pytest."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_S))


_EMPTY = """
DO $$
DECLARE
  one text;
  filled boolean;
BEGIN
  FOR one IN
    SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'
  LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', one) INTO filled;
    CONTINUE WHEN NOT filled;
    IF one = 'chunks' THEN  -- a search by vector would still meet what was only deleted
      TRUNCATE chunks CASCADE;
    ELSE
      EXECUTE format('DELETE FROM %I', one);
    END IF;
  END LOOP;
END $$
"""
"""Truncating every table takes several times as long as looking which one has rows."""


@pytest.fixture(scope="session")
def data_dir() -> Iterator[Path]:
    """A data folder with a short path: sockets live in it, and pytest's own folders are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="casewire-test-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def services(data_dir: Path) -> AsyncIterator[Services]:
    """Redis and PostgreSQL (extension vector, no tables), embedded, started once a test process.

    `make services-test` names servers of one's own instead, whose content is deleted.
    """
    settings = Settings(
        data=data_dir,
        redis_url=os.environ.get("TEST_REDIS_URL"),
        queue_url=None,
        database_url=os.environ.get("TEST_DATABASE_URL"),
        public_url=None,
    )
    async with running_services(settings) as started:
        yield started


@pytest.fixture
def settings(services: Services) -> Settings:
    """Settings that name the running services, and otherwise the defaults."""
    return Settings(
        data=services.data_dir,
        redis_url=services.redis_url,
        queue_url=services.queue_url,
        database_url=services.database_url,
    )


@pytest_asyncio.fixture(loop_scope="session")
async def redis_client(services: Services) -> AsyncIterator[Redis]:
    """An empty Redis; replies are bytes."""
    client = Redis.from_url(services.redis_url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster_url() -> AsyncIterator[str]:
    """URL of a Redis Cluster of three masters, started once a test process."""
    folder = Path(tempfile.mkdtemp(prefix="casewire-test-", dir="/tmp"))
    async with redis_cluster(folder) as url:
        yield url
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def s3_store() -> Iterator[S3Place]:
    """An S3 store, started once a test process; TEST_S3_ENDPOINT names one of one's own."""
    with s3.s3_store() as place:
        yield place


@pytest.fixture
def s3_place(s3_store: S3Place) -> Iterator[S3Place]:
    """An empty bucket."""
    with s3.s3_bucket(s3_store) as place:
        yield place


@pytest.fixture(scope="session")
def database_url(services: Services) -> str:
    """SQLAlchemy URL of the test database; see `database` for one with tables."""
    return services.database_url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _migrated(database_url: str) -> str:
    await upgrade(database_url)
    return database_url


@pytest_asyncio.fixture(loop_scope="session")
async def database(_migrated: str) -> str:
    """URL of the migrated database with every table emptied."""
    await empty(_migrated)
    return _migrated


async def empty(database_url: str) -> None:
    """Empty every table."""
    engine = create_async_engine(database_url, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.execute(text(_EMPTY))
    await engine.dispose()


@pytest.fixture(scope="session")
def documents() -> Path:
    """The folder of real documents, given by CASEWIRE_DOCUMENTS or beside the project."""
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("CASEWIRE_DOCUMENTS") or root.parent / "shared" / "documents")
    if not folder.is_dir():
        pytest.skip(f"no real documents at {folder}; set CASEWIRE_DOCUMENTS")
    return folder
