"""BM25 in SQL equals the formula, within one case."""

import math
import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.database import create_engine
from storage.evidence import ChunkDraft, EvidenceStore
from storage.words import K1, SHARPNESS, B, Words
from tests.case_rows import new_case, new_evidence


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


async def chunks_of(engine: AsyncEngine, case: str, bags: list[list[str]]) -> list[int]:
    evidence = EvidenceStore(engine)
    row = await evidence.register(new_evidence(case, f"sha-{case}"))
    drafts = [ChunkDraft(i, 0, i, i + 1, "x", []) for i in range(len(bags))]
    await evidence.store_text(row.id, title="", text="", pages=[], meta={}, chunks=drafts)
    ids = [chunk.id for chunk in await evidence.chunks(row.id)]
    await Words(engine).index(case, {i: Counter(bag) for i, bag in zip(ids, bags, strict=True)})
    return ids


def bm25(bags: dict[int, list[str]], query: set[str]) -> dict[int, float]:
    bags = {i: bag for i, bag in bags.items() if bag}
    mean = sum(map(len, bags.values())) / len(bags)
    scores = {}
    for i, bag in bags.items():
        score = 0.0
        for term in query & set(bag):
            n = sum(term in other for other in bags.values())
            idf = math.log(1 + (len(bags) - n + 0.5) / (n + 0.5))
            f = bag.count(term)
            score += idf**SHARPNESS * f * (K1 + 1) / (f + K1 * (1 - B + B * len(bag) / mean))
        if score:
            scores[i] = score
    return scores


async def test_scores_are_those_of_the_formula(engine: AsyncEngine) -> None:
    case = await new_case(engine)
    chance = random.Random(7)
    bags = [chance.choices("abcdefgh", weights=range(1, 9), k=chance.randint(0, 12)) for _ in range(40)]
    ids = await chunks_of(engine, case, bags)
    # Another case with the same terms must not change any frequency.
    await chunks_of(engine, await new_case(engine, "case2"), [["a"] * 5] * 9)
    expected = bm25(dict(zip(ids, bags, strict=True)), {"a", "c", "h"})
    got = await Words(engine).search(case, ["a", "c", "h", "a", "never"], 100)
    assert dict(got) == pytest.approx(expected)
    assert [i for i, _ in got] == sorted(expected, key=lambda i: (-expected[i], i))


async def test_what_is_read_of_common_terms_changes_no_score(engine: AsyncEngine) -> None:
    case = await new_case(engine)
    chance = random.Random(8)
    weights = [2.0**-i for i in range(12)]
    bags = [chance.choices("abcdefghijkl", weights=weights, k=chance.randint(0, 9)) for _ in range(300)]
    ids = await chunks_of(engine, case, bags)
    every, pruned = Words(engine), Words(engine, all_below=0)
    for count in (1, 2, 5, 8):
        terms = chance.sample("abcdefghijklm", count)
        expected = bm25(dict(zip(ids, bags, strict=True)), set(terms))
        order = sorted(expected, key=lambda i: (-round(expected[i], 9), i))
        for limit in (1, 7, 400):
            found = await pruned.search(case, terms, limit)
            assert found == await every.search(case, terms, limit)
            assert [i for i, _ in found] == order[:limit]
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE evidence SET hidden_at = now()"))
    assert await pruned.search(case, ["a", "b"], 9) == await every.search(case, ["a", "b"], 9) == []


async def test_hidden_evidence_counts_in_no_frequency(engine: AsyncEngine) -> None:
    case = await new_case(engine)
    ids = await chunks_of(engine, case, [["a", "b"], ["b", "c", "c"], ["a"]])
    alone = await Words(engine).search(case, ["a", "b"], 9)
    store = EvidenceStore(engine)
    row = await store.register(new_evidence(case, "sha-other"))
    drafts = [ChunkDraft(i, 0, i, i + 1, "x", []) for i in range(5)]
    await store.store_text(row.id, title="", text="", pages=[], meta={}, chunks=drafts)
    more = {chunk.id: Counter(["a"] * 7) for chunk in await store.chunks(row.id)}
    await Words(engine).index(case, more)
    for words in (Words(engine), Words(engine, all_below=0)):
        assert {i for i, _ in await words.search(case, ["a", "b"], 9)} == {*ids, *more}
    await store.hide(row.id, "upload-0-a", hidden=True)
    for words in (Words(engine), Words(engine, all_below=0)):
        assert await words.search(case, ["a", "b"], 9) == alone


