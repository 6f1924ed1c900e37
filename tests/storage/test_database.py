"""What a process leaves in the database when it stops, without ending, in the middle of its work."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from storage.database import create_engine

LOCK = text("SELECT 1 FROM alembic_version FOR UPDATE")


async def test_a_stopped_transaction_gives_up_its_locks(database: str) -> None:
    stopped, working = create_engine(database, idle_s=0.3), create_engine(database)
    try:
        connection = await stopped.connect()
        await connection.execute(LOCK)
        async with asyncio.timeout(10), working.begin() as other:
            await other.execute(LOCK)
        with pytest.raises(DBAPIError):
            await connection.execute(LOCK)
        await connection.invalidate()
        await connection.close()
        async with stopped.begin() as again:
            await again.execute(LOCK)
    finally:
        await stopped.dispose()
        await working.dispose()
