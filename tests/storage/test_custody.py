"""Each way of tampering with a chain, or with its heads, is named: where, and what is wrong."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from server.custody import known_heads, told
from storage.custody_check import FIRST, chain_hash
from storage.custody_heads import CustodyHeads, Head, heads_in
from storage.database import create_engine
from storage.journal import CustodyJournal, canonical, transition

TOPIC = "case:chain"


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    made = create_engine(database)
    yield made
    await made.dispose()


class Custody:
    """A chain of eight rows, of which the first six are signed, and a copy of its heads elsewhere."""

    def __init__(self, engine: AsyncEngine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder / "custody"
        self.copy = folder / "copy.jsonl"
        self.journal = CustodyJournal(engine)
        self.heads = CustodyHeads(self.folder)

    async def begin(self) -> None:
        await self.look(0, 3)
        await self.sign()
        await self.look(3, 6)
        await self.sign()
        shutil.copy(self.folder / "heads.jsonl", self.copy)
        await self.look(6, 8)

    async def look(self, first: int, last: int) -> None:
        for number in range(first, last):
            await self.journal.record_access(TOPIC, "ann", "read", number)

    async def sign(self) -> None:
        self.heads.sign(await self.journal.heads())

    async def run(self, *statements: str, **values: object) -> None:
        """As someone who owns the database would: past any trigger."""
        async with self.engine.begin() as connection:
            await connection.execute(text("SET LOCAL session_replication_role = replica"))
            for statement in statements:
                await connection.execute(text(statement), values)

    async def rewrite(self, first: int, *, who: str = "eve") -> None:
        """Every row from `first` on anew, consistently, as if somebody else had looked."""
        async with self.engine.connect() as connection:
            rows = (
                await connection.execute(text("SELECT seq, content, hash FROM journal ORDER BY seq"))
            ).all()
        previous = FIRST
        for seq, content, digest in rows:
            if seq < first:
                previous = digest
                continue
            told = orjson.loads(bytes(content))
            forged = canonical(told | {"data": told["data"] | {"who": who}})
            digest = chain_hash(previous, forged)
            await self.run(
                "UPDATE journal SET content = :content, previous = :previous, hash = :hash WHERE seq = :seq",
                content=forged, previous=previous, hash=digest, seq=seq,
            )  # fmt: skip
            previous = digest

    async def lines(self, *, copies: bool = False) -> list[str]:
        """What `casewire custody verify` prints, less the first line of a chain."""
        heads, problems = known_heads(self.heads, [self.copy] if copies else [])
        verdict = await self.journal.verify(TOPIC, [head for head in heads if head.topic == TOPIC])
        return [*problems, *(line.strip() for line in told(verdict)[1:])]

    def own_heads(self) -> list[bytes]:
        return (self.folder / "heads.jsonl").read_bytes().splitlines(keepends=True)

    def put_heads(self, *lines: bytes) -> None:
        (self.folder / "heads.jsonl").write_bytes(b"".join(lines))


@pytest_asyncio.fixture(loop_scope="session")
async def custody(engine: AsyncEngine, tmp_path: Path) -> Custody:
    made = Custody(engine, tmp_path)
    await made.begin()
    return made


async def test_nothing_is_wrong_with_an_untouched_chain(custody: Custody) -> None:
    assert await custody.lines(copies=True) == []
    heads, _ = known_heads(custody.heads, [])
    verdict = await custody.journal.verify(TOPIC, heads)
    assert told(verdict) == [f"{TOPIC}: 8 rows, signed to 6: whole"]


async def test_one_changed_row_is_named(custody: Custody) -> None:
    changed = "decode(replace(encode(content, 'escape'), 'ann', 'eve'), 'escape')"
    await custody.run(f"UPDATE journal SET content = {changed} WHERE seq = 4")
    assert await custody.lines() == ["row 4: its content is not what its hash was computed from"]


@pytest.mark.parametrize("place", [0, 40, 90])
async def test_one_changed_byte_is_named(custody: Custody, place: int) -> None:
    await custody.run(
        "UPDATE journal SET content = set_byte(content, :place, get_byte(content, :place) # 1) WHERE seq = 2",
        place=place,
    )
    assert await custody.lines() == ["row 2: its content is not what its hash was computed from"]


async def test_two_rows_in_another_order_are_named(custody: Custody) -> None:
    await custody.run(
        "UPDATE journal SET seq = 100 WHERE seq = 3",
        "UPDATE journal SET seq = 3 WHERE seq = 4",
        "UPDATE journal SET seq = 4 WHERE seq = 100",
    )
    lines = await custody.lines()
    assert "row 3: it does not follow from the row before" in lines
    assert "row 3: its seq was changed" in lines
    assert "row 4: its seq was changed" in lines


async def test_a_cut_tail_is_named_as_far_as_it_was_signed(custody: Custody) -> None:
    await custody.run("DELETE FROM journal WHERE seq > 4")
    assert await custody.lines() == ["row 6: it was signed, yet the chain ends at row 4"]


async def test_a_dropped_row_is_named(custody: Custody) -> None:
    await custody.run("DELETE FROM journal WHERE seq = 5")
    assert await custody.lines() == ["row 5: row 5 is missing"]
    await custody.run("DELETE FROM journal WHERE seq = 4")
    assert await custody.lines() == ["row 4: rows 4 to 5 are missing"]


async def test_a_row_that_was_put_in_is_named(custody: Custody) -> None:
    await custody.run(
        "UPDATE journal SET seq = seq + 100 WHERE seq >= 4",
        "UPDATE journal SET seq = seq - 99 WHERE seq >= 104",
        "INSERT INTO journal (topic, seq, event_key, what, content, previous, hash, at) "
        "SELECT topic, 4, 'access:forged', what, content, hash, hash, at FROM journal WHERE seq = 3",
    )
    lines = await custody.lines()
    assert "row 4: its content is not what its hash was computed from" in lines
    assert "row 5: its seq was changed" in lines
    assert "row 6: it is not the row whose hash was signed" in lines


async def test_a_chain_written_anew_is_found_by_its_signed_heads_alone(custody: Custody) -> None:
    await custody.rewrite(1)
    assert (await custody.journal.verify(TOPIC, [])).ok
    assert await custody.lines() == [
        "row 3: it is not the row whose hash was signed",
        "row 6: it is not the row whose hash was signed",
    ]


async def test_a_chain_written_anew_behind_the_last_head_is_not_vouched_for(custody: Custody) -> None:
    await custody.rewrite(7)
    heads, _ = known_heads(custody.heads, [])
    verdict = await custody.journal.verify(TOPIC, heads)
    assert (verdict.ok, verdict.signed_to) == (True, 6)


async def test_a_forged_head_is_named(custody: Custody) -> None:
    await custody.rewrite(1)
    last = orjson.loads(custody.own_heads()[1])
    new = (await custody.journal.heads())[TOPIC]
    custody.put_heads(custody.own_heads()[0], orjson.dumps(last | {"seq": new[0], "hash": new[1]}) + b"\n")
    assert "row 8: the signature of its head is not valid" in await custody.lines()


async def test_a_head_that_was_taken_out_is_named(custody: Custody) -> None:
    custody.put_heads(custody.own_heads()[1])
    assert await custody.lines() == ["row 6: the line before its head (line 1) was removed or changed"]


async def test_heads_that_were_taken_off_the_end_are_named_by_a_copy(custody: Custody) -> None:
    await custody.run("DELETE FROM journal WHERE seq > 4")
    custody.put_heads(custody.own_heads()[0])
    assert await custody.lines() == []
    assert await custody.lines(copies=True) == [
        "line 2 of copy.jsonl, the head of row 6 of case:chain, is not among the heads of this instance",
        "row 6: it was signed, yet the chain ends at row 4",
    ]


async def test_a_replaced_key_is_named_by_a_copy_whatever_was_signed_with_it(custody: Custody) -> None:
    await custody.rewrite(1)
    shutil.rmtree(custody.folder)
    await custody.sign()
    assert await custody.lines() == []  # all of it was written anew, and signed
    lines = await custody.lines(copies=True)
    assert lines[0].startswith("copy.jsonl was signed with the key ")
    assert lines[0].endswith(": the key was replaced")
    assert "row 6: it is not the row whose hash was signed" in lines


async def test_heads_of_another_key_do_not_count_even_where_they_name_it(custody: Custody) -> None:
    (custody.folder / "key.pem").unlink()
    custody.heads.sign({"case:other": (1, FIRST)})
    heads = heads_in(custody.folder / "heads.jsonl", custody.heads.public_key())
    assert [head.valid for head in heads] == [True, True, True]  # each by the key that it names
    assert await custody.lines() == [
        "row 3: the signature of its head is not valid",
        "row 6: the signature of its head is not valid",
    ]


async def test_heads_of_an_earlier_release_still_count(custody: Custody, tmp_path: Path) -> None:
    key = custody.heads._key()
    rows = await custody.journal.heads()
    seq, digest = rows[TOPIC]
    signature = key.sign(orjson.dumps([TOPIC, seq, digest, 5.5])).hex()
    line = {"topic": TOPIC, "seq": seq, "hash": digest, "at": 5.5, "signature": signature}
    custody.put_heads(orjson.dumps(line) + b"\n")
    await custody.look(8, 9)
    await custody.sign()
    assert [(head.seq, head.valid, head.follows) for head in custody.heads.read()] == [
        (8, True, True),
        (9, True, True),
    ]
    assert await custody.lines() == []


async def test_a_text_kept_beside_the_chain_that_is_not_the_sealed_one_is_named(
    engine: AsyncEngine, custody: Custody
) -> None:
    entry = {
        "machine": "query-0-a", "kind": "query", "revision": 1, "at": 1e9, "event": "spawn",
        "context": {"question": "Who paid?", "hits": {"4": {"evidence": 7, "snippet": "95,000 kroner"}}},
    }  # fmt: skip
    async with engine.begin() as connection:
        await custody.journal.append(connection, [transition(TOPIC, orjson.dumps(entry))])
    assert await custody.lines() == []
    await custody.run("UPDATE sealed SET value = '\"Who paid more?\"' WHERE place = 'question'")
    assert await custody.lines() == ["row 9: the text kept for its question is not the one that was sealed"]
    await custody.run("DELETE FROM sealed")
    verdict = await custody.journal.verify(TOPIC, [])
    assert (verdict.ok, verdict.forgotten) == (True, 2)


def test_a_head_tells_what_was_signed(tmp_path: Path) -> None:
    heads = CustodyHeads(tmp_path)
    heads.sign({TOPIC: (1, FIRST)})
    (head,) = heads.read()
    assert isinstance(head, Head)
    heads.public_key().verify(bytes.fromhex(head.signature), head.message)
