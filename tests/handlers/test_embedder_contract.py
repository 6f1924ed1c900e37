"""What every embedder promises: MiniLM, and Ollama's over the wire.

Ollama's is asked at a server of this process, and at a real one where TEST_OLLAMA_HOST and
TEST_OLLAMA_EMBED_MODEL name one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from handlers.embedder import Embedder
from handlers.embedder_ollama import AT_ONCE, OllamaEmbedder, dimensions_of
from handlers.job import Permanent, Temporary
from handlers.minilm import MiniLM
from handlers.uncased import _PLAIN, folded
from tests.contracts import RanAgainst
from tests.handlers.model_server import ModelServerApp, serving
from tests.services.ollama_server import EMBEDDER

MINILM = MiniLM("cpu")
TEXTS = [
    "The gate was open.",
    "Ada Berg signed the log at nine o'clock.",
    "Der Wächter schlief.",
    "",
    "The gate was open.",
]


@pytest_asyncio.fixture(params=["minilm", "ollama", "real ollama"], loop_scope="session")
async def embedder(request: pytest.FixtureRequest, ran_against: RanAgainst) -> AsyncIterator[Embedder]:
    if request.param == "minilm":
        ran_against("MiniLM", "none")
        yield MiniLM("cpu")
    elif request.param == "ollama":
        ran_against("OllamaEmbedder", "one of the test process")
        async with serving(ModelServerApp()) as server:
            yield OllamaEmbedder(server.url, "tiny-embed", 24)
    elif host := os.environ.get("TEST_OLLAMA_HOST"):
        name = os.environ["TEST_OLLAMA_EMBED_MODEL"]
        version = await asyncio.to_thread(httpx.get, f"{host}/api/version")
        ran_against("OllamaEmbedder", f"Ollama {version.json()['version']}")
        yield OllamaEmbedder(host, name, await asyncio.to_thread(dimensions_of, host, name))
    else:
        pytest.skip("TEST_OLLAMA_HOST names no server")


async def test_each_text_has_a_unit_vector_of_the_length_that_was_told(embedder: Embedder) -> None:
    vectors = await asyncio.to_thread(embedder.encode, TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.dimensions)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)


async def test_no_texts_have_no_vectors(embedder: Embedder) -> None:
    assert (await asyncio.to_thread(embedder.encode, [])).shape == (0, embedder.dimensions)


async def test_equal_texts_have_equal_vectors_whatever_stands_beside_them(embedder: Embedder) -> None:
    together = await asyncio.to_thread(embedder.encode, TEXTS)
    alone = await asyncio.to_thread(embedder.encode, TEXTS[1:2])
    np.testing.assert_allclose(together[0], together[4], atol=1e-5)
    np.testing.assert_allclose(together[1], alone[0], atol=1e-4)
    assert not np.allclose(together[0], together[1], atol=1e-3)


async def test_the_order_is_kept_over_many_batches(embedder: Embedder) -> None:
    texts = [f"Bollard {i}" for i in range(AT_ONCE + 3)]
    forward = await asyncio.to_thread(embedder.encode, texts)
    backward = await asyncio.to_thread(embedder.encode, texts[::-1])
    np.testing.assert_allclose(forward, backward[::-1], atol=1e-4)


async def test_a_long_text_has_a_vector_too(embedder: Embedder) -> None:
    long = " ".join(f"word{i}" for i in range(3000))
    [vector] = await asyncio.to_thread(embedder.encode, [long])
    assert np.isfinite(vector).all()


async def test_several_threads_may_ask_at_once(embedder: Embedder) -> None:
    alone = await asyncio.to_thread(embedder.encode, TEXTS[:2])
    found = await asyncio.gather(*(asyncio.to_thread(embedder.encode, TEXTS[:2]) for _ in range(4)))
    for vectors in found:
        np.testing.assert_allclose(vectors, alone, atol=1e-4)


def test_what_it_takes_grows_with_the_texts() -> None:
    for one in (MiniLM("cpu"), OllamaEmbedder("127.0.0.1:9", "x", 768)):
        assert 0 < one.required_bytes(1) < one.required_bytes(64)


async def test_a_model_without_capitals_and_accents_gets_texts_without_them_and_is_looked_at_once() -> None:
    async with serving(ModelServerApp(pieces_known=("[CLS]", "▁gate", "s", "▁中"))) as server:
        embedder = OllamaEmbedder(server.url, "tiny-embed", 24)
        for _ in range(2):
            await asyncio.to_thread(embedder.encode, ["Der Wächter", "", "“Ödön’s” §"])
    looked, *asked = server.requests
    assert (looked["path"], looked["verbose"]) == ("/api/show", True)
    assert [request["input"] for request in asked] == [["der wachter", ".", '" odon \' s " §']] * 2


@pytest.mark.parametrize("pieces", [("▁Gate", "▁gate"), ("▁gate", "▁wächter"), ()])
async def test_any_other_model_gets_texts_as_they_are(pieces: tuple[str, ...]) -> None:
    async with serving(ModelServerApp(pieces_known=pieces)) as server:
        await asyncio.to_thread(OllamaEmbedder(server.url, "tiny-embed", 24).encode, ["Der Wächter"])
    assert server.requests[-1]["input"] == ["Der Wächter"]


@given(st.text())
def test_folding_changes_nothing_for_a_tokenizer_that_folds(text: str) -> None:
    plain = text.translate(_PLAIN)
    assert MINILM.tokenizer.encode(folded(text)).ids == MINILM.tokenizer.encode(plain).ids


async def test_a_real_servers_vectors_of_words_with_accents_are_minilms() -> None:
    if not (host := os.environ.get("TEST_OLLAMA_HOST")) or os.environ["TEST_OLLAMA_EMBED_MODEL"] != EMBEDDER:
        pytest.skip("TEST_OLLAMA_HOST names no server with the model of ours")
    texts = [
        "Der Wächter prüfte die Türen.",
        "Łódź, São Paulo: CAFÉ crème",
        "日本語 МИРА Ёжик",
        "$5 + 3 = “eight”",
    ]
    embedder = OllamaEmbedder(host, EMBEDDER, 384)
    theirs, ours = await asyncio.to_thread(embedder.encode, texts), MINILM.encode(texts)
    assert ((theirs * ours).sum(axis=1) > 0.97).all()


async def test_the_server_tells_how_long_its_vectors_are() -> None:
    async with serving(ModelServerApp(dimensions=31)) as server:
        assert await asyncio.to_thread(dimensions_of, server.url, "tiny-embed") == 31


async def test_vectors_of_another_length_than_before_are_refused() -> None:
    async with serving(ModelServerApp(dimensions=31)) as server:
        with pytest.raises(Permanent, match=r"31 numbers now.*of 24.*rebuild embeddings"):
            await asyncio.to_thread(OllamaEmbedder(server.url, "tiny-embed", 24).encode, ["a"])


@pytest.mark.parametrize(("status", "error"), [(404, Permanent), (503, Temporary)])
async def test_a_missing_model_is_final_and_a_server_that_is_ill_is_not(
    status: int, error: type[Exception]
) -> None:
    async with serving(ModelServerApp(status=status)) as server:
        with pytest.raises(error, match=f"embedding server answered {status}"):
            await asyncio.to_thread(OllamaEmbedder(server.url, "tiny-embed", 24).encode, ["a"])


def test_a_server_that_is_not_there_is_temporary_and_named() -> None:
    with pytest.raises(Temporary, match=r"embedding server at http://127\.0\.0\.1:9 does not answer"):
        OllamaEmbedder("127.0.0.1:9", "x", 24).encode(["a"])
