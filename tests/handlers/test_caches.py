"""What was embedded or written once is not embedded or written again, and goes with the case's evidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from redis.asyncio import Redis

from handlers import embedding_cache
from handlers.embedding_cache import EmbeddingCache
from handlers.generated import generate
from handlers.job import Cancelled
from handlers.language_model_ollama import OllamaModel
from storage.case_cache import CaseCache
from storage.graph import Passage
from storage.query_graphs import QueryGraphs
from tests.case_rows import unit
from tests.handlers.model_server import ModelServerApp, serving
from tests.handlers.small_case import WatchedJob

SHARDS = 4
PASSAGE = Passage(5, 50, "report.pdf", 3, 0, 23, "Ada Berg signed the log.")


class Embedder:
    """Vectors by length of text; remembers what it was asked."""

    name, dimensions, host, device = "by-length", 384, "", "cpu"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return np.stack([unit(1, len(text)) for text in texts])

    def required_bytes(self, texts: int) -> int:
        return texts


class Counted(dict[str, int]):
    def __call__(self, whence: str, how_many: int) -> None:
        self[whence] = self.get(whence, 0) + how_many


def kept(redis: Redis, most: int = 100) -> CaseCache:
    return CaseCache(redis, "embeddings", shards=SHARDS, keep_s=60, most=most)


async def test_a_text_is_embedded_once_by_all_processes(redis_client: Redis) -> None:
    embedder, counted = Embedder(), Counted()
    first = EmbeddingCache(embedder, kept(redis_client), count=counted)
    found = await first.encode("c", ["a", "bbb", "a"])
    np.testing.assert_array_equal(found, np.stack([unit(1, 1), unit(1, 3), unit(1, 1)]))
    assert embedder.asked == ["a", "bbb"]
    second = EmbeddingCache(embedder, kept(redis_client), count=counted)
    for cache in (first, second, second):
        np.testing.assert_array_equal(await cache.encode("c", ["bbb", "a"]), found[[1, 0]])
    assert embedder.asked == ["a", "bbb"]
    assert counted == {"memory": 4, "redis": 2, "made": 2}
    assert (await first.encode("c", [])).shape == (0, 384)


async def test_another_embedder_and_another_case_have_vectors_of_their_own(redis_client: Redis) -> None:
    embedder, other = Embedder(), Embedder()
    other.name = "another"
    for one, case in ((embedder, "c"), (other, "c"), (embedder, "d")):
        await EmbeddingCache(one, kept(redis_client)).encode(case, ["a"])
    assert (embedder.asked, other.asked) == (["a", "a"], ["a"])


async def test_what_is_cached_goes_with_the_evidence_of_its_case(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = Embedder()
    cache = EmbeddingCache(embedder, kept(redis_client))
    for case in ("c", "d"):
        await cache.encode(case, ["a"])
    await QueryGraphs(redis_client, shards=SHARDS).forget("c", [])
    keys = await redis_client.keys("*:cache:*")
    assert [key.decode().rpartition(":")[2] for key in keys] == ["d"]
    monkeypatch.setattr(embedding_cache, "MEMORY_S", -1.0)
    await cache.encode("c", ["a"])
    assert embedder.asked == ["a", "a", "a"]


async def test_a_cache_stays_small_in_redis_and_in_memory(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_cache, "IN_MEMORY", 2)
    cache = EmbeddingCache(Embedder(), kept(redis_client, most=3))
    for i in range(1, 4):
        await cache.encode("c", ["x" * i])
    assert len(cache._memory) == 2
    [key] = await redis_client.keys("*:cache:*")
    assert await redis_client.hlen(key) == 3
    assert 0 < await redis_client.ttl(key) <= 60
    await cache.encode("c", ["x" * 9])
    assert await redis_client.keys("*:cache:*") == []


async def ask(
    server: ModelServerApp, redis: Redis, question: str = "Who signed?", **more: object
) -> WatchedJob:
    job = WatchedJob(**more)  # type: ignore[arg-type]
    await generate(
        question,
        "Harbour",
        [PASSAGE],
        [],
        job,
        model=OllamaModel(server.url, "tiny", num_ctx=4096),
        case="c",
        kept=CaseCache(redis, "answers", shards=SHARDS, keep_s=60, most=10),
    )
    return job


async def test_the_same_prompt_is_written_to_once(redis_client: Redis) -> None:
    async with serving(ModelServerApp()) as server:
        first = await ask(server, redis_client)
        again = await ask(server, redis_client)
        assert len(server.requests) == 1
        assert "".join(text for text, _ in first.tokens) == again.tokens[0][0]
        await ask(server, redis_client, "Who else signed?")
        assert len(server.requests) == 2


async def test_an_answer_that_was_broken_off_is_not_kept(redis_client: Redis) -> None:
    async with serving(ModelServerApp()) as server:
        with pytest.raises(Cancelled):
            await ask(server, redis_client, looks_left=1)
        await ask(server, redis_client)
        assert len(server.requests) == 2
