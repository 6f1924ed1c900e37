"""What tells of a store that is away, as the drivers really say it, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, ResponseError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from storage.database import create_engine
from storage.machine_store import StoreError, Unavailable
from storage.outage import is_outage


async def test_a_database_that_ends_a_session_is_away(database: str) -> None:
    engine, other = create_engine(database, pool_size=1), create_engine(database, pool_size=1)
    try:
        async with engine.connect() as connection, other.connect() as killer:
            pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await killer.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            with pytest.raises(DBAPIError) as met:
                await connection.execute(text("SELECT 1"))
        assert is_outage(met.value)
    finally:
        await engine.dispose()
        await other.dispose()


async def test_a_database_whose_socket_is_gone_is_away(tmp_path: Path) -> None:
    engine = create_engine(f"postgresql+asyncpg://postgres@/casewire?host={tmp_path}")
    try:
        with pytest.raises(ConnectionError) as met:
            async with engine.connect():
                pass
        assert is_outage(met.value)
    finally:
        await engine.dispose()


async def test_a_redis_that_is_gone_is_away(tmp_path: Path) -> None:
    redis = Redis.from_url(f"unix://{tmp_path}/none.sock")
    with pytest.raises(Exception) as met:  # noqa: PT011 - which one it is, is redis-py's business
        await redis.ping()
    assert is_outage(met.value)
    await redis.aclose()


@pytest.mark.parametrize(
    "error", [Unavailable("away"), BusyLoadingError("loading"), RuntimeError("x; the handler is closed")]
)
def test_these_are_outages(error: Exception) -> None:
    assert is_outage(error)


@pytest.mark.parametrize(
    "error", [StoreError("no"), ResponseError("WRONGTYPE"), RuntimeError("else"), FileNotFoundError("a.pdf")]
)
def test_these_are_not(error: Exception) -> None:
    assert not is_outage(error)


async def test_a_statement_that_is_wrong_is_no_outage(database: str) -> None:
    engine = create_engine(database)
    try:
        for statement, expected in (
            ("SELECT nothing", ProgrammingError),
            ("INSERT INTO markers VALUES (NULL, 0, '')", IntegrityError),
        ):
            with pytest.raises(expected) as met:
                async with engine.begin() as connection:
                    await connection.execute(text(statement))
            assert not is_outage(met.value)
    finally:
        await engine.dispose()
