"""Votes stand once a user and node, whatever comes twice, late or at the same time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.database import create_engine
from storage.evidence import EvidenceStore
from storage.votes import CLAMP, NotInCase, Tally, Votes
from tests.case_rows import new_case, store
from tests.handlers.small_case import add_user


@dataclass
class Ballot:
    """A case with some nodes to vote on."""

    engine: AsyncEngine
    nodes: list[int]
    case: str = "case1"
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def cast(
        self,
        user: str,
        node: int,
        value: int,
        *,
        effect: str = "",
        at: float | None = None,
        query: str = "q",
    ) -> Tally:
        number = next(self.numbers)
        return await Votes(self.engine).record(
            self.case,
            user,
            node,
            value,
            query=query,
            effect=effect or f"e{number}",
            at=1000.0 + number if at is None else at,
        )

    async def tally(self) -> Tally:
        return await Votes(self.engine).tally(self.case)


@pytest_asyncio.fixture(loop_scope="session")
async def ballot(database: str) -> AsyncIterator[Ballot]:
    engine = create_engine(database, pool_size=10)
    case = await new_case(engine)
    for user in "abcde":
        await add_user(engine, user)
    chunks = []
    for i in range(3):
        evidence = await store(engine, case, f"text{i}", f"Passage number {i}.")
        chunks += [chunk.id for chunk in await EvidenceStore(engine).chunks(evidence)]
    yield Ballot(engine, chunks)
    await engine.dispose()


async def test_votes_of_users_add_up_and_the_last_of_each_counts(ballot: Ballot) -> None:
    one, two, _ = ballot.nodes
    await ballot.cast("a", one, 1)
    await ballot.cast("b", one, 1)
    await ballot.cast("b", two, 1)
    tally = await ballot.cast("b", two, -1)
    assert tally.sums == {one: 2, two: -1}
    assert tally == await ballot.tally()


async def test_a_repeated_effect_records_nothing_twice(ballot: Ballot) -> None:
    one = ballot.nodes[0]
    first = await ballot.cast("a", one, 1, effect="same")
    await ballot.cast("a", one, 0)
    again = await ballot.cast("a", one, 1, effect="same")
    assert first.sums == {one: 1}
    assert again.sums == {}
    assert again.as_of == first.as_of + 1


async def test_taking_a_vote_back_leaves_what_was_before(ballot: Ballot) -> None:
    one, two, _ = ballot.nodes
    before = await ballot.cast("a", one, 1)
    await ballot.cast("b", two, -1)
    after = await ballot.cast("b", two, 0)
    assert after.sums == before.sums
    assert after.as_of > before.as_of


async def test_a_vote_that_arrives_late_does_not_outlive_a_later_one(ballot: Ballot) -> None:
    one = ballot.nodes[0]
    await ballot.cast("a", one, 0, at=20.0)
    late = await ballot.cast("a", one, 1, at=10.0)
    assert late.sums == {}


async def test_a_tally_tells_where_each_standing_vote_was_cast(ballot: Ballot) -> None:
    one, two, three = ballot.nodes
    await ballot.cast("a", one, 1, query="q1")
    await ballot.cast("b", one, 1, query="q1")
    await ballot.cast("b", one, 1, query="q2")
    await ballot.cast("a", two, -1, query="q1")
    await ballot.cast("c", three, 1, query="q1")
    await ballot.cast("c", three, 1, query="q2")
    await ballot.cast("c", three, 0, query="q1")
    tally = await ballot.cast("c", three, 1, query="q3")
    assert tally == await ballot.tally()
    # What was taken back is counted nowhere any more, although the passage is voted up again.
    assert tally.cast == {
        (one, "q1", "", True),
        (one, "q2", "", True),
        (two, "q1", "", False),
        (three, "q3", "", True),
    }
    assert [tally.cast_in(query, "") for query in ("q1", "q3", "q4")] == [{one, two}, {three}, frozenset()]
    # The others outvote who voted it down in q1; nobody voted it up there.
    await ballot.cast("b", two, 1, query="q2")
    tally = await ballot.cast("c", two, 1, query="q2")
    assert [tally.cast_in(query, "") for query in ("q1", "q2")] == [{one}, {one, two}]


async def test_a_vote_is_found_by_the_words_of_its_question_in_its_own_case_alone(ballot: Ballot) -> None:
    await new_case(ballot.engine, "case2")
    asked = {"q1": (ballot.case, "Who  paid Hill?"), "q2": ("case2", "Who paid nobody?")}
    async with ballot.engine.begin() as connection:
        for query, (case, question) in asked.items():
            values = {"id": query, "case": case, "question": question}
            for row in (
                "INSERT INTO conversations (case_id, id, asker, started_at, last_at) "
                "VALUES (:case, :id, 'a', 1, 1)",
                "INSERT INTO questions (machine, case_id, conversation, asker, asked_at, question, answer, "
                "revision, updated_at) VALUES (:id, :case, :id, 'a', 1, :question, '', 1, 1)",
            ):
                await connection.execute(text(row), values)
    one, two, three = ballot.nodes
    for query, node in (("q1", one), ("q2", two), ("q3", three)):
        await ballot.cast("a", node, 1, query=query)
    tally = await ballot.tally()
    assert tally.cast_in("q9", " who paid HILL? ") == {one}
    assert tally.cast_in("q9", "Who paid nobody?") == frozenset()
    # A question that is not archived yet has no words that another could share.
    assert tally.cast_in("q9", "") == frozenset()


async def test_sums_are_clamped(ballot: Ballot) -> None:
    one, two, _ = ballot.nodes
    for user in "abcde":
        await ballot.cast(user, one, 1)
        await ballot.cast(user, two, -1)
    assert (await ballot.tally()).sums == {one: CLAMP, two: -CLAMP}


async def test_simultaneous_votes_are_all_counted_and_numbered_apart(ballot: Ballot) -> None:
    cast = [ballot.cast(user, node, 1) for user in "abcde" for node in ballot.nodes]
    tallies = await asyncio.gather(*cast)
    assert len({tally.as_of for tally in tallies}) == len(tallies)
    for earlier, later in itertools.pairwise(sorted(tallies, key=lambda tally: tally.as_of)):
        assert sum(earlier.sums.values()) <= sum(later.sums.values())
    assert (await ballot.tally()).sums == dict.fromkeys(ballot.nodes, CLAMP)


async def test_a_node_of_another_case_takes_no_vote(ballot: Ballot) -> None:
    other = await new_case(ballot.engine, "case2")
    evidence = await store(ballot.engine, other, "foreign", "Elsewhere.")
    [chunk] = await EvidenceStore(ballot.engine).chunks(evidence)
    with pytest.raises(NotInCase):
        await ballot.cast("a", chunk.id, 1)
    assert await ballot.tally() == Tally(0, {})


async def test_a_view_is_noted_once_and_moves_no_vote(ballot: Ballot) -> None:
    votes = Votes(ballot.engine)
    for _ in range(2):
        await votes.note(ballot.case, "a", "view", ballot.nodes[0], query="", effect="seen")
    assert await ballot.tally() == Tally(0, {})
    await ballot.cast("a", ballot.nodes[0], 1)
    assert (await ballot.tally()).sums == {ballot.nodes[0]: 1}
    with pytest.raises(NotInCase):
        await votes.note(ballot.case, "a", "read", 10**9, query="", effect="other")