async def test_equal_scores_are_ordered_by_id_and_the_limit_holds(engine: AsyncEngine) -> None:
    case = await new_case(engine)
    ids = await chunks_of(engine, case, [["same", "words"]] * 5)
    assert [i for i, _ in await Words(engine).search(case, ["same"], 3)] == ids[:3]
    assert await Words(engine).search(case, [], 3) == []


async def test_indexing_again_replaces_what_was_there(engine: AsyncEngine) -> None:
    case = await new_case(engine)
    first, second = await chunks_of(engine, case, [["old"], ["old"]])
    words = Words(engine)
    await words.index(case, {first: {"new": 40_000}})
    assert [i for i, _ in await words.search(case, ["old"], 10)] == [second]
    assert [i for i, _ in await words.search(case, ["new"], 10)] == [first]


async def test_frequencies_leave_out_the_evidence_besides(engine: AsyncEngine) -> None:
    case = await new_case(engine)
    ids = await chunks_of(engine, case, [["a"], ["a", "b"], []])
    words = Words(engine)
    assert await words.frequencies(case, ["a", "b"]) == (2, {"a": 2, "b": 1})
    evidence = (await EvidenceStore(engine).of_case(case))[0].id
    assert await words.frequencies(case, ["a", "b"], besides=evidence) == (0, {})
    assert len(ids) == 3


async def test_a_phrase_counts_as_one_term_where_it_stands_exactly(engine: AsyncEngine) -> None:
    case = await new_case(engine)
    texts = [
        "The Winter Garden is closed.",
        "A garden in winter.",
        "winter garden, WINTER GARDEN",
        "Nothing.",
    ]
    evidence = EvidenceStore(engine)
    row = await evidence.register(new_evidence(case, "sha-phrases"))
    drafts = [ChunkDraft(i, 0, i, i + 1, text, []) for i, text in enumerate(texts)]
    await evidence.store_text(row.id, title="", text="", pages=[], meta={}, chunks=drafts)
    ids = [chunk.id for chunk in await evidence.chunks(row.id)]
    bags = [["winter", "garden", "closed"], ["garden", "winter"], ["winter", "garden"] * 2, ["nothing"]]
    await Words(engine).index(case, {i: Counter(bag) for i, bag in zip(ids, bags, strict=True)})
    got = dict(await Words(engine).holding(case, "Winter Garden", ["winter", "garden"]))
    assert list(got) == [ids[0], ids[2]]
    assert got[ids[2]] > got[ids[0]] > 0
    assert await Words(engine).holding(case, "summer garden", ["summer", "garden"]) == []


async def test_frequencies_look_at_the_latest_chunks_alone(engine: AsyncEngine) -> None:
    case = await new_case(engine)
    await chunks_of(engine, case, [["a", "first"], ["a"], [], ["a", "last"]])
    found = await Words(engine).frequencies(case, ["a", "first", "last"], latest=2)
    assert found == (2, {"a": 2, "last": 1})


async def test_indexing_leaves_the_rows_of_the_passages_as_they_are(engine: AsyncEngine) -> None:
    case = await new_case(engine)
    first, second = await chunks_of(engine, case, [["old", "one"], ["old"]])
    places = text("SELECT id, ctid::text FROM chunks WHERE case_id = :case ORDER BY id")
    async with engine.connect() as connection:
        before = (await connection.execute(places, {"case": case})).all()
    await Words(engine).index(case, {first: {"new": 2}, second: {}})
    async with engine.connect() as connection:
        # A row in another place would have put its vector into the index of vectors again.
        assert (await connection.execute(places, {"case": case})).all() == before
        lengths = await connection.execute(text("SELECT chunk_id, words FROM chunk_lengths"))
        assert [tuple(row) for row in lengths] == [(first, 2)]
