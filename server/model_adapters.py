"""Which language model writes and which embedder makes vectors, by the settings and by the data."""

from __future__ import annotations

import asyncio
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.embedder import Embedder
from handlers.embedder_ollama import OllamaEmbedder, dimensions_of
from handlers.job import JobError
from handlers.language_model import LanguageModel, Usage
from handlers.language_model_ollama import OllamaModel
from handlers.language_model_openai import OpenAIModel
from handlers.minilm import MiniLM
from server.metrics import tally
from server.services import ServicesError
from server.settings import Settings
from storage.database import create_engine
from storage.embedders import EmbedderChanged, EmbeddersRecord, Made


def language_model_of(settings: Settings) -> LanguageModel | None:
    """The configured model; None where answers are quotations."""
    if settings.openai_base_url is not None:
        return OpenAIModel(
            settings.openai_base_url,
            settings.openai_api_key or "",
            settings.language_model,
            num_ctx=settings.num_ctx,
            told=count_tokens,
        )
    if settings.ollama_host is not None:
        return OllamaModel(
            settings.ollama_host, settings.language_model, num_ctx=settings.num_ctx, told=count_tokens
        )
    return None


def count_tokens(usage: Usage) -> None:
    """Add what a request took to the metrics; what came from a cache only where the server tells."""
    known = usage.cached is not None
    tally.count(
        "casewire_model_tokens", "evaluated" if known else "prompt", by=usage.prompt - (usage.cached or 0)
    )
    if usage.cached is not None:
        tally.count("casewire_model_tokens", "cached", by=usage.cached)
    tally.count("casewire_model_tokens", "written", by=usage.written)


def count_vectors(whence: str, how_many: int) -> None:
    """Add where vectors came from to the metrics."""
    if how_many:
        tally.count("casewire_embedding_lookups", whence, by=how_many)


def embedder_name(settings: Settings) -> str:
    """The embedder that the settings name."""
    return settings.embedding_model or MiniLM.name


async def embedder_of(
    settings: Settings, database: AsyncEngine, *, device: Literal["auto", "cpu"]
) -> Embedder:
    """The configured embedder, which is the one that made the vectors of the data.

    Raises:
        ServicesError: It is another one, or its server cannot tell how long its vectors are.
    """
    made = await claimed(settings, database)
    if settings.embedding_model is None or settings.ollama_host is None:
        return await asyncio.to_thread(MiniLM, device=device)
    return OllamaEmbedder(settings.ollama_host, made.name, made.dimensions)


async def check_embedder(settings: Settings, database_url: str) -> None:
    """Compare the configured embedder with the one that made the vectors; the first start notes it.

    Raises:
        ServicesError: As `embedder_of`.
    """
    database = create_engine(database_url, pool_size=1)
    try:
        await claimed(settings, database)
    finally:
        await database.dispose()


async def claimed(settings: Settings, database: AsyncEngine) -> Made:
    """The data's embedder, once it is known to be the configured one.

    Raises:
        ServicesError: As `embedder_of`.
    """
    record, name = EmbeddersRecord(database), embedder_name(settings)
    there = await record.read()
    if there is not None and there.name == name and not there.complete:
        raise ServicesError(
            f"The vectors of {name} are not all made yet: let `casewire rebuild embeddings` come to its end; "
            "it goes on where it was stopped."
        )
    if there is not None and there.name == name:
        return there
    try:
        dimensions = await configured_dimensions(settings)
        await record.claim(name, dimensions)
    except EmbedderChanged as error:
        raise ServicesError(
            f"The vectors of this data were made by {error.there.name}, but the settings name {name}, and "
            "vectors of two models cannot be compared: "
            + (
                "unset CASEWIRE_EMBEDDING_MODEL"
                if error.there.name == MiniLM.name
                else f"set CASEWIRE_EMBEDDING_MODEL to {error.there.name}"
            )
            + ", or stop the server and run `casewire rebuild embeddings`, which embeds every passage anew."
        ) from error
    return Made(name, dimensions)


async def configured_dimensions(settings: Settings) -> int:
    """How long the vectors of the configured embedder are.

    Raises:
        ServicesError: Its server does not tell.
    """
    if settings.embedding_model is None or settings.ollama_host is None:
        return MiniLM.dimensions
    try:
        return await asyncio.to_thread(dimensions_of, settings.ollama_host, settings.embedding_model)
    except JobError as error:
        raise ServicesError(
            f"The embedding model {settings.embedding_model} cannot be used ({error}): start its server and "
            "pull the model, or unset CASEWIRE_EMBEDDING_MODEL."
        ) from error
