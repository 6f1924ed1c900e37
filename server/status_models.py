"""How the models are: where they run, whether they answer, how often a cache spared asking them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from handlers.language_model_ollama import address_of
from handlers.minilm import MODEL_PACKAGE, MiniLM
from handlers.models import is_local
from server.services import Services
from server.settings import Settings
from storage.database import create_engine
from storage.embedders import EmbeddersRecord
from storage.metric_sums import MetricSums
from storage.redis_client import connect

_ANSWER_S = 3.0


async def language_model_status(settings: Settings) -> dict[str, Any]:
    """What writes answers, as `server.status_view.LanguageModelView`."""
    if settings.openai_base_url is not None:
        where = settings.openai_base_url
        problem = await _openai_problem(where, settings.openai_api_key or "", settings.language_model)
    elif settings.ollama_host is not None:
        where = address_of(settings.ollama_host)
        problem = await _ollama_problem(where, settings.language_model, "language model")
    else:
        return {"name": "", "mode": "extractive", "where": "", "local": True, "problem": None}
    return {
        "name": settings.language_model,
        "mode": "generated",
        "where": where,
        "local": is_local(urlsplit(where).netloc, settings.trusted_hosts),
        "problem": problem,
    }


async def embedder_status(settings: Settings, services: Services) -> dict[str, Any]:
    """What makes vectors, as `server.status_view.EmbedderView`."""
    lookups = await _lookups(services)
    if settings.embedding_model is None or settings.ollama_host is None:
        there = importlib.util.find_spec(MODEL_PACKAGE) is not None
        return {
            "name": MiniLM.name,
            "dimensions": MiniLM.dimensions,
            "where": "",
            "local": True,
            "lookups": lookups,
            "problem": None if there else f"the weights of {MiniLM.name} are not installed",
        }
    where = address_of(settings.ollama_host)
    return {
        "name": settings.embedding_model,
        "dimensions": await _dimensions(services),
        "where": where,
        "local": is_local(urlsplit(where).netloc, settings.trusted_hosts),
        "lookups": lookups,
        "problem": await _ollama_problem(where, settings.embedding_model, "embedding model"),
    }


def embedder_line(embedder: Mapping[str, Any]) -> str:
    """An embedder in words, with the share of vectors that a cache had."""
    where = f"at {embedder['where']}" if embedder["where"] else "in the workers of the queue gpu"
    asked = sum(embedder["lookups"].values())
    spared = asked - embedder["lookups"].get("made", 0)
    shared = f"; {spared / asked:.0%} of {asked:,} vectors of questions from a cache" if asked else ""
    return f"{embedder['name']} {where}{shared}"


async def _ollama_problem(where: str, wanted: str, what: str) -> str | None:
    try:
        async with httpx.AsyncClient(base_url=where, timeout=_ANSWER_S) as http:
            answer = (await http.get("/api/tags")).raise_for_status().json()
        names = {str(model["name"]) for model in answer["models"]}
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return f"Ollama at {where} does not answer ({type(error).__name__})"
    if wanted in names or f"{wanted}:latest" in names:
        return None
    return f"the {what} {wanted} is not at {where}; run `ollama pull {wanted}`"


async def _openai_problem(where: str, key: str, wanted: str) -> str | None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx.AsyncClient(timeout=_ANSWER_S, headers=headers) as http:
            answer = (await http.get(f"{where}/models")).raise_for_status().json()
        names = {str(model["id"]) for model in answer["data"]}
    except httpx.HTTPStatusError as error:
        return f"the language model server at {where} answers {error.response.status_code}"
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return f"the language model server at {where} does not answer ({type(error).__name__})"
    if wanted in names:
        return None
    return f"the language model {wanted} is not at {where}; it has {', '.join(sorted(names)[:5]) or 'none'}"


async def _dimensions(services: Services) -> int:
    database = create_engine(services.database_url, pool_size=1)
    try:
        made = await EmbeddersRecord(database).read()
    except (SQLAlchemyError, OSError):
        return 0  # told by the service's health
    finally:
        await database.dispose()
    return 0 if made is None else made.dimensions


async def _lookups(services: Services) -> dict[str, int]:
    try:
        redis = await connect(services.redis_url)
    except (RedisError, OSError):
        return {}  # told by the service's health
    try:
        sums = await MetricSums(redis).read()
    except (RedisError, OSError):
        return {}
    finally:
        await redis.aclose()
    return {
        series[1]: int(value) for series, value in sums.items() if series[0] == "casewire_embedding_lookups"
    }
