"""The models that are made for a language-model server are what they are taken for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from handlers.minilm import MiniLM
from tests.contracts import RanAgainst
from tests.services.make_gguf import LINE

TEXTS = ["Ada Berg signed the log at nine o'clock.", "The gate was open; no guard.", "word " * 400]
SCHEMA = {
    "type": "object",
    "properties": {"people": {"type": "array", "items": {"type": "string"}}, "sure": {"type": "boolean"}},
    "required": ["people", "sure"],
    "additionalProperties": False,
}


@pytest.fixture
def server(ran_against: RanAgainst) -> Iterator[httpx.Client]:
    host = os.environ.get("TEST_OLLAMA_HOST")
    if not host:
        pytest.skip("TEST_OLLAMA_HOST names no server; `make services-test` starts one")
    with httpx.Client(base_url=host, timeout=100) as client:
        ran_against("models of ours", f"Ollama {client.get('/api/version').json()['version']}")
        yield client


def test_the_servers_minilm_is_ours(server: httpx.Client) -> None:
    asked = {"model": os.environ["TEST_OLLAMA_EMBED_MODEL"], "input": TEXTS}
    answer = server.post("/api/embed", json=asked).raise_for_status().json()
    np.testing.assert_allclose(np.array(answer["embeddings"]), MiniLM("cpu").encode(TEXTS), atol=2e-3)


def test_a_written_answer_ends_and_comes_in_pieces(server: httpx.Client) -> None:
    asked = {
        "model": os.environ["TEST_OLLAMA_MODEL"],
        "messages": [{"role": "user", "content": "Who signed?"}],
        "options": {"num_predict": 2000, "seed": 1},
    }
    with server.stream("POST", "/api/chat", json=asked) as response:
        pieces = [json.loads(line) for line in response.iter_lines()]
    assert len(pieces) > 3
    assert pieces[-1]["done_reason"] == "stop"


def test_an_answer_by_a_schema_is_whole(server: httpx.Client) -> None:
    asked = {
        "model": os.environ["TEST_OLLAMA_MODEL"],
        "messages": [{"role": "user", "content": "Who signed?"}],
        "format": SCHEMA,
        "stream": False,
        "options": {"num_predict": 2000, "temperature": 0},
    }
    answer = json.loads(server.post("/api/chat", json=asked).raise_for_status().json()["message"]["content"])
    assert answer.keys() == {"people", "sure"}
    assert answer["people"] == [LINE]
    assert isinstance(answer["sure"], bool)
