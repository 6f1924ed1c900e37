"""What is kept of a case's totals equals a recount, whatever changed and however it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.database import create_engine
from storage.evidence import EvidenceStore
from storage.graph import Name
from storage.graph_postgres import GraphPostgres
from storage.totals import Totals
from tests.case_rows import new_case, new_evidence
from tests.storage.changing import CASES, Changing, all_is_right, rows


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


@pytest.mark.parametrize("seed", range(4))
async def test_totals_equal_a_recount_and_names_their_version_after_any_changes(
    engine: AsyncEngine, seed: int
) -> None:
    for case in CASES:
        await new_case(engine, case)
    changing, graph = Changing(engine, seed), GraphPostgres(engine)
    known: dict[tuple[str, str], list[Name]] = {}
    digests: dict[tuple[str, str], list[Name]] = {}
    for _ in range(60):
        await changing.one()
        await all_is_right(engine)
        for case in CASES:
            version = case, await graph.names_version(case)
            names = await graph.names(case)
            assert known.setdefault(version, names) == names
            digest, some = await graph.names_digest(case, limit=2), await graph.names(case, limit=2)
            assert digests.setdefault((case, digest), some) == some
    assert len({tuple(names) for names in known.values()}) > 5
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM cases WHERE id = 'case1'"))
    await all_is_right(engine)
    assert await graph.names_version("case1") == ""


async def test_totals_are_right_when_several_write_one_case_at_once(engine: AsyncEngine) -> None:
    for case in CASES:
        await new_case(engine, case)
    crowd = [Changing(engine, seed) for seed in range(4)]

    async def write(each: Changing) -> None:
        for _ in range(25):
            await each.write()

    await asyncio.gather(*map(write, crowd))
    await all_is_right(engine)
    assert (await rows(engine, "SELECT sum(chunks) FROM case_totals"))[0][0] > 10


async def test_a_writer_that_dies_before_its_commit_leaves_the_totals_as_they_were(
    engine: AsyncEngine,
) -> None:
    for case in CASES:
        await new_case(engine, case)
    changing = Changing(engine, 1)
    for _ in range(5):
        await changing.add()
        await changing.link()
    before = await rows(engine, "SELECT * FROM case_totals ORDER BY case_id")
    async with engine.connect() as dying:
        own = await dying.scalar(text("SELECT pg_backend_pid()"))
        await dying.execute(text("DELETE FROM evidence"))
        async with engine.connect() as connection:
            await connection.execute(text(f"SELECT pg_terminate_backend({own})"))
        with pytest.raises(DBAPIError):
            await dying.commit()
    await all_is_right(engine)
    assert await rows(engine, "SELECT * FROM case_totals ORDER BY case_id") == before


async def test_what_came_while_triggers_were_off_is_told_and_counted_anew(engine: AsyncEngine) -> None:
    for case in CASES:
        await new_case(engine, case)
    changing, totals = Changing(engine, 2), Totals(engine)
    for _ in range(5):
        await changing.add()
        await changing.link()
        await changing.index()
    right = await totals.compare()
    assert right.agree
    named = (await rows(engine, "SELECT count(*) FROM entity_counts"))[0][0]
    assert right.compared == len(CASES) + int(str(named))
    async with engine.begin() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        await connection.execute(
            text("DELETE FROM mentions WHERE entity_id = (SELECT min(id) FROM entities)")
        )
        await connection.execute(text("DELETE FROM chunk_lengths WHERE case_id = 'case1'"))
        await connection.execute(
            text("DELETE FROM entity_counts WHERE entity_id = (SELECT max(entity_id) FROM entity_counts)")
        )
    with pytest.raises(AssertionError):
        await all_is_right(engine)
    found = await totals.compare()
    assert (found.missing, found.spare, found.different) == (1, 1, 1)
    [[chunks, indexed, words]] = await rows(
        engine, "SELECT chunks, indexed, words FROM case_totals WHERE case_id = 'case1'"
    )
    told = f"case case1: kept ({chunks},{indexed},{words}), counted ({chunks},0,0)"
    assert (len(found.examples), found.examples[0]) == (3, told)
    await totals.recount()
    await all_is_right(engine)
    assert (await totals.compare()).agree


async def test_totals_are_counted_anew_while_others_write_and_drop_cases(engine: AsyncEngine) -> None:
    for case in CASES:
        await new_case(engine, case)
    crowd, totals = [Changing(engine, seed) for seed in range(3)], Totals(engine)

    async def write(each: Changing) -> None:
        for _ in range(25):
            await each.write()

    async def come_and_go() -> None:
        for i in range(25):
            await new_case(engine, f"other{i}")
            await EvidenceStore(engine).register(new_evidence(f"other{i}", f"sha-other-{i}"))
            async with engine.begin() as connection:
                await connection.execute(text(f"DELETE FROM cases WHERE id = 'other{i}'"))

    writing = asyncio.gather(*map(write, crowd), come_and_go())
    counted = 0
    while not writing.done():
        await totals.recount()
        assert (await totals.compare()).agree
        counted += 1
    await writing
    assert counted > 1
    await all_is_right(engine)
