"""The promises of `Vectors`, kept by every adapter: pgvector (exactly, and by a walk) and Qdrant.

Qdrant is searched after its follower has taken everything, and, `behind`, before it has taken anything.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata

import numpy as np
import pytest
import pytest_asyncio
from qdrant_client import AsyncQdrantClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.database import create_engine
from storage.evidence import ChunkDraft, EvidenceStore
from storage.follow_qdrant import QdrantFollower
from storage.marks import Marks
from storage.qdrant_place import QdrantPlace, client_of, collection_of
from storage.schema import DIMENSIONS
from storage.similarities import Similarities
from storage.vectors import Near, Vector, Vectors
from storage.vectors_pgvector import PgVectors
from storage.vectors_qdrant import QdrantVectors
from tests.case_rows import new_case, new_evidence, unit
from tests.contracts import RanAgainst
from tests.qdrant_server import qdrant_stand
from tests.storage.following import apply_all, fill

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


class KeptUp(QdrantVectors):
    """Searched once its follower has taken every mark."""

    def __init__(self, place: QdrantPlace, engine: AsyncEngine) -> None:
        super().__init__(place, engine)
        self._follower, self._marks = QdrantFollower(place, engine), Marks(engine)

    async def nearest(self, case: str, vector: Vector, limit: int) -> list[tuple[int, float]]:
        await apply_all(self._marks, self._follower)
        return await super().nearest(case, vector, limit)


@asynccontextmanager
async def qdrant_client(kind: str) -> AsyncIterator[AsyncQdrantClient]:
    """A real server where TEST_QDRANT_URL names one; see `tests.qdrant_server` for the others."""
    if kind == "local":
        client = AsyncQdrantClient(":memory:")
        yield client
        await client.close()
    elif kind == "stand":
        async with qdrant_stand() as stand:
            client = client_of(stand.url, None)
            yield client
            await client.close()
    else:
        url = os.environ.get("TEST_QDRANT_URL") or pytest.skip("no TEST_QDRANT_URL")
        client = client_of(url, os.environ.get("TEST_QDRANT_API_KEY"))
        yield client
        await client.delete_collection(collection_of("test"))
        await client.close()


CLIENT = metadata.version("qdrant-client")
LOCAL = "local mode of qdrant-client"
PRODUCTS = {"local": LOCAL, "stand": f"{LOCAL}, by REST", "server": "Qdrant server"}


@pytest_asyncio.fixture(
    loop_scope="session",
    params=["exact", "walk", "qdrant local", "qdrant stand", "qdrant server", "qdrant local behind"],
)
async def vectors(
    request: pytest.FixtureRequest, engine: AsyncEngine, ran_against: RanAgainst
) -> AsyncIterator[Vectors]:
    name, *how = request.param.split()
    if name != "qdrant":
        async with engine.connect() as connection:
            version = await connection.scalar(
                text(
                    "SELECT current_setting('server_version') || ', pgvector ' || extversion "
                    "FROM pg_extension WHERE extname = 'vector'"
                )
            )
        ran_against(f"PgVectors, {name}", f"PostgreSQL {version}")
        yield PgVectors(engine) if name == "exact" else PgVectors(engine, exact_below=0)
        return
    async with qdrant_client(how[0]) as client:
        place = QdrantPlace(client, collection_of("test"), "the test")
        follower, marks = QdrantFollower(place, engine), Marks(engine)
        await marks.register(follower)
        await fill(marks, follower)
        ran_against(
            "QdrantVectors" + (", behind" if "behind" in how else ""),
            f"{PRODUCTS[how[0]]} {(await client.info()).version if how[0] == 'server' else CLIENT}",
        )
        yield (QdrantVectors if "behind" in how else KeptUp)(place, engine)


async def chunks_of(
    engine: AsyncEngine, case: str, count: int, *, sha256: str = "sha"
) -> tuple[int, list[int]]:
    evidence = EvidenceStore(engine)
    row = await evidence.register(new_evidence(case, f"{sha256}-{case}"))
    drafts = [ChunkDraft(i, 0, i, i + 1, "x", []) for i in range(count)]
    await evidence.store_text(row.id, title="", text="", pages=[], meta={}, chunks=drafts)
    return row.id, [chunk.id for chunk in await evidence.chunks(row.id)]


async def test_the_nearest_come_first_and_ties_by_id(engine: AsyncEngine, vectors: Vectors) -> None:
    case = await new_case(engine)
    _, (far, tied, near, other, bare) = await chunks_of(engine, case, 5)
    await vectors.put(case, {near: unit(1, 0.1), far: unit(0, 1), tied: unit(1, 1), other: unit(1, 1)})
    found = await vectors.nearest(case, unit(1, 0), 10)
    assert [chunk for chunk, _ in found] == [near, tied, other, far]
    assert [cosine for _, cosine in found] == pytest.approx([0.995, 0.707, 0.707, 0], abs=2e-3)
    assert bare not in dict(found)
    assert len(await vectors.nearest(case, unit(1, 0), 2)) == 2


async def test_another_case_is_never_found(engine: AsyncEngine, vectors: Vectors) -> None:
    case, foreign = await new_case(engine), await new_case(engine, "case2")
    _, mine = await chunks_of(engine, case, 2)
    _, theirs = await chunks_of(engine, foreign, 50)
    await vectors.put(foreign, {chunk: unit(1, 0) for chunk in theirs})
    await vectors.put(case, {mine[0]: unit(0, 1), theirs[0]: unit(1, 0)})
    assert [chunk for chunk, _ in await vectors.nearest(case, unit(1, 0), 5)] == [mine[0]]


async def test_hidden_evidence_is_not_found_and_comes_back(engine: AsyncEngine, vectors: Vectors) -> None:
    case = await new_case(engine)
    evidence, first = await chunks_of(engine, case, 30)
    _, second = await chunks_of(engine, case, 3, sha256="other")
    near = {chunk: unit(1, place / 100) for place, chunk in enumerate(first)}
    await vectors.put(case, near | {chunk: unit(1, 1 + place) for place, chunk in enumerate(second)})
    assert {chunk for chunk, _ in await vectors.nearest(case, unit(1, 0), 5)} <= set(first)
    await EvidenceStore(engine).hide(evidence, "upload-0-a", hidden=True)
    assert [chunk for chunk, _ in await vectors.nearest(case, unit(1, 0), 5)] == second
    await EvidenceStore(engine).hide(evidence, "upload-0-a", hidden=False)
    assert [chunk for chunk, _ in await vectors.nearest(case, unit(1, 0), 5)] == first[:5]


async def test_deleted_evidence_is_not_found(engine: AsyncEngine, vectors: Vectors) -> None:
    case = await new_case(engine)
    evidence, first = await chunks_of(engine, case, 60)
    _, second = await chunks_of(engine, case, 3, sha256="other")
    await vectors.put(
        case,
        {chunk: unit(1, 0) for chunk in first}
        | {chunk: unit(1, 1 + place) for place, chunk in enumerate(second)},
    )
    assert len(await vectors.nearest(case, unit(1, 0), 5)) == 5
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM evidence WHERE id = :id"), {"id": evidence})
    assert [chunk for chunk, _ in await vectors.nearest(case, unit(1, 0), 5)] == second


async def test_a_new_vector_takes_the_place_of_the_old(engine: AsyncEngine, vectors: Vectors) -> None:
    case = await new_case(engine)
    _, (a, b) = await chunks_of(engine, case, 2)
    await vectors.put(case, {a: unit(1, 0), b: unit(1, 1)})
    assert [chunk for chunk, _ in await vectors.nearest(case, unit(1, 0), 2)] == [a, b]
    await vectors.put(case, {a: unit(0, 1)})
    found = await vectors.nearest(case, unit(1, 0), 2)
    assert found == [(b, pytest.approx(0.707, abs=2e-3)), (a, pytest.approx(0, abs=2e-3))]


async def test_a_small_case_in_a_crowd_is_found_as_a_scan_finds_it(
    engine: AsyncEngine, vectors: Vectors
) -> None:
    case, crowd = await new_case(engine), await new_case(engine, "case2")
    chance = np.random.default_rng(5)
    given = {}
    for name, count in ((crowd, 300), (case, 100)):
        values = chance.normal(size=(count, DIMENSIONS)).astype(np.float32)
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        _, ids = await chunks_of(engine, name, count)
        given = dict(zip(ids, values, strict=True))
        await vectors.put(name, given)
    hits = 0
    for query in list(given.values())[:10]:
        right = sorted(given, key=lambda chunk: -float(given[chunk] @ query))[:10]
        hits += len(set(right) & {chunk for chunk, _ in await vectors.nearest(case, query, 10)})
    assert hits >= 95


async def test_missing_are_those_without_a_vector(engine: AsyncEngine, vectors: Vectors) -> None:
    case = await new_case(engine)
    evidence, ids = await chunks_of(engine, case, 3)
    await vectors.put(case, {ids[1]: unit(1)})
    assert await vectors.missing(evidence) == [ids[0], ids[2]]


async def test_neighbours_are_pairs_above_the_floor(engine: AsyncEngine, vectors: Vectors) -> None:
    case = await new_case(engine)
    _, (a, b, c, d) = await chunks_of(engine, case, 4)
    await vectors.put(case, {a: unit(1, 0), b: unit(1, 0.2), c: unit(0, 1), d: unit(-1, 0)})
    pairs = await vectors.neighbours(case, [a, b, c, d], 3, 0.5)
    assert [(p.source, p.target) for p in pairs] == [(a, b)]
    assert pairs[0].cosine == pytest.approx(0.98, abs=2e-3)
    loose = await vectors.neighbours(case, [a], 1, -1.0)
    assert [(p.source, p.target) for p in loose] == [(a, b)]


async def test_the_walk_finds_what_the_scan_finds_in_a_crowd(engine: AsyncEngine) -> None:
    async with (
        engine.connect() as connection
    ):  # the index holds what other tests deleted until it is vacuumed
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(
            text("VACUUM chunks")
        )
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
