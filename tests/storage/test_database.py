"""What a process leaves in the database when it stops, without ending, in the middle of its work."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.database import create_engine
from tests.patience import PATIENCE_S

LOCK = text("SELECT 1 FROM alembic_version FOR UPDATE")


async def locking(engine: AsyncEngine) -> AsyncConnection:
    """A transaction that holds the lock, once one gets there before it is taken for stopped."""
    while True:
        connection = await engine.connect()
        try:
            await connection.execute(LOCK)
            return connection
        except DBAPIError as error:
            if "idle-in-transaction timeout" not in str(error):
                raise
            await connection.invalidate()
            await connection.close()


async def test_a_stopped_transaction_gives_up_its_locks(database: str) -> None:
    stopped, working = create_engine(database, idle_s=0.3), create_engine(database)
    try:
        connection = await locking(stopped)
        async with asyncio.timeout(PATIENCE_S), working.begin() as other:
            await other.execute(LOCK)
        with pytest.raises(DBAPIError):
            await connection.execute(LOCK)
        await connection.invalidate()
        await connection.close()
        await (await locking(stopped)).close()
    finally:
        await stopped.dispose()
        await working.dispose()
