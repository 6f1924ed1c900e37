"""What a user noticed is kept once, as long as they let it, and goes when they say so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import time

import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.attention import KEPT_S, AttentionNotes
from storage.database import create_engine
from storage.evidence import EvidenceStore
from storage.findings import _note
from storage.votes import Votes
from tests.case_rows import new_case, store
from tests.handlers.small_case import add_user


@dataclass
class Looker:
    """A user before two passages of a case."""

    engine: AsyncEngine
    evidence: list[int]
    nodes: list[int]
    case: str = "case1"

    @property
    def notes(self) -> AttentionNotes:
        return AttentionNotes(self.engine)

    async def look(self, node: int, what: str = "read", query: str = "q", user: str = "a") -> None:
        await Votes(self.engine).note(self.case, user, what, node, query=query, effect=f"{user}{what}{node}")  # type: ignore[arg-type]

    async def kept(self, user: str = "a") -> list[tuple[str, int]]:
        return [(note.what, note.node) for note in await self.notes.notes(self.case, user, time() + 60)]

    async def judge(self, old: int, new: int, effect: str) -> None:
        sources = [{"case": self.case, "chunk": self.nodes[0]}]
        async with self.engine.begin() as connection:
            at = (await connection.execute(text("SELECT now()"))).scalar_one()
            await _note(connection, sources, old, new, effect, {"user": "a", "query": "d", "at": at})


@pytest_asyncio.fixture(loop_scope="session")
async def looker(database: str) -> AsyncIterator[Looker]:
    engine = create_engine(database, pool_size=5)
    case = await new_case(engine)
    for user in "ab":
        await add_user(engine, user)
    evidence = [await store(engine, case, f"text{i}", f"Passage number {i}.") for i in range(2)]
    nodes = [(await EvidenceStore(engine).chunks(one))[0].id for one in evidence]
    yield Looker(engine, evidence, nodes)
    await engine.dispose()


async def test_nothing_is_kept_of_who_has_turned_it_off_but_their_votes(looker: Looker) -> None:
    one, two = looker.nodes
    await looker.look(one)
    await looker.notes.turn("a", on=False)
    await looker.notes.turn("a", on=False)
    assert not await looker.notes.is_on("a")
    assert await looker.notes.is_on("b")
    await looker.look(two)
    await looker.notes.note_shown(looker.case, "a", "q", looker.nodes)
    await looker.judge(0, 1, "accept")
    tally = await Votes(looker.engine).record(looker.case, "a", two, 1, query="q", effect="v", at=time())
    assert tally.sums == {two: 1}
    assert await looker.kept() == []  # nor does count what was kept before
    await looker.notes.turn("a", on=True)
    assert await looker.kept() == [("vote", two), ("read", one)]


async def test_what_is_taken_back_while_turned_off_is_taken_back(looker: Looker) -> None:
    await looker.judge(0, 1, "accept")
    await looker.notes.turn("a", on=False)
    await looker.judge(1, 0, "back")
    await looker.notes.turn("a", on=True)
    assert sum(note.value for note in await looker.notes.notes(looker.case, "a", time() + 60)) == 0


async def test_taking_back_what_was_never_kept_leaves_nothing(looker: Looker) -> None:
    await looker.judge(1, 0, "back")
    assert await looker.kept() == []


async def test_hits_on_screen_are_noted_once_and_only_those_the_case_shows(looker: Looker) -> None:
    one, two = looker.nodes
    row = await EvidenceStore(looker.engine).get(looker.evidence[1])
    assert await EvidenceStore(looker.engine).hide(row.id, row.upload, hidden=True)
    for _ in range(2):
        await looker.notes.note_shown(looker.case, "a", "q", [one, two, 10**9])
    assert await looker.kept() == [("shown", one)]


async def test_what_one_user_noticed_is_nothing_to_another(looker: Looker) -> None:
    await looker.look(looker.nodes[0], user="b")
    assert await looker.kept("a") == []
    await looker.notes.forget_all("a")
    await looker.notes.forget_all("a", looker.case)
    assert not await looker.notes.forget(looker.case, "a", looker.nodes[0], ["read"])
    assert await looker.kept("b") == [("read", looker.nodes[0])]


async def test_forgetting_leaves_the_votes_and_the_number_of_the_last_one(looker: Looker) -> None:
    one, two = looker.nodes
    cast = await Votes(looker.engine).record(looker.case, "a", one, 1, query="q", effect="v", at=time())
    await looker.look(one)
    await looker.look(two)
    assert await looker.notes.forget(looker.case, "a", one, ["view", "read", "shown"])
    assert not await looker.notes.forget(looker.case, "a", one, ["view", "read", "shown"])
    assert sorted(await looker.kept()) == sorted([("read", two), ("vote", one)])
    await looker.notes.forget_all("a", looker.case)
    assert await looker.kept() == [("vote", one)]
    assert await Votes(looker.engine).tally(looker.case) == cast
    assert [vote.node for vote in await looker.notes.votes(looker.case, "a")] == [one]


async def test_what_is_after_the_moment_or_long_before_it_is_not_read(looker: Looker) -> None:
    await looker.look(looker.nodes[0])
    assert await looker.notes.notes(looker.case, "a", time() - 3600) == []
    assert await looker.notes.notes(looker.case, "a", time() + KEPT_S + 3600) == []
    assert await looker.notes.counts("a", [looker.case, "case2"], time()) == {looker.case: 1}
    assert await looker.notes.counts("a", [looker.case], time() + KEPT_S + 3600) == {}


async def test_places_are_told_of_what_is_there_and_in_sight(looker: Looker) -> None:
    one, two = looker.nodes
    places = await looker.notes.places(looker.case, [one, two, looker.evidence[0], 10**9])
    assert {node: (place.what, place.evidence) for node, place in places.items()} == {
        one: ("passage", looker.evidence[0]),
        two: ("passage", looker.evidence[1]),
        looker.evidence[0]: ("evidence", looker.evidence[0]),
    }
    assert places[one].said == "Passage number 0."
    row = await EvidenceStore(looker.engine).get(looker.evidence[0])
    await EvidenceStore(looker.engine).hide(row.id, row.upload, hidden=True)
    assert list(await looker.notes.places(looker.case, [one, two, looker.evidence[0]])) == [two]
    await new_case(looker.engine, "case2")
    assert await looker.notes.places("case2", [two]) == {}


async def test_an_erased_case_and_a_user_who_is_gone_leave_no_rows(looker: Looker) -> None:
    await looker.look(looker.nodes[0])
    await looker.notes.turn("a", on=False)
    async with looker.engine.begin() as connection:
        await connection.execute(text("DELETE FROM cases"))
        await connection.execute(text("DELETE FROM users WHERE id = 'a'"))
        for table in ("attention", "attention_off"):
            assert (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one() == 0
