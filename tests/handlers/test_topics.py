"""Topics of a case and similar documents: made, found again, kept apart from what is hidden or gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.topics import NEAREST, alike, topics_of
from server.topics_keeping import TopicsKeeping
from storage.database import create_engine
from storage.evidence import EvidenceStore
from storage.machine_store_redis import RedisMachineStore
from storage.topics import Documents, Topics
from storage.vectors_pgvector import PgVectors
from tests.case_rows import new_case, store, unit


def documents(groups: Sequence[tuple[str, int]], copies: set[tuple[int, int]] | None = None) -> Documents:
    """So many documents of each tag, those of one tag near each other."""
    chance = np.random.default_rng(7)
    ids, tags, means = [], [], []
    for axis, (tag, many) in enumerate(groups):
        for _ in range(many):
            ids.append(len(ids) + 1)
            tags.append([tag, "email"])
            mean = 0.05 * chance.standard_normal(16)
            mean[axis] += 1
            means.append(mean)
    return Documents(ids, tags, np.array(means, dtype=np.float32), copies or set())


def test_what_belongs_together_is_one_topic_named_by_what_sets_it_apart() -> None:
    found = topics_of(documents([("copper", 10), ("wool", 8)]), {})
    by_evidence = {tuple(topic.evidence): topic.terms[0] for topic in found}
    for evidence, term in by_evidence.items():
        assert term == ("copper" if max(evidence) <= 10 else "wool")
    assert sorted(one for topic in found for one in topic.evidence) == list(range(1, 19))


def test_a_topic_goes_on_when_the_case_has_grown() -> None:
    made = topics_of(documents([("copper", 10), ("wool", 8)]), {})
    before = {100 + i: set(topic.evidence) for i, topic in enumerate(made)}
    again = topics_of(documents([("copper", 10), ("wool", 8)]), before)
    assert [(topic.id, set(topic.evidence)) for topic in again] == list(before.items())
    grown = topics_of(documents([("copper", 10), ("wool", 8), ("timber", 2)]), before)
    kept = [topic.id for topic in grown if topic.id is not None]
    assert len(kept) == len(set(kept)) > 0
    assert all(set(topic.evidence) & before[topic.id] for topic in grown if topic.id is not None)


def test_the_nearest_documents_leave_out_near_copies_and_strangers() -> None:
    every = documents([("copper", 8), ("wool", 3)])
    found = alike(every)
    assert all(len(theirs) == NEAREST for source, theirs in found.items() if source <= 8)
    assert {target for target, _ in found[9]} == {10, 11}
    assert all(theirs == sorted(theirs, key=lambda one: -one[1]) for theirs in found.values())
    copies = {(9, 10)}
    without = alike(documents([("copper", 8), ("wool", 3)], copies))
    assert {target for target, _ in without[9]} == {11}
    assert {target for target, _ in without[10]} == {11}


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


async def add(engine: AsyncEngine, case: str, name: str, axis: int, tag: str) -> int:
    evidence = await store(engine, case, name, f"A document about {tag}.", upload=f"upload-0-{name}")
    await EvidenceStore(engine).set_tags(evidence, [tag], confidence={tag: 1.0}, tagger=1)
    chunks = await EvidenceStore(engine).chunks(evidence)
    vector = unit(*(float(i == axis) + 0.01 * len(name) for i in range(3)))
    await PgVectors(engine).put(case, {chunk.id: vector for chunk in chunks})
    return evidence


async def test_topics_are_made_once_and_anew_when_the_case_has_grown_or_lost_some(
    engine: AsyncEngine, store_of_machines: RedisMachineStore
) -> None:
    case = await new_case(engine)
    topics, evidence = Topics(engine), EvidenceStore(engine)
    told: list[str] = []

    async def tell(case: str) -> None:
        told.append(case)

    keeping = TopicsKeeping(store_of_machines, topics, tell, holder="here")
    made = [await add(engine, case, f"c{i}", 0, "copper") for i in range(5)]
    assert await keeping.look() == 0, "too little for topics"
    made += [await add(engine, case, f"w{i}", 1, "wool") for i in range(5)]
    assert await keeping.look() == 1
    assert await keeping.look() == 0, "nothing has changed"
    assert told == [case], "pages that are open show them"
    first = await topics.of_case(case)
    assert sorted((row.evidence, row.terms[0]) for row in first) == [(5, "copper"), (5, "wool")]
    copper = next(row for row in first if row.terms == ["copper"])
    assert [row.id for row in await topics.evidence(case, copper.id, after=0, limit=9)] == made[:5]
    assert await topics.evidence("elsewhere", copper.id, after=0, limit=9) == []
    listed = await evidence.of_case(case, topic=copper.id, limit=3)
    assert [row.id for row in listed] == made[:3]
    assert [row.id for row in await evidence.of_case(case, topic=copper.id, words="c4")] == [made[4]]
    assert await evidence.of_case("elsewhere", topic=copper.id) == []
    near = await topics.similar(made[0])
    assert {row.evidence for row in near} == set(made[1:5])

    row = await evidence.get(made[0])
    assert await evidence.hide(made[0], row.upload, hidden=True)
    seen = {row.id: row for row in await topics.of_case(case)}
    assert (seen[copper.id].evidence, seen[copper.id].terms) == (4, []), (
        "its terms may tell of what is hidden"
    )
    assert made[0] not in {row.evidence for one in made[1:5] for row in await topics.similar(one)}
    assert await keeping.look() == 1
    assert next(row for row in await topics.of_case(case) if row.terms == ["copper"]).evidence == 4
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM evidence WHERE id = :id"), {"id": made[1]})
        terms = await connection.execute(text("SELECT terms FROM topics ORDER BY id"))
        assert sorted(terms.scalars()) == [[], ["wool"]], "no word of it is left"
    assert await keeping.look() == 1
    assert sorted(row.evidence for row in await topics.of_case(case)) == [3, 5]


@pytest_asyncio.fixture(loop_scope="session")
async def store_of_machines(redis_client: object) -> RedisMachineStore:
    return RedisMachineStore(redis_client, shards=4, era="e0")  # type: ignore[arg-type]
