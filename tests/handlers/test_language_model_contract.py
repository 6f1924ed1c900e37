"""What every language model promises, whichever server is behind it.

Each adapter is asked over the wire: against a server of this process that speaks the documented
interface, and against real ones where TEST_OLLAMA_HOST with TEST_OLLAMA_MODEL, TEST_OPENAI_URL
or TEST_LLAMA_URL with …_MODEL (and …_KEY) name them. `make services-test` starts them.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing

import httpx
import pytest
import pytest_asyncio
from pydantic import BaseModel, ConfigDict

from handlers.extraction import reading_of, reading_schema
from handlers.job import Permanent, Temporary
from handlers.language_model import ContextExceeded, CutShort, LanguageModel, RepeatsItself, Usage
from handlers.language_model_ollama import OllamaModel
from handlers.language_model_openai import OpenAIModel
from tests.contracts import RanAgainst
from tests.handlers.model_server import ModelServerApp, serving
from tests.services.make_gguf import AGAIN, LINE
from tests.services.ollama_server import WRITER

USAGES: list[Usage] = []


class Named(BaseModel):
    """An answer by a schema."""

    model_config = ConfigDict(extra="forbid")
    people: list[str]
    sure: bool


def model_of(kind: str, url: str, name: str = "tiny", key: str = "") -> LanguageModel:
    if kind == "ollama":
        return OllamaModel(url, name, num_ctx=4096, told=USAGES.append)
    return OpenAIModel(url, key, name, num_ctx=4096, told=USAGES.append)


def path_of(kind: str) -> str:
    return "" if kind == "ollama" else "/v1"


REAL = {
    "real ollama": "TEST_OLLAMA_HOST",
    "real openai": "TEST_OPENAI_URL",
    "llama.cpp": "TEST_LLAMA_URL",
}


@pytest_asyncio.fixture(params=["ollama", "openai", *REAL], loop_scope="session")
async def model(request: pytest.FixtureRequest, ran_against: RanAgainst) -> AsyncIterator[LanguageModel]:
    """Each adapter with a server behind it."""
    USAGES.clear()
    kind = "ollama" if request.param.endswith("ollama") else "openai"
    adapter = {"ollama": "OllamaModel", "openai": "OpenAIModel"}[kind]
    if request.param in REAL:
        variable = REAL[request.param]
        url = os.environ.get(variable)
        if not url:
            pytest.skip(f"{variable} names no server")
        prefix = variable.rpartition("_")[0]
        name = os.environ[f"{prefix}_MODEL"]
        ran_against(adapter, await asyncio.to_thread(version_of, prefix, url))
        yield model_of(kind, url, name, os.environ.get(f"{prefix}_KEY", ""))
        return
    ran_against(adapter, "one of the test process")
    async with serving(ModelServerApp()) as server:
        yield model_of(kind, server.url + path_of(kind))


def version_of(prefix: str, url: str) -> str:
    if prefix != "TEST_OLLAMA":
        model = os.environ[f"{prefix}_MODEL"]
        return f"{os.environ.get(f'{prefix}_VERSION', 'unnamed')}, {model}, /v1"
    return f"Ollama {httpx.get(f'{url}/api/version').json()['version']}"


@pytest_asyncio.fixture(params=["ollama", "openai"], loop_scope="session")
async def broken(request: pytest.FixtureRequest) -> AsyncIterator[tuple[ModelServerApp, LanguageModel]]:
    """Each adapter with a server that can be made to fail."""
    USAGES.clear()
    async with serving(ModelServerApp()) as server:
        yield server, model_of(request.param, server.url + path_of(request.param))


async def written(model: LanguageModel, user: str = "Who signed?", thread: str = "") -> list[str]:
    async with aclosing(model.stream("Answer in a few words.", user, thread=thread)) as pieces:
        return [piece async for piece in pieces]


async def test_the_answer_comes_in_pieces_of_which_none_is_empty(model: LanguageModel) -> None:
    pieces = await written(model)
    assert pieces
    assert all(pieces)


async def test_the_same_question_is_answered_alike(model: LanguageModel) -> None:
    assert await written(model) == await written(model)


async def test_each_request_tells_its_tokens_once(model: LanguageModel) -> None:
    await written(model)
    await model.complete("Be short.", "Who?", schema=Named.model_json_schema(), most_tokens=64)
    assert len(USAGES) == 2
    for usage in USAGES:
        assert usage.prompt > 0
        assert usage.written > 0
        assert usage.cached is None or 0 <= usage.cached <= usage.prompt


async def test_a_schema_makes_the_answer_json(model: LanguageModel) -> None:
    text = await model.complete(
        "List the people.", "Ada met Tom.", schema=Named.model_json_schema(), most_tokens=256
    )
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        # A small model, or one of random weights, may fill all its tokens with one string.
        assert USAGES[-1].written >= 250, text
    else:
        Named.model_validate(value)


async def test_what_production_asks_for_by_a_schema_is_answered_by_it(model: LanguageModel) -> None:
    try:
        text = await model.complete("Read.", "Ada met Tom.", schema=reading_schema(), most_tokens=1024)
    except RepeatsItself:  # as a small model may
        return
    if USAGES[-1].written < 1000:  # else it was cut
        reading_of(text)


async def test_warming_writes_next_to_nothing(model: LanguageModel) -> None:
    await model.warm("Answer in a few words.", "Who")
    assert USAGES[-1].written <= 1


async def test_a_stream_can_be_left(model: LanguageModel) -> None:
    async with aclosing(model.stream("Answer at length.", "Tell all, please")) as pieces:
        async for piece in pieces:
            assert piece
            break
    assert await written(model)


async def test_a_model_that_the_server_does_not_have_is_final(model: LanguageModel) -> None:
    model.name = "none-such"
    for asked in (
        written(model),
        model.complete("a", "b", schema=Named.model_json_schema(), most_tokens=9),
        model.warm("a", "b"),
    ):
        with pytest.raises(Permanent, match="none-such"):
            await asked


async def test_a_prompt_that_is_too_long_is_refused_and_not_cut(
    broken: tuple[ModelServerApp, LanguageModel],
) -> None:
    server, model = broken
    server.context = 40
    for asked in (
        written(model, "word " * 50),
        model.complete("a", "word " * 50, schema=Named.model_json_schema(), most_tokens=9),
        model.warm("a", "word " * 50),
    ):
        with pytest.raises(ContextExceeded, match="context"):
            await asked
    assert await written(model, "word " * 20)


async def test_a_real_ollama_refuses_what_is_too_long_and_does_not_cut() -> None:
    url = os.environ.get("TEST_OLLAMA_HOST") or pytest.skip("TEST_OLLAMA_HOST names no server")
    model = OllamaModel(url, os.environ["TEST_OLLAMA_MODEL"], num_ctx=512)
    for asked in (written(model, "gate " * 1000), model.warm("a", "gate " * 1000)):
        with pytest.raises(ContextExceeded, match="context"):
            await asked


async def test_a_real_server_gives_what_the_model_of_ours_writes_piece_by_piece(model: LanguageModel) -> None:
    if model.name != WRITER:
        pytest.skip("another model writes")
    pieces = await written(model)
    assert "".join(pieces) == LINE
    assert len(pieces) > 3


async def test_a_model_that_a_real_server_stops_as_it_repeats_itself_is_not_asked_again(
    model: LanguageModel,
) -> None:
    if model.name != WRITER:
        pytest.skip("another model writes")
    with pytest.raises(RepeatsItself, match="again and again"):
        await written(model, f"Say {AGAIN}")


async def test_an_answer_that_ends_without_its_end_after_many_equal_pieces_repeated_itself(
    broken: tuple[ModelServerApp, LanguageModel],
) -> None:
    server, model = broken
    server.breaks_off, server.pieces = True, ("Ada", *["~"] * 30)
    with pytest.raises(RepeatsItself, match="again and again"):
        await written(model)
    server.pieces = ("~",) * 29
    with pytest.raises(Temporary, match="broke off"):
        await written(model)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_that_is_busy_or_ill_is_temporary(
    broken: tuple[ModelServerApp, LanguageModel], status: int
) -> None:
    server, model = broken
    server.status = status
    with pytest.raises(Temporary, match=str(status)):
        await written(model)
    with pytest.raises(Temporary, match=str(status)):
        await model.complete("a", "b", schema=Named.model_json_schema(), most_tokens=9)


async def test_a_stream_that_ends_early_is_temporary_and_what_came_is_given(
    broken: tuple[ModelServerApp, LanguageModel],
) -> None:
    server, model = broken
    server.breaks_off = True
    came: list[str] = []

    async def take_all() -> None:
        async with aclosing(model.stream("s", "u")) as pieces:
            async for piece in pieces:
                came.append(piece)

    with pytest.raises(Temporary, match="broke off"):
        await take_all()
    assert came == list(server.pieces)


async def test_an_error_in_the_middle_of_a_stream_is_temporary_and_told(
    broken: tuple[ModelServerApp, LanguageModel],
) -> None:
    server, model = broken
    server.fails_midway = True
    with pytest.raises(Temporary, match=r"running the model|model crashed"):
        await written(model)


async def test_a_server_that_is_silent_for_too_long_is_temporary(
    broken: tuple[ModelServerApp, LanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, model = broken
    server.pause_s = 3600.0
    monkeypatch.setattr(model._server, "_options", model._server._options | {"timeout": 0.2})  # type: ignore[attr-defined]
    with pytest.raises(Temporary, match="does not answer"):
        await written(model)


async def test_a_server_that_is_not_there_is_temporary_and_named() -> None:
    for kind in ("ollama", "openai"):
        with pytest.raises(Temporary, match=r"language model server at http://127\.0\.0\.1:9"):
            await written(model_of(kind, "http://127.0.0.1:9"))


async def test_the_context_is_named_to_ollama_and_the_model_stays_loaded() -> None:
    async with serving(ModelServerApp()) as server:
        await written(model_of("ollama", server.url))
    [request] = server.requests
    assert request["options"] == {"num_ctx": 4096, "temperature": 0, "seed": 0}
    assert request["keep_alive"] == "30m"


async def test_a_prompt_that_begins_like_the_last_one_is_told_as_cached() -> None:
    for kind in ("ollama", "openai"):
        USAGES.clear()
        async with serving(ModelServerApp()) as server:
            model = model_of(kind, server.url + path_of(kind))
            await written(model, "one two three four")
            await written(model, "one two three five")
            server.tells_cached = False
            await written(model, "one two three six")
        assert [usage.cached for usage in USAGES] == [0, USAGES[0].prompt - 1, None]


async def test_a_key_is_sent_and_a_wrong_one_is_final() -> None:
    async with serving(ModelServerApp(key="secret")) as server:
        assert await written(model_of("openai", f"{server.url}/v1", key="secret"))
        with pytest.raises(Permanent, match="401: Incorrect API key"):
            await written(model_of("openai", f"{server.url}/v1", key="wrong"))


async def test_a_field_that_a_server_does_not_know_is_left_out_from_then_on() -> None:
    async with serving(ModelServerApp(refused_field="seed")) as server:
        model = model_of("openai", f"{server.url}/v1")
        assert await written(model) == await written(model)
    assert ["seed" in request for request in server.requests] == [True, False, False]


async def test_a_field_that_is_needed_is_not_left_out() -> None:
    async with serving(ModelServerApp(refused_field="response_format")) as server:
        model = model_of("openai", f"{server.url}/v1")
        with pytest.raises(Permanent, match="Unknown parameter: 'response_format'"):
            await model.complete("a", "b", schema=Named.model_json_schema(), most_tokens=9)


async def test_slots_are_found_with_a_key_and_once_a_server_has_loaded_its_model() -> None:
    async with serving(ModelServerApp(slots=4, key="secret", loading=1)) as server:
        model = model_of("openai", f"{server.url}/v1", key="secret")
        with pytest.raises(Temporary, match="503: Loading model"):
            await written(model, thread="a")
        await written(model, thread="a")
    assert "id_slot" in server.requests[-1]


async def test_a_server_that_writes_under_any_name_is_asked_for_its_models() -> None:
    async with serving(ModelServerApp(slots=2, models=("small", "tiny"))) as server:
        for name in ("small", "tiny"):
            assert await written(model_of("openai", f"{server.url}/v1", name))
        asked = len(server.requests)
        with pytest.raises(Permanent, match="has no model gemma3, but small: set CASEWIRE_LANGUAGE_MODEL"):
            await written(model_of("openai", f"{server.url}/v1", "gemma3"))
    assert len(server.requests) == asked


async def test_a_slot_that_has_less_room_than_was_thought_is_taken_as_it_is() -> None:
    async with serving(ModelServerApp(slots=4, slot_ctx=1024)) as server:
        model = model_of("openai", f"{server.url}/v1")
        await written(model)
        assert model.num_ctx == 1024
    async with serving(ModelServerApp(slots=4, slot_ctx=8192)) as server:
        model = model_of("openai", f"{server.url}/v1")
        await written(model)
        assert model.num_ctx == 4096


async def test_an_answer_without_room_for_its_rest_is_told_after_what_came(
    broken: tuple[ModelServerApp, LanguageModel],
) -> None:
    server, model = broken
    server.cuts_short = True
    came: list[str] = []

    async def take_all() -> None:
        async with aclosing(model.stream("s", "u")) as pieces:
            async for piece in pieces:
                came.append(piece)

    with pytest.raises(CutShort, match="no room for the rest"):
        await take_all()
    assert came == list(server.pieces)
    text = await model.complete("a", "b", schema=Named.model_json_schema(), most_tokens=9)
    assert text == json.dumps({"people": [], "sure": False})  # whoever asks by a schema looks for himself


async def test_a_model_that_repeats_whole_sentences_is_stopped_though_its_server_lets_it_go_on(
    broken: tuple[ModelServerApp, LanguageModel],
) -> None:
    server, model = broken
    server.pieces = ("Ada signed. ", *["The gate ", "was open ", "at nine. "] * 400)
    came: list[str] = []

    async def take_all() -> None:
        async with aclosing(model.stream("s", "u")) as pieces:
            async for piece in pieces:
                came.append(piece)

    with pytest.raises(RepeatsItself, match="again and again"):
        await take_all()
    assert 12 < len(came) < 100
    assert not isinstance(model, OpenAIModel) or USAGES[-1].written == len(came)
    server.instances = [json.dumps({"people": ["Ada"] * 500, "sure": True})]
    with pytest.raises(RepeatsItself, match="again and again"):
        await model.complete("a", "b", schema=Named.model_json_schema(), most_tokens=4000)


async def test_an_answer_by_a_schema_comes_in_pieces_so_that_a_slow_server_is_not_silent(
    broken: tuple[ModelServerApp, LanguageModel],
) -> None:
    server, model = broken
    server.instances = [json.dumps({"people": [f"Person {i}" for i in range(20)], "sure": True})]
    text = await model.complete("a", "b", schema=Named.model_json_schema(), most_tokens=400)
    assert len(Named.model_validate_json(text).people) == 20
    assert server.requests[-1]["stream"] is True


async def test_a_thread_keeps_its_slot_where_there_are_slots_and_they_are_never_named_elsewhere() -> None:
    async with serving(ModelServerApp(slots=4)) as server:
        model = model_of("openai", f"{server.url}/v1")
        for _ in range(3):
            for thread in ("a", "b", "c", "d", "e"):
                await written(model, f"{thread} said so", thread=thread)
        slots = [request["id_slot"] for request in server.requests]
        assert slots[:5] == slots[5:10] == slots[10:]
        assert len(set(slots)) > 1
        assert set(slots) <= set(range(4))
        assert all(request["cache_prompt"] for request in server.requests)
        USAGES.clear()
        async with aclosing(model.stream("s", "a said so", thread="a")) as pieces:
            async for _ in pieces:
                break
        assert [(usage.prompt > 0, usage.written) for usage in USAGES] == [(True, 1)]
    async with serving(ModelServerApp()) as server:
        await written(model_of("openai", f"{server.url}/v1"), thread="a")
        assert not {"id_slot", "cache_prompt"} & set(server.requests[0])
