"""Vectors of two embedders never meet: another one is refused, or makes all of them anew."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.job import Temporary
from server.model_adapters import claimed
from server.rebuild_embeddings import rebuild
from server.services import ServicesError
from server.settings import Settings
from storage.database import create_engine
from storage.embedders import EmbedderChanged, EmbeddersRecord, Made
from storage.schema import DIMENSIONS
from storage.vectors_pgvector import PgVectors
from tests.case_rows import new_case, store
from tests.handlers.model_server import ModelServerApp, serving

TEXT = "\n\n".join(
    f"Paragraph {i}. " + "The ferry left the pier before the fog came in. " * 20 for i in range(5)
)
MINE = "all-MiniLM-L6-v2"


class Counting:
    """An embedder of `dimensions` numbers that may fail after some texts."""

    device, host = "cpu", ""

    def __init__(self, name: str, dimensions: int, fails_after: int = 1000) -> None:
        self.name, self.dimensions, self.left = name, dimensions, fails_after
        self.made = 0

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.left -= len(texts)
        if self.left < 0:
            raise Temporary("the embedding server does not answer")
        self.made += len(texts)
        vectors = np.ones((len(texts), self.dimensions), dtype=np.float32)
        return vectors / np.sqrt(self.dimensions, dtype=np.float32)

    def required_bytes(self, texts: int) -> int:
        return texts


@pytest_asyncio.fixture(loop_scope="session")
async def rows(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    # The column must be as other tests expect it, whatever became of this one.
    await EmbeddersRecord(engine).begin_anew("restored", DIMENSIONS)
    await engine.dispose()


async def filled(rows: AsyncEngine) -> list[int]:
    """Chunks with vectors of 384 numbers."""
    case = await new_case(rows)
    await store(rows, case, "log", TEXT)
    async with rows.connect() as connection:
        chunks = list((await connection.execute(text("SELECT id FROM chunks ORDER BY id"))).scalars())
    vector = np.eye(1, DIMENSIONS, dtype=np.float32)[0]
    await PgVectors(rows).put(case, dict.fromkeys(chunks, vector))
    return chunks


async def widths(rows: AsyncEngine) -> list[tuple[int | None, int]]:
    async with rows.connect() as connection:
        query = "SELECT vector_dims(vector), count(*)::int FROM chunks GROUP BY 1 ORDER BY 1"
        return [(row[0], row[1]) for row in await connection.execute(text(query))]


async def test_the_first_embedder_is_noted_and_may_come_again(rows: AsyncEngine) -> None:
    record = EmbeddersRecord(rows)
    assert await record.read() is None
    for _ in range(2):
        await record.claim(MINE, DIMENSIONS)
    assert await record.read() == Made(MINE, DIMENSIONS)


async def test_another_embedder_is_refused_while_there_are_vectors(rows: AsyncEngine) -> None:
    record, chunks = EmbeddersRecord(rows), await filled(rows)
    await record.claim(MINE, DIMENSIONS)
    for name, dimensions in (("other", DIMENSIONS), ("other", 24), (MINE, 24)):
        with pytest.raises(EmbedderChanged, match=MINE):
            await record.claim(name, dimensions)
    assert await widths(rows) == [(DIMENSIONS, len(chunks))]
    assert await record.read() == Made(MINE, DIMENSIONS)


async def test_another_embedder_takes_over_where_there_is_no_vector_yet(rows: AsyncEngine) -> None:
    record = EmbeddersRecord(rows)
    await record.claim(MINE, DIMENSIONS)
    await record.claim("other", 24)
    case = await new_case(rows)
    await store(rows, case, "log", "The ferry left.")
    [(chunk, _, _)] = await record.next(0, 10)
    await PgVectors(rows).put(case, {chunk: np.ones(24, dtype=np.float32)})
    assert await widths(rows) == [(24, 1)]
    [(near, cosine)] = await PgVectors(rows).nearest(case, np.ones(24, dtype=np.float32), 5)
    assert (near, round(cosine, 3)) == (chunk, 1.0)


async def test_everything_is_embedded_anew_in_the_new_length(rows: AsyncEngine) -> None:
    chunks = await filled(rows)
    await EmbeddersRecord(rows).claim(MINE, DIMENSIONS)
    told: list[str] = []
    await rebuild(Counting("other", 24), rows, told.append, batch=2)
    assert await widths(rows) == [(24, len(chunks))]
    assert await EmbeddersRecord(rows).read() == Made("other", 24)
    assert told[-1] == f"{len(chunks)} of {len(chunks)} passages embedded"
    async with rows.connect() as connection:
        alike = (await connection.execute(text("SELECT count(*) FROM similarities"))).scalar_one()
    assert alike > 0


async def test_what_was_broken_off_is_gone_on_with_and_no_server_starts_meanwhile(rows: AsyncEngine) -> None:
    chunks = await filled(rows)
    await EmbeddersRecord(rows).claim(MINE, DIMENSIONS)
    with pytest.raises(ServicesError, match=r"passages are left: run `casewire rebuild embeddings` again"):
        await rebuild(Counting("other", 24, fails_after=3), rows, str, batch=2)
    settings = Settings(embedding_model="other", ollama_host="http://127.0.0.1:9")
    with pytest.raises(ServicesError, match="not all made yet"):
        await claimed(settings, rows)
    again = Counting("other", 24)
    await rebuild(again, rows, str, batch=2)
    assert again.made == len(chunks) - 2
    assert await widths(rows) == [(24, len(chunks))]
    assert await claimed(settings, rows) == Made("other", 24)


async def test_a_start_with_another_embedder_is_refused_in_a_sentence(rows: AsyncEngine) -> None:
    await filled(rows)
    assert await claimed(Settings(), rows) == Made(MINE, DIMENSIONS)
    async with serving(ModelServerApp()) as server:
        other = Settings(embedding_model="tiny-embed", ollama_host=server.url)
        with pytest.raises(
            ServicesError, match=r"made by all-MiniLM-L6-v2, but the settings name tiny-embed.*unset CASEWIRE"
        ):
            await claimed(other, rows)
        await EmbeddersRecord(rows).begin_anew("tiny-embed", 24)
        await EmbeddersRecord(rows).finish()
        assert await claimed(other, rows) == Made("tiny-embed", 24)


async def test_a_fresh_start_needs_the_server_of_its_embedder(rows: AsyncEngine) -> None:
    settings = Settings(embedding_model="tiny-embed", ollama_host="http://127.0.0.1:9")
    with pytest.raises(ServicesError, match=r"tiny-embed cannot be used.*does not answer.*start its server"):
        await claimed(settings, rows)
    assert await EmbeddersRecord(rows).read() is None
