"""PostgreSQL is killed with all its sessions while totals change, and comes back with what a count gives."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.data_folder import DataFolder, locked
from storage.database import create_engine
from storage.embedded_postgres import EmbeddedPostgres
from storage.migrate import upgrade
from storage.outage import is_outage
from tests.case_rows import new_case
from tests.killing import kill_family
from tests.storage.changing import CASES, Changing, all_is_right, rows

Rows = list[tuple[object, ...]]

WRITERS = 3
_LONG_S = 600.0
_NOTED = "SELECT count(*) FROM total_changes"
_KEPT = "SELECT * FROM case_totals ORDER BY case_id"
_COMMITTING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND query LIKE 'COMMIT%' AND datname = current_database()
"""


@asynccontextmanager
async def private_postgres() -> AsyncIterator[tuple[EmbeddedPostgres, AsyncEngine]]:
    """One of its own, on a data folder of its own, with tables."""
    folder = DataFolder(Path(tempfile.mkdtemp(prefix="casewire-test-", dir="/tmp")))
    with locked(folder):
        server = EmbeddedPostgres(folder)
        await server.start()
        # A transaction may be left open on purpose for as long as a busy machine makes the others take.
        engine = create_engine(server.url, pool_size=10, idle_s=_LONG_S)
        try:
            await upgrade(server.url)
            yield server, engine
        finally:
            await engine.dispose()
            await server.stop()
    shutil.rmtree(folder.root)


async def write_until_it_is_away(each: Changing) -> None:
    while True:
        try:
            await each.write()
        except Exception as error:
            if not is_outage(error):
                raise
            return


async def until(engine: AsyncEngine, query: str, holds: Callable[[Rows], bool]) -> None:
    while True:
        if holds(await rows(engine, query)):
            return
        await asyncio.sleep(0.01)


async def noted(connection: AsyncConnection, engine: AsyncEngine) -> None:
    """A transaction has noted its changes, which a checkpoint takes to disk; others commit theirs."""
    assert (await connection.execute(text(_NOTED))).scalar_one() > 0
    async with engine.connect() as other:
        await other.execute(text("CHECKPOINT"))
    before = await rows(engine, _KEPT)
    await until(engine, _KEPT, lambda found: found != before)


async def adding_up(connection: AsyncConnection, engine: AsyncEngine) -> None:
    """A transaction has added its changes up, and another waits for it in the middle of its commit."""
    await connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    await until(engine, _COMMITTING, lambda found: found != [(0,)])


async def back(server: EmbeddedPostgres, engine: AsyncEngine, restarts: int) -> None:
    """Wait until it was started again and answers."""
    while True:
        if server.restarts > restarts:
            try:
                await rows(engine, "SELECT 1")
            except Exception as error:
                if not is_outage(error):
                    raise
            else:
                return
        await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_totals_survive_that_postgres_is_killed_with_all_its_sessions() -> None:
    async with private_postgres() as (server, engine):
        for case in CASES:
            await new_case(engine, case)
        own, crowd = Changing(engine, 100), [Changing(engine, seed) for seed in range(WRITERS)]
        for each in (own, *crowd):
            for _ in range(4):
                await each.add()
        for how in (noted, adding_up, noted, adding_up):
            restarts = server.restarts
            writing = [asyncio.create_task(write_until_it_is_away(each)) for each in crowd]
            async with engine.connect() as dying:
                await dying.execute(
                    text("DELETE FROM evidence WHERE id = ANY(:own)"), {"own": [*own.evidence]}
                )
                await how(dying, engine)
                assert server.pid is not None
                assert kill_family(psutil.Process(server.pid)) > WRITERS
                with pytest.raises((DBAPIError, ConnectionError)):
                    await dying.commit()
            await asyncio.gather(*writing)
            await back(server, engine, restarts)
            await all_is_right(engine)
            there = {row[0] for row in await rows(engine, "SELECT id FROM evidence")}
            assert {*own.evidence}.union(*(each.evidence for each in crowd)) <= there
            for each in crowd:
                await each.write()
            await all_is_right(engine)
