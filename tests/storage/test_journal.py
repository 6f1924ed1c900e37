"""The custody chain, its signed heads, and what each way of tampering shows."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from server.engine import Engine
from server.journalist import Journalist
from storage.custody_check import Verdict, chain_hash
from storage.custody_heads import CustodyHeads, HeadsError
from storage.database import create_engine
from storage.journal import CustodyJournal, Record, canonical
from storage.journal_stream import Journaled, JournalStream
from storage.machine_store_redis import RedisMachineStore
from tests.patience import PATIENCE_S

TOPIC = "case:chain"
SHARDS = 4


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    made = create_engine(database)
    yield made
    await made.dispose()


@pytest.fixture
def heads(tmp_path: Path) -> CustodyHeads:
    return CustodyHeads(tmp_path / "custody")


@pytest_asyncio.fixture(loop_scope="session")
async def journal(engine: AsyncEngine) -> CustodyJournal:
    return CustodyJournal(engine)


async def chain_of(journal: CustodyJournal, length: int, heads: CustodyHeads | None = None) -> None:
    for number in range(length):
        await journal.record_access(TOPIC, "ann", "read", number)
    if heads is not None:
        heads.sign(await journal.heads())


async def tamper(engine: AsyncEngine, *statements: str, **values: object) -> None:
    async with engine.begin() as connection:
        # As someone who owns the database would: past any trigger.
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            await connection.execute(text(statement), values)


async def verdict(journal: CustodyJournal, heads: CustodyHeads) -> Verdict:
    return await journal.verify(TOPIC, heads.read(TOPIC))


async def test_an_untouched_chain_is_well(journal: CustodyJournal, heads: CustodyHeads) -> None:
    await chain_of(journal, 5, heads)
    await journal.record_access(TOPIC, "bob", "download", 6)
    found = await verdict(journal, heads)
    assert (found.ok, found.rows, found.signed_to) == (True, 6, 5)


async def test_a_changed_row_shows(journal: CustodyJournal, heads: CustodyHeads, engine: AsyncEngine) -> None:
    await chain_of(journal, 5)
    await tamper(
        engine,
        "UPDATE journal SET content = decode(replace(encode(content, 'escape'), 'ann', 'bob'), 'escape') "
        "WHERE seq = 3",
    )
    assert [problem.seq for problem in (await verdict(journal, heads)).problems] == [3]


async def test_a_row_changed_together_with_its_hash_shows(
    journal: CustodyJournal, heads: CustodyHeads, engine: AsyncEngine
) -> None:
    await chain_of(journal, 5)
    async with engine.connect() as connection:
        found = await connection.execute(text("SELECT content, previous FROM journal WHERE seq = 3"))
        content, previous = found.one()
    forged = canonical(orjson.loads(content) | {"data": {"who": "bob", "what": "read", "evidence": 2}})
    await tamper(
        engine,
        "UPDATE journal SET content = :content, hash = :hash WHERE seq = 3",
        content=forged,
        hash=chain_hash(previous, forged),
    )
    assert [problem.seq for problem in (await verdict(journal, heads)).problems] == [4]


@pytest.mark.parametrize(
    "change", ["event_key = 'access:other'", "what = 'transition'", "at = at - interval '1 day'"]
)
async def test_a_changed_column_shows(
    journal: CustodyJournal, heads: CustodyHeads, engine: AsyncEngine, change: str
) -> None:
    await chain_of(journal, 3)
    await tamper(engine, f"UPDATE journal SET {change} WHERE seq = 2")
    assert [problem.seq for problem in (await verdict(journal, heads)).problems] == [2]


async def test_a_dropped_row_shows(journal: CustodyJournal, heads: CustodyHeads, engine: AsyncEngine) -> None:
    await chain_of(journal, 5)
    await tamper(engine, "DELETE FROM journal WHERE seq = 3")
    found = await verdict(journal, heads)
    assert not found.ok
    assert found.problems[0].seq == 3


async def test_a_cut_tail_shows_by_its_signed_head(
    journal: CustodyJournal, heads: CustodyHeads, engine: AsyncEngine
) -> None:
    await chain_of(journal, 5, heads)
    await tamper(engine, "DELETE FROM journal WHERE seq > 3")
    assert (await journal.verify(TOPIC, [])).ok  # the chain alone cannot tell
    found = await verdict(journal, heads)
    assert [problem.seq for problem in found.problems] == [5]


async def test_a_chain_written_anew_shows_by_its_signed_head(
    journal: CustodyJournal, heads: CustodyHeads, engine: AsyncEngine
) -> None:
    await chain_of(journal, 5, heads)
    await tamper(engine, "DELETE FROM journal")
    await chain_of(journal, 6)
    assert (await journal.verify(TOPIC, [])).ok
    assert [problem.seq for problem in (await verdict(journal, heads)).problems] == [5]


async def test_a_forged_head_shows(journal: CustodyJournal, heads: CustodyHeads, tmp_path: Path) -> None:
    await chain_of(journal, 3, heads)
    file = tmp_path / "custody" / "heads.jsonl"
    head = orjson.loads(file.read_bytes())
    file.write_bytes(orjson.dumps(head | {"seq": 2}) + b"\n")
    assert [problem.seq for problem in (await verdict(journal, heads)).problems] == [2]


async def test_a_head_that_was_cut_short_by_a_loss_of_power_is_written_anew(
    journal: CustodyJournal, heads: CustodyHeads, tmp_path: Path
) -> None:
    await chain_of(journal, 3, heads)
    file = tmp_path / "custody" / "heads.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:40])
    await journal.record_access(TOPIC, "bob", "read", 4)
    heads.sign(await journal.heads())
    assert [head.seq for head in heads.read(TOPIC)] == [3, 4]
    assert (await verdict(journal, heads)).ok
    file.write_bytes(b"no head\n" + whole)
    with pytest.raises(HeadsError, match="line 1"):
        heads.read(TOPIC)


def test_the_signing_key_is_readable_by_its_owner_alone(heads: CustodyHeads, tmp_path: Path) -> None:
    heads.sign({TOPIC: (1, "0" * 64)})
    key = tmp_path / "custody" / "key.pem"
    assert stat.S_IMODE(os.stat(key).st_mode) == 0o600
    before = key.read_bytes()
    heads.sign({TOPIC: (2, "1" * 64)})
    assert key.read_bytes() == before


async def test_a_record_that_comes_again_is_written_once(
    journal: CustodyJournal, engine: AsyncEngine
) -> None:
    records = [Record(TOPIC, f"m:{n}:x", "transition", {"n": n}, 1e9 + n) for n in (1, 2, 2)]
    for _ in range(2):
        async with engine.begin() as connection:
            await journal.append(connection, records)
    assert (await journal.heads())[TOPIC][0] == 2


async def test_writers_of_one_topic_do_not_break_its_chain(
    journal: CustodyJournal, heads: CustodyHeads
) -> None:
    await asyncio.gather(*(journal.record_access(TOPIC, f"user{n}", "read", n) for n in range(20)))
    found = await verdict(journal, heads)
    assert (found.ok, found.rows) == (True, 20)


# --- from the machines' commits ------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="session")
async def machines(redis_client: Redis) -> Engine:
    return Engine(RedisMachineStore(redis_client, shards=SHARDS, era="test"), shards=SHARDS)


def journalist_of(
    machines: Engine, engine: AsyncEngine, journal: CustodyJournal, heads: CustodyHeads, redis: Redis
) -> Journalist:
    return Journalist(
        store=machines.store,
        stream=JournalStream(redis, shards=SHARDS),
        database=engine,
        journal=journal,
        heads=heads,
    )


async def carry_all(journalist: Journalist) -> None:
    while await journalist.carry():
        pass


async def rows_of(engine: AsyncEngine, topic: str) -> list[dict[str, object]]:
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT content FROM journal WHERE topic = :topic ORDER BY seq"), {"topic": topic}
        )
        return [orjson.loads(content)["data"] for content in found.scalars()]


async def a_case(machines: Engine, topic: str) -> str:
    case = await machines.spawn("case", topic, {"title": "Rain"}, actor="ann")
    for event in ("hold", "proceed", "close", "reopen"):
        await machines.send(case.machine, event, {}, source="client", actor="ann", role="owner")
    return case.machine


async def test_every_transition_of_every_topic_is_chained_in_order(
    machines: Engine,
    engine: AsyncEngine,
    journal: CustodyJournal,
    heads: CustodyHeads,
    redis_client: Redis,
) -> None:
    topics = [f"case:{n}" for n in range(6)]
    await asyncio.gather(*(a_case(machines, topic) for topic in topics))
    await carry_all(journalist_of(machines, engine, journal, heads, redis_client))
    for topic in topics:
        rows = await rows_of(engine, topic)
        assert [row["event"] for row in rows] == ["spawn", "hold", "proceed", "close", "reopen"]
        assert [row["revision"] for row in rows] == [1, 2, 3, 4, 5]
        assert {row["actor"] for row in rows} == {"ann"}
        assert (await journal.verify(topic, [])).ok
    assert await JournalStream(redis_client, shards=SHARDS).lengths() == {}


async def test_a_journalist_that_dies_before_it_clears_the_stream_writes_nothing_twice(
    machines: Engine,
    engine: AsyncEngine,
    journal: CustodyJournal,
    heads: CustodyHeads,
    redis_client: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await a_case(machines, TOPIC)
    journalist = journalist_of(machines, engine, journal, heads, redis_client)

    async def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(JournalStream, "remove", die)
        with pytest.raises(KeyboardInterrupt):
            await journalist.carry()
    assert len(await rows_of(engine, TOPIC)) == 5
    await carry_all(journalist)
    assert len(await rows_of(engine, TOPIC)) == 5


async def test_several_journalists_keep_the_order_of_a_topic(
    machines: Engine,
    engine: AsyncEngine,
    journal: CustodyJournal,
    heads: CustodyHeads,
    redis_client: Redis,
) -> None:
    several = [journalist_of(machines, engine, CustodyJournal(engine), heads, redis_client) for _ in range(3)]
    for _ in range(4):
        await asyncio.gather(a_case(machines, TOPIC), *(each.carry() for each in several))
    await carry_all(several[0])
    revisions: dict[object, list[object]] = {}
    for row in await rows_of(engine, TOPIC):
        revisions.setdefault(row["machine"], []).append(row["revision"])
    assert list(revisions.values()) == [[1, 2, 3, 4, 5]] * 4
    assert (await journal.verify(TOPIC, [])).ok


class Slow(JournalStream):
    """Reads when it may."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis, shards=SHARDS)
        self.reading, self.may = asyncio.Event(), asyncio.Event()

    async def read(self, shard: int, limit: int) -> list[Journaled]:
        self.reading.set()
        await self.may.wait()
        return await super().read(shard, limit)


