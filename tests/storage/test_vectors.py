"""The promises of `Vectors`, exactly and by the HNSW walk."""

from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.database import create_engine
from storage.evidence import ChunkDraft, EvidenceStore
from storage.schema import DIMENSIONS
from storage.similarities import Similarities
from storage.vectors import Near
from storage.vectors_pgvector import PgVectors
from tests.case_rows import new_case, new_evidence, unit


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


@pytest.fixture(params=["exact", "walk"])
def vectors(request: pytest.FixtureRequest, engine: AsyncEngine) -> PgVectors:
    return PgVectors(engine) if request.param == "exact" else PgVectors(engine, exact_below=0)


async def chunks_of(engine: AsyncEngine, case: str, count: int) -> tuple[int, list[int]]:
    evidence = EvidenceStore(engine)
    row = await evidence.register(new_evidence(case, f"sha-{case}"))
    drafts = [ChunkDraft(i, 0, i, i + 1, "x", []) for i in range(count)]
    await evidence.store_text(row.id, title="", text="", pages=[], meta={}, chunks=drafts)
    return row.id, [chunk.id for chunk in await evidence.chunks(row.id)]


async def test_the_nearest_come_first_and_ties_by_id(engine: AsyncEngine, vectors: PgVectors) -> None:
    case = await new_case(engine)
    _, (far, tied, near, other, bare) = await chunks_of(engine, case, 5)
    await vectors.put(case, {near: unit(1, 0.1), far: unit(0, 1), tied: unit(1, 1), other: unit(1, 1)})
    found = await vectors.nearest(case, unit(1, 0), 10)
    assert [chunk for chunk, _ in found] == [near, tied, other, far]
    assert [cosine for _, cosine in found] == pytest.approx([0.995, 0.707, 0.707, 0], abs=2e-3)
    assert bare not in dict(found)
    assert len(await vectors.nearest(case, unit(1, 0), 2)) == 2


async def test_another_case_is_never_found(engine: AsyncEngine, vectors: PgVectors) -> None:
    case, foreign = await new_case(engine), await new_case(engine, "case2")
    _, mine = await chunks_of(engine, case, 2)
    _, theirs = await chunks_of(engine, foreign, 50)
    await vectors.put(foreign, {chunk: unit(1, 0) for chunk in theirs})
    await vectors.put(case, {mine[0]: unit(0, 1), theirs[0]: unit(1, 0)})
    assert [chunk for chunk, _ in await vectors.nearest(case, unit(1, 0), 5)] == [mine[0]]


async def test_missing_are_those_without_a_vector(engine: AsyncEngine, vectors: PgVectors) -> None:
    case = await new_case(engine)
    evidence, ids = await chunks_of(engine, case, 3)
    await vectors.put(case, {ids[1]: unit(1)})
    assert await vectors.missing(evidence) == [ids[0], ids[2]]


async def test_neighbours_are_pairs_above_the_floor(engine: AsyncEngine, vectors: PgVectors) -> None:
    case = await new_case(engine)
    _, (a, b, c, d) = await chunks_of(engine, case, 4)
    await vectors.put(case, {a: unit(1, 0), b: unit(1, 0.2), c: unit(0, 1), d: unit(-1, 0)})
    pairs = await vectors.neighbours(case, [a, b, c, d], 3, 0.5)
    assert [(p.source, p.target) for p in pairs] == [(a, b)]
    assert pairs[0].cosine == pytest.approx(0.98, abs=2e-3)
    loose = await vectors.neighbours(case, [a], 1, -1.0)
    assert [(p.source, p.target) for p in loose] == [(a, b)]


async def test_the_walk_finds_what_the_scan_finds_in_a_crowd(engine: AsyncEngine) -> None:
    case, crowd = await new_case(engine), await new_case(engine, "case2")
    chance = np.random.default_rng(3)

    def some(n: int) -> np.ndarray:
        values = chance.normal(size=(n, DIMENSIONS)).astype(np.float32)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    exact, walk = PgVectors(engine), PgVectors(engine, exact_below=0)
    for name, count in ((case, 60), (crowd, 400)):
        _, ids = await chunks_of(engine, name, count)
        await exact.put(name, dict(zip(ids, some(count), strict=True)))
    hits = 0
    for query in some(10):
        right = {chunk for chunk, _ in await exact.nearest(case, query, 10)}
        hits += len(right & {chunk for chunk, _ in await walk.nearest(case, query, 10)})
    assert hits >= 95


async def test_similarities_are_stored_once_with_the_latest_weight(engine: AsyncEngine) -> None:
    case = await new_case(engine)
    _, (a, b) = await chunks_of(engine, case, 2)
    similarities = Similarities(engine)
    for cosine in (0.6, 0.7):
        await similarities.put(case, [Near(a, b, cosine)])
    async with engine.connect() as connection:
        rows = (await connection.execute(text("SELECT source, target, weight FROM similarities"))).all()
    assert [tuple(row) for row in rows] == [(a, b, 0.7)]
