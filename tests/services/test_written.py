"""What a real server writes becomes a cited answer and a reading, whichever way it is asked."""

from __future__ import annotations

import os
from contextlib import aclosing

import pytest

from handlers.generated import generate
from handlers.job import Cancelled
from handlers.language_model import LanguageModel, RepeatsItself
from handlers.language_model_ollama import OllamaModel
from handlers.language_model_openai import OpenAIModel
from handlers.reading_model import read_passage
from storage.graph import Passage
from tests.contracts import RanAgainst
from tests.handlers.small_case import WatchedJob
from tests.services.make_gguf import LINE
from tests.services.ollama_server import WRITER

PASSAGES = [Passage(i, i, f"log {i}", 0, 0, 3900, f"Entry {i}: the gate was open. " * 130) for i in (1, 2, 3)]


@pytest.fixture(params=["ollama", "openai"])
def model(request: pytest.FixtureRequest, ran_against: RanAgainst) -> LanguageModel:
    prefix = {"ollama": "TEST_OLLAMA", "openai": "TEST_OPENAI"}[request.param]
    if os.environ.get(f"{prefix}_MODEL") != WRITER:
        pytest.skip("no server has the model of ours; `make services-test` starts one")
    ran_against(f"answers by {request.param}", os.environ["TEST_OPENAI_VERSION"])
    if request.param == "ollama":
        return OllamaModel(os.environ["TEST_OLLAMA_HOST"], WRITER, num_ctx=4096)
    return OpenAIModel(os.environ["TEST_OPENAI_URL"], "", WRITER, num_ctx=4096)


async def test_an_answer_cites_what_its_numbers_name_and_was_streamed(model: LanguageModel) -> None:
    job = WatchedJob()
    answer = await generate("Was the gate open?", "Harbour", PASSAGES[:2], [], job, model=model)
    assert (answer.supported, answer.model) == (True, WRITER)
    assert [citation.node for claim in answer.claims for citation in claim.citations] == [1]
    assert "".join(piece for piece, _ in job.tokens) == LINE
    assert len(job.tokens) > 3


async def test_nobody_waiting_ends_it_and_the_server_takes_the_next(model: LanguageModel) -> None:
    with pytest.raises(Cancelled):
        await generate("Was it?", "Harbour", PASSAGES[:1], [], WatchedJob(looks_left=2), model=model)
    assert (await generate("Was it?", "Harbour", PASSAGES[:1], [], WatchedJob(), model=model)).supported


async def test_a_prompt_with_more_tokens_than_reckoned_loses_passages_and_tells(model: LanguageModel) -> None:
    if isinstance(model, OpenAIModel):
        pytest.skip("Ollama's /v1 cuts, and cannot be told not to")
    # Digits are a token each, so that there are three times as many as the length tells.
    digits = [Passage(i, i, f"list {i}", 0, 0, 3600, "0123456789" * 300) for i in (1, 2, 3)]
    answer = await generate("Which?", "Harbour", digits, [], WatchedJob(), model=model)
    assert answer.supported
    assert "a passage of “list 3”" in answer.dropped


async def test_a_passage_is_read_by_the_schema(model: LanguageModel) -> None:
    reading = await read_passage("Ada Berg signed the log.", model)
    assert isinstance(reading.entities, list)


async def test_json_that_repeats_itself_is_ended_and_the_next_is_answered(model: LanguageModel) -> None:
    said = {"type": "array", "items": {"enum": ["again"]}, "minItems": 200, "maxItems": 200}
    schema = {"type": "object", "properties": {"said": said}, "required": ["said"]}
    with pytest.raises(RepeatsItself, match="again and again"):
        await model.complete("List.", "What was said?", schema=schema, most_tokens=2000)
    cut = await model.complete("List.", "What was said?", schema=schema, most_tokens=40)
    assert cut.replace(" ", "").startswith('{"said":["again","again"')
    async with aclosing(model.stream("Answer.", "Who?")) as pieces:
        assert "".join([piece async for piece in pieces]) == LINE