async def test_one_of_several_journalists_carries_a_shard_at_a_time(
    machines: Engine,
    engine: AsyncEngine,
    journal: CustodyJournal,
    heads: CustodyHeads,
    redis_client: Redis,
) -> None:
    await a_case(machines, TOPIC)
    slow = Slow(redis_client)
    first = Journalist(store=machines.store, stream=slow, database=engine, journal=journal, heads=heads)
    second = journalist_of(machines, engine, journal, heads, redis_client)
    carrying = asyncio.create_task(first.carry())
    await asyncio.wait_for(slow.reading.wait(), PATIENCE_S)
    assert await second.carry() == 0
    slow.may.set()
    assert await asyncio.wait_for(carrying, PATIENCE_S) > 0
    assert await second.carry() == 0
    assert len(await slow.lengths()) == 0


async def test_heads_are_signed_when_chains_have_grown(
    machines: Engine,
    engine: AsyncEngine,
    journal: CustodyJournal,
    heads: CustodyHeads,
    redis_client: Redis,
) -> None:
    await a_case(machines, TOPIC)
    journalist = journalist_of(machines, engine, journal, heads, redis_client)
    await carry_all(journalist)
    await journalist.sign()
    await journalist.sign()
    assert [(head.topic, head.seq, head.valid) for head in heads.read()] == [(TOPIC, 5, True)]
    again = journalist_of(machines, engine, CustodyJournal(engine), heads, redis_client)
    await again.sign(every=True)
    assert len(heads.read()) == 1


async def test_a_finished_machine_leaves_redis_once_postgres_has_it(
    machines: Engine,
    engine: AsyncEngine,
    journal: CustodyJournal,
    heads: CustodyHeads,
    redis_client: Redis,
) -> None:
    upload = await machines.spawn(
        "upload", TOPIC, {"filename": "a.pdf"}, source="client", actor="ann", role="owner"
    )
    live = await a_case(machines, TOPIC)
    await machines.send(upload.machine, "cancel", {}, source="client", actor="ann", role="owner")
    journalist = journalist_of(machines, engine, journal, heads, redis_client)
    assert await journalist.evict(before=2e9 * 2) == 0
    assert await machines.load(upload.machine) is not None
    await carry_all(journalist)
    assert await journalist.evict(before=1e9) == 0
    assert await journalist.evict(before=2e9 * 2) == 1
    assert await machines.load(upload.machine) is None
    assert await machines.load(live) is not None
    async with engine.connect() as connection:
        kept = await connection.execute(text("SELECT id, terminated FROM archived_machines ORDER BY kind"))
        assert [tuple(row) for row in kept] == [(live, False), (upload.machine, True)]
