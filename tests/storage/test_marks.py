"""What changes leaves marks in the same transaction, and nothing is passed over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.database import create_engine
from storage.entities import Entities, MentionDraft
from storage.evidence import EvidenceStore
from storage.follow import KINDS, Comparison, Kind, Mark
from storage.marks import Marks
from storage.similarities import Similarities
from storage.vectors import Near
from storage.vectors_pgvector import PgVectors
from tests.case_rows import new_case, store, unit
from tests.storage.following import mark_all, until_known


class Idle:
    """A follower that holds nothing: what is tested are its marks."""

    def __init__(self, kinds: Sequence[Kind] = KINDS, name: str = "vectors", target: str = "here") -> None:
        self.name, self.kinds, self.target = name, frozenset(kinds), target

    async def apply(self, marks: Sequence[Mark]) -> None: ...

    async def check(self) -> str:
        return "nothing"

    async def wipe(self) -> None: ...

    async def compare(self) -> Comparison:
        return Comparison(0, 0, 0, 0)

    async def aclose(self) -> None: ...


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


@pytest.fixture
def marks(engine: AsyncEngine) -> Marks:
    return Marks(engine)


async def taken(marks: Marks, name: str = "vectors") -> set[tuple[str, str, int]]:
    """What is marked, which is then done."""
    found = await marks.take(name, 10_000)
    assert len({(m.case, m.kind, m.node) for m in found}) <= len(found)
    await marks.done(name, found)
    return {(m.case, m.kind, m.node) for m in found}


async def test_where_nobody_follows_nothing_is_marked(engine: AsyncEngine, marks: Marks) -> None:
    await store(engine, await new_case(engine), "a", "One text.")
    await marks.register(Idle())
    assert await marks.take("vectors", 10) == []


async def test_every_change_is_marked_for_those_who_copy_it(engine: AsyncEngine, marks: Marks) -> None:
    await marks.register(Idle())
    await marks.register(Idle(["poi"], name="graph"))
    case = await new_case(engine)
    assert await taken(marks) == {(case, "case", 0)}
    evidence = await store(engine, case, "a", "One text.\n\n" * 400)
    assert {(case, "evidence", evidence), (case, "chunks", evidence)} <= await taken(marks)
    chunks = [chunk.id for chunk in await EvidenceStore(engine).chunks(evidence)]
    assert len(chunks) > 1
    await PgVectors(engine).put(case, {chunk: unit(1) for chunk in chunks})
    assert await taken(marks) == {(case, "vector", chunk) for chunk in chunks}
    await Similarities(engine).put(case, [Near(chunks[0], chunks[1], 0.9)])
    assert await taken(marks) == {(case, "similar", chunks[0])}
    drafts = [MentionDraft("person", "ann", "Ann", chunks[0], start, start + 1) for start in range(5)]
    await Entities(engine).replace(case, evidence, drafts, pois=[])
    found = await taken(marks)
    assert (case, "mention", evidence) in found
    assert {kind for _, kind, _ in found} == {"mention", "entity"}
    await EvidenceStore(engine).hide(evidence, "upload-0-a", hidden=True)
    assert await taken(marks) == {(case, "evidence", evidence)}
    assert await taken(marks, "graph") == set()


async def test_a_transaction_marks_a_thing_once(engine: AsyncEngine, marks: Marks) -> None:
    await marks.register(Idle(["mention"]))
    case = await new_case(engine)
    evidence = await store(engine, case, "a", "One text.")
    (chunk,) = await EvidenceStore(engine).chunks(evidence)
    drafts = [MentionDraft("person", f"p{i}", f"P{i}", chunk.id, i, i + 1) for i in range(9)]
    await Entities(engine).replace(case, evidence, drafts, pois=[])
    assert len(await marks.take("vectors", 100)) == 1


async def test_what_stays_the_same_is_not_marked(engine: AsyncEngine, marks: Marks) -> None:
    case = await new_case(engine)
    evidence = await store(engine, case, "a", "One text.")
    (chunk,) = await EvidenceStore(engine).chunks(evidence)
    await PgVectors(engine).put(case, {chunk.id: unit(1)})
    await marks.register(Idle())
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE chunks SET boxes = '[[0, 0, 1, 1]]'"))
        await connection.execute(text("UPDATE evidence SET meta = '{}'"))
    await PgVectors(engine).put(case, {chunk.id: unit(1)})
    assert await taken(marks) == set()


async def test_an_erased_case_leaves_one_mark(engine: AsyncEngine, marks: Marks) -> None:
    case = await new_case(engine)
    for name in "abc":
        await store(engine, case, name, "One text.")
    await marks.register(Idle())
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM cases"))
    assert [(m.kind, m.node) for m in await marks.take("vectors", 100)] == [("case", 0)]


async def test_deleted_evidence_marks_its_chunks(engine: AsyncEngine, marks: Marks) -> None:
    case = await new_case(engine)
    evidence = await store(engine, case, "a", "One text.")
    await marks.register(Idle())
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM evidence"))
    assert await taken(marks) == {(case, "evidence", evidence), (case, "chunks", evidence)}


async def test_a_mark_that_is_committed_late_is_not_passed_over(engine: AsyncEngine, marks: Marks) -> None:
    await marks.register(Idle(["poi"]))
    case = await new_case(engine)
    add = text("INSERT INTO pois (case_id, name, aliases, note, machine) VALUES (:c, :n, '[]', '', '')")
    async with engine.connect() as slow:
        await slow.execute(add, {"c": case, "n": "late"})
        async with engine.begin() as connection:
            await connection.execute(add, {"c": case, "n": "early"})
        first = await taken(marks)
        await slow.commit()
    assert len(first) == 1
    assert len(await taken(marks) - first) == 1


async def test_what_somebody_else_applied_as_well_is_looked_at_again(
    engine: AsyncEngine, marks: Marks
) -> None:
    await marks.register(Idle(["case"]))
    case = await new_case(engine)
    both = await marks.take("vectors", 10)
    await marks.done("vectors", both)
    assert await marks.take("vectors", 10) == []
    await marks.done("vectors", both)
    assert [(m.case, m.kind) for m in await marks.take("vectors", 10)] == [(case, "case")]


async def test_filling_begins_when_no_transaction_is_left_that_did_not_know_of_it(
    engine: AsyncEngine, marks: Marks
) -> None:
    case = await new_case(engine)
    add = text("INSERT INTO pois (case_id, name, aliases, note, machine) VALUES (:c, 'x', '[]', '', '')")
    async with engine.connect() as slow:
        await slow.execute(add, {"c": case})
        await marks.register(Idle(["poi"]))
        assert not await marks.is_known_to_all("vectors")
        assert not await marks.is_known_to_all("vectors")
        await slow.commit()
    await until_known(marks, "vectors")
    await mark_all(marks, Idle(["poi"]))
    assert len(await taken(marks)) == 1


async def test_all_that_is_there_is_marked_bit_by_bit(engine: AsyncEngine, marks: Marks) -> None:
    case = await new_case(engine)
    ids = [await store(engine, case, name, "One text.") for name in "abcde"]
    follower = Idle(["case", "chunks", "vector", "poi"])
    await marks.register(follower)
    await mark_all(marks, follower)
    assert await marks.phase("vectors") == "filling"
    (state,) = await marks.states()
    assert (state.total, state.filled < 1) == (6, True)
    assert not await marks.settle("vectors")
    assert await taken(marks) == {(case, "case", 0), *((case, "chunks", node) for node in ids)}
    assert await marks.settle("vectors")
    (state,) = await marks.states()
    assert (state.phase, state.filled, state.waiting) == ("following", 1.0, 0)


async def test_marking_pauses_while_many_wait(engine: AsyncEngine, marks: Marks) -> None:
    case = await new_case(engine)
    for name in "abcd":
        await store(engine, case, name, "One text.")
    follower = Idle(["evidence"])
    await marks.register(follower)
    await until_known(marks, "vectors")
    await marks.begin_marking(follower)
    for _ in range(3):
        await marks.mark_more(follower, at_once=2, most_waiting=2)
    assert len(await marks.take("vectors", 10)) == 2


async def test_another_target_begins_anew_and_the_same_goes_on(engine: AsyncEngine, marks: Marks) -> None:
    follower = Idle(["poi"])
    await marks.register(follower)
    await mark_all(marks, follower)
    assert await marks.settle("vectors")
    await marks.register(Idle(["poi"]))
    assert await marks.phase("vectors") == "following"
    await marks.register(Idle(["poi"], target="elsewhere"))
    assert await marks.phase("vectors") == "new"


async def test_who_follows_no_more_leaves_nothing(engine: AsyncEngine, marks: Marks) -> None:
    await marks.register(Idle(["case"]))
    await marks.register(Idle(["case"], name="graph"))
    case = await new_case(engine)
    assert await marks.keep_only(["graph"]) == ["vectors"]
    assert await marks.take("vectors", 10) == []
    assert await taken(marks, "graph") == {(case, "case", 0)}
