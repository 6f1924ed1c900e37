"""Every passage is embedded anew, by another embedder than before or by the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.embedder import Embedder
from handlers.embedder_ollama import OllamaEmbedder
from handlers.index import FLOOR, NEIGHBOURS
from handlers.job import JobError
from handlers.minilm import MiniLM
from server.model_adapters import configured_dimensions, embedder_name
from server.services import ServicesError, running_services
from server.settings import Settings
from storage.database import create_engine
from storage.embedders import EmbeddersRecord
from storage.migrate import upgrade
from storage.similarities import Similarities
from storage.vectors_pgvector import PgVectors

BATCH = 256
"""Passages between two commits."""

Tell = Callable[[str], Any]


async def rebuild_embeddings(settings: Settings, tell: Tell) -> None:
    """Drop all vectors and make them anew, and with them what is similar; goes on where it was stopped.

    It owns the data folder, so that no server runs on it meanwhile.

    Raises:
        ServicesError: A server runs, a store cannot be used, or the embedder's server broke off.
    """
    dimensions = await configured_dimensions(settings)
    async with running_services(settings) as services:
        await upgrade(services.database_url)
        database = create_engine(services.database_url, pool_size=2)
        try:
            embedder: Embedder = (
                await asyncio.to_thread(MiniLM)
                if settings.embedding_model is None
                else OllamaEmbedder(settings.ollama_host or "", settings.embedding_model, dimensions)
            )
            await rebuild(embedder, database, tell)
        finally:
            await database.dispose()
    tell(f"Every passage is embedded by {embedder_name(settings)} now; start the server.")


async def rebuild(embedder: Embedder, database: AsyncEngine, tell: Tell, *, batch: int = BATCH) -> None:
    """As `rebuild_embeddings`, in a database of which nobody embeds or searches anything meanwhile."""
    record, vectors = EmbeddersRecord(database), PgVectors(database)
    await record.begin_anew(embedder.name, embedder.dimensions)
    total, done, after = await record.left(), 0, 0
    while rows := await record.next(after, batch):
        try:
            made = await asyncio.to_thread(embedder.encode, [text for _, _, text in rows])
        except JobError as error:
            raise ServicesError(
                f"{error}; {total - done} passages are left: run `casewire rebuild embeddings` again"
            ) from error
        by_case: dict[str, dict[int, Any]] = {}
        for (chunk, case, _), vector in zip(rows, made, strict=True):
            by_case.setdefault(case, {})[chunk] = vector
        for case, found in by_case.items():
            await vectors.put(case, found)
        done, after = done + len(rows), rows[-1][0]
        tell(f"{done:,} of {total:,} passages embedded")
    for case in await record.cases():
        after = 0
        while chunks := await record.chunks(case, after, batch):
            alike = await vectors.neighbours(case, chunks, NEIGHBOURS, FLOOR)
            await Similarities(database).put(case, alike)
            after = chunks[-1]
    await record.finish()
