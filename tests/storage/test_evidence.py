"""Evidence rows, their text and chunks in PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.database import create_engine
from storage.evidence import ChunkDraft, EvidenceStore, UnknownEvidence
from tests.case_rows import new_case, new_evidence, store


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


def draft(ordinal: int, text: str, start: int = 0) -> ChunkDraft:
    return ChunkDraft(ordinal, 1, start, start + len(text), text, [[1.0, 2.0, 3.0, 4.0]])


async def test_the_same_bytes_are_registered_once_a_case_whoever_is_faster(engine: AsyncEngine) -> None:
    case = await new_case(engine)
    evidence = EvidenceStore(engine)
    found = await asyncio.gather(
        *(evidence.register(new_evidence(case, "abc", upload=f"upload-0-{i}")) for i in range(8))
    )
    assert len({(row.id, row.upload) for row in found}) == 1
    other = await evidence.register(new_evidence(await new_case(engine, "case2"), "abc"))
    assert other.id != found[0].id


async def test_storing_the_same_chunks_again_keeps_their_ids(engine: AsyncEngine) -> None:
    evidence = EvidenceStore(engine)
    row = await evidence.register(new_evidence(await new_case(engine), "abc"))

    async def put(*texts: str) -> list[int]:
        chunks = [draft(i, text) for i, text in enumerate(texts)]
        await evidence.store_text(
            row.id, title="T", text="one two", pages=[(0, 7)], meta={"a": 1}, chunks=chunks
        )
        return [chunk.id for chunk in await evidence.chunks(row.id)]

    first = await put("one", "two")
    assert await put("one", "two") == first
    assert not set(await put("one", "two changed")) & set(first)
    stored = await evidence.get(row.id)
    assert (stored.title, stored.pages, stored.meta) == ("T", [[0, 7]], {"a": 1})
    assert await evidence.text(row.id) == "one two"


async def test_evidence_passes_to_another_machine_once(engine: AsyncEngine) -> None:
    evidence = EvidenceStore(engine)
    case = await new_case(engine)
    row = await evidence.register(new_evidence(case, "abc", upload="upload-0-old"))
    anew = [new_evidence(case, "abc", upload=upload) for upload in ("new", "third")]
    took = [await evidence.take_over(row.id, new, instead_of="upload-0-old") for new in anew]
    assert took == [True, False]
    assert (await evidence.get(row.id)).upload == "new"


async def test_depth_counts_the_evidence_around_it(engine: AsyncEngine) -> None:
    case = await new_case(engine)
    outer = await store(engine, case, "outer", "text")
    middle = await store(engine, case, "middle", "text", parent_id=outer)
    inner = await store(engine, case, "inner", "text", parent_id=middle)
    evidence = EvidenceStore(engine)
    assert [await evidence.depth(e) for e in (outer, middle, inner)] == [0, 1, 2]


async def test_evidence_that_is_gone_is_said_to_be_gone(engine: AsyncEngine) -> None:
    evidence = EvidenceStore(engine)
    one = await store(engine, await new_case(engine), "abc", "text")
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM evidence"))
    for call in (
        evidence.get(one),
        evidence.text(one),
        evidence.set_tags(one, ["x"], confidence={}, tagger=1),
    ):
        with pytest.raises(UnknownEvidence):
            await call
    with pytest.raises(UnknownEvidence):
        await evidence.store_text(one, title="", text="", pages=[], meta={}, chunks=[])
    assert await evidence.chunks(one) == []


async def test_a_case_is_listed_page_by_page_in_the_order_of_ids(engine: AsyncEngine) -> None:
    case = await new_case(engine)
    ids = [await store(engine, case, name, "text") for name in "abc"]
    await store(engine, await new_case(engine, "case2"), "other", "text")
    evidence = EvidenceStore(engine)
    assert [row.id for row in await evidence.of_case(case, limit=2)] == ids[:2]
    assert [row.id for row in await evidence.of_case(case, after=ids[1])] == ids[2:]
