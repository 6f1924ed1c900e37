"""A case that is erased leaves its custody chain, and nothing else."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.arrivals import Arriving
from tests.case_rows import new_case, new_evidence
from tests.handlers.leaving_case import Leaving, leaving_case
from tests.handlers.test_forget import Counting, Killed

WORDS = ("Quibbleworth", "Zabaglione", "Marit Solheim", "bench nine", "The quarry", "vanter")
FOLDER = "import:case1-9f"


@pytest_asyncio.fixture(loop_scope="session")
async def quarry(rows: AsyncEngine, redis_client: Redis, tmp_path: Path) -> Leaving:
    made = await leaving_case(rows, redis_client, tmp_path, names=("ledger", "slip", "bank-statement"))
    await made.engine.spawn("upload", FOLDER, {"filename": "late.txt", "bytes": 4}, actor="ann")
    notice = {"title": "ledger.txt is ready", "about": "case:case1", "evidence": made.case.evidence["ledger"]}
    await made.engine.spawn("notification", "user:ann", notice)
    await made.engine.spawn("notification", "user:ann", {"title": "Welcome", "about": "system"})
    await made.question()
    await made.question(cancelled=True)
    await made.carry()
    return made


async def case_machine(quarry: Leaving) -> str:
    machine = await quarry.cases.find_machine("case1")
    assert machine is not None
    return machine


async def erase(quarry: Leaving) -> str:
    machine = await case_machine(quarry)
    await quarry.ask(machine, "remove", reason="opened twice")
    await quarry.ask(machine, "erase")
    await quarry.work()
    await quarry.carry()
    return machine


async def rows_of(quarry: Leaving, statement: str) -> list[tuple[Any, ...]]:
    async with quarry.case.database.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(statement))]


async def test_an_erased_case_is_nowhere_but_in_its_chain(quarry: Leaving) -> None:
    assert await quarry.traces_of(*WORDS) != set()
    machine = await erase(quarry)
    assert (await quarry.machine(machine)).configuration == ["deleted"]
    assert await quarry.traces_of(*WORDS) == set()
    for table in ("cases", "members", "evidence", "chunks", "entities", "mentions", "arrivals", "sealed"):
        assert await rows_of(quarry, f"SELECT count(*) FROM {table}") == [(0,)], table
    assert [path for path in quarry.blobs.root.rglob("*") if path.is_file()] == []
    assert await quarry.store.names("case:case1", "") == [machine]
    assert await quarry.store.names(FOLDER, "") == []
    left = [await quarry.machine(name) for name in await quarry.store.names("user:ann", "notification")]
    assert "Welcome" in {each.context["title"] for each in left}
    assert "case:case1" not in {each.context["about"] for each in left}


async def test_the_chains_of_an_erased_case_tell_who_erased_what_and_can_be_verified(quarry: Leaving) -> None:
    machine = await erase(quarry)
    found = await rows_of(quarry, "SELECT content FROM journal WHERE topic = 'case:case1' ORDER BY seq")
    records = [orjson.loads(bytes(row[0])) for row in found]
    deletions = {r["key"]: r["data"] for r in records if r["what"] == "deletion"}
    told = deletions[f"deletion:{machine}"]
    assert (told["who"], told["why"]) == ("ann", "opened twice")
    assert set(told["topics"]) == {"case:case1", FOLDER}
    assert {d.get("filename") for d in deletions.values()} >= {"ledger.txt", "slip.txt", "bank-statement.txt"}
    for topic in ("case:case1", FOLDER):
        verdict = await quarry.journal.verify(topic, [])
        assert verdict.ok
        assert verdict.rows > 0


async def test_a_removed_case_is_in_no_list_until_it_is_restored(quarry: Leaving) -> None:
    machine = await case_machine(quarry)
    await quarry.ask(machine, "remove")
    await quarry.work()
    assert await quarry.cases.of_user("ann") == []
    assert [row.id for row in await quarry.cases.of_user("ann", hidden=True)] == ["case1"]
    assert await quarry.cases.is_hidden("case1")
    await quarry.ask(machine, "restore")
    await quarry.work()
    assert [row.id for row in await quarry.cases.of_user("ann")] == ["case1"]
    assert not await quarry.cases.is_hidden("case1")


async def test_another_case_keeps_what_it_shares(quarry: Leaving) -> None:
    sha256 = quarry.contents["ledger"]
    await new_case(quarry.case.database, "case2")
    await quarry.arrivals.arrive(Arriving("upload-0-far", "case2", 0, "far.txt"), sha256)
    row = await quarry.evidence.register(new_evidence("case2", sha256, upload="upload-0-far"))
    await erase(quarry)
    assert quarry.blobs.exists(sha256)
    assert (await quarry.evidence.get(row.id)).case_id == "case2"
    assert [path.name for path in quarry.blobs.root.rglob("*") if path.is_file()] == [sha256]


@pytest.mark.parametrize("fatal", [2, 7, 13, 18, 22, 27, 32, 36, 41])
async def test_an_erasure_that_was_killed_ends_as_if_it_had_not_been(quarry: Leaving, fatal: int) -> None:
    Counting.calls, Counting.fatal, Counting.after = 0, fatal, fatal % 2 == 0
    stores = quarry.case_stores
    parts = ("machines", "erasure", "departures", "arrivals", "graphs", "partials", "send", "announce")
    quarry.case_stores = type(stores)(**{part: Counting(getattr(stores, part)) for part in parts})
    machine = await case_machine(quarry)
    await quarry.ask(machine, "remove", reason="opened twice")
    await quarry.ask(machine, "erase")
    with contextlib.suppress(Killed):
        await quarry.work()
    await quarry.work()
    await quarry.carry()
    assert Counting.calls > fatal
    assert (await quarry.machine(machine)).configuration == ["deleted"]
    assert await quarry.traces_of(*WORDS) == set()
    assert await rows_of(quarry, "SELECT * FROM cases") == []
    assert [path for path in quarry.blobs.root.rglob("*") if path.is_file()] == []
    records = await rows_of(quarry, "SELECT count(*) FROM journal WHERE what = 'deletion'")
    assert records == [(4,)]
    assert (await quarry.journal.verify("case:case1", [])).ok
