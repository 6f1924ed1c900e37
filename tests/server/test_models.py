"""Text of a case goes to another machine only once an owner has agreed, and everybody sees where it goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from handlers.language_model_ollama import OllamaModel
from handlers.models import Models, is_local
from server.services import Services
from server.settings import Settings
from server.status_models import embedder_line, embedder_status, language_model_status
from server.warming import Warming
from storage.consents import CaseConsents
from tests.handlers.agreeing import Agreed
from tests.handlers.model_server import ModelServerApp, serving
from tests.server.live import Live, running

FAR = "models.example.com:8443"


@pytest_asyncio.fixture(loop_scope="session")
async def far(settings: Settings, services: Services, live: Live) -> AsyncIterator[Live]:
    """A server whose model is elsewhere; `live` has emptied the stores."""
    mine = settings.model_copy(update={"openai_base_url": f"https://{FAR}/v1", "language_model": "big"})
    async with running(mine, services) as server:
        yield server


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("LOCALHOST:11434", True),
        ("127.0.0.1:11434", True),
        ("127.8.9.1", True),
        ("[::1]:8000", True),
        ("0.0.0.0:11434", False),
        ("10.0.0.7:11434", False),
        ("ollama:11434", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com:80", False),
        ("[2001:db8::1]:80", False),
        ("models.example.com", False),
    ],
)
def test_only_this_machine_is_local(host: str, local: bool) -> None:
    assert is_local(host) is local


def test_a_host_that_the_settings_declare_is_as_good_as_this_machine() -> None:
    trusted = Settings(CASEWIRE_LOCAL_HOSTS="Ollama, 10.0.0.7,[fd00::7]").trusted_hosts
    for host in ("ollama:11434", "OLLAMA.", "10.0.0.7:80", "[fd00::7]:80", "localhost"):
        assert is_local(host, trusted), host
    for host in ("ollama.example.com:11434", "my-ollama", "10.0.0.71:80", "[fd00::71]:80", "user@10.0.0.8"):
        assert not is_local(host, trusted), host


async def test_a_trusted_host_is_asked_without_an_owner_s_word_and_shown_as_local(
    settings: Settings, services: Services, live: Live
) -> None:
    mine = {"openai_base_url": f"https://{FAR}/v1", "language_model": "big", "local_hosts": FAR.split(":")[0]}
    async with running(settings.model_copy(update=mine), services) as server, server.person("ann") as ann:
        case = await ann.case()
        [host] = (await ann.http.get(f"/api/cases/{case['id']}/models")).json()
        assert host["local"] is True
    model = OllamaModel(FAR, "tiny", num_ctx=4096)
    model.host = FAR
    assert (await Models(model, Agreed()).of_case("case1")).model is None
    trusting = Models(model, Agreed(), frozenset({FAR.split(":")[0]}))
    assert (await trusting.of_case("case1")).model is model
    await trusting.let_embed("case1", FAR)


async def test_an_owner_lets_text_go_to_a_host_and_takes_that_back(far: Live) -> None:
    async with far.person("ann") as ann, far.person("bob") as bob:
        case = await ann.case()
        await ann.invite(case, bob, "editor")
        path = f"/api/cases/{case['id']}/models"
        [host] = (await bob.http.get(path)).json()
        assert host == {
            "host": FAR,
            "does": ["writes answers and reads evidence"],
            "models": ["big"],
            "local": False,
            "agreed_by": "",
            "agreed_at": None,
        }
        assert (await bob.call("PUT", path, {"host": FAR})).status_code == 403
        assert (await ann.call("PUT", path, {"host": "elsewhere.example.com"})).status_code == 409
        for _ in range(2):
            assert (await ann.call("PUT", path, {"host": FAR})).status_code == 204
        [host] = (await bob.http.get(path)).json()
        assert (host["agreed_by"], host["agreed_at"] is None) == (ann.id, False)
        consents = CaseConsents(far.parts.database)
        assert await consents.given(case["id"], FAR)
        other = await ann.case("Another")
        assert not await consents.given(other["id"], FAR)
        assert (await bob.call("DELETE", path, {"host": FAR})).status_code == 403
        assert (await ann.call("DELETE", path, {"host": FAR})).status_code == 204
        assert not await consents.given(case["id"], FAR)


async def test_strangers_see_nothing_of_it(far: Live) -> None:
    async with far.person("ann") as ann, far.person("eve") as eve:
        case = await ann.case()
        path = f"/api/cases/{case['id']}/models"
        assert (await eve.http.get(path)).status_code == 404
        assert (await eve.call("PUT", path, {"host": FAR})).status_code == 404


async def test_without_models_there_is_nothing_to_agree_to(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        assert (await ann.http.get(f"/api/cases/{case['id']}/models")).json() == []


async def test_a_case_is_warmed_once_when_it_is_opened_and_never_without_its_owner_s_word(live: Live) -> None:
    async with live.person() as ann, serving(ModelServerApp()) as server:
        case, other = await ann.case("Harbour"), await ann.case("Quarry")
        model = OllamaModel(server.url, "tiny", num_ctx=4096)
        consents = CaseConsents(live.parts.database)
        warming = Warming(Models(model, consents), live.parts.redis)
        for _ in range(3):
            warming.opened(case["id"], "Harbour")
        await warming.settled()
        [request] = server.requests
        assert "The case is called: Harbour" in request["messages"][0]["content"]
        assert request["options"]["num_predict"] == 1
        model.host = FAR
        warming.opened(other["id"], "Quarry")
        await warming.settled()
        assert len(server.requests) == 1


async def test_warming_is_put_off_under_pressure_and_done_then(live: Live) -> None:
    may_go_on, put_off = asyncio.Event(), asyncio.Event()

    async def rest(took_s: float) -> float:
        assert took_s > 0
        put_off.set()
        await may_go_on.wait()
        return 0.0

    async with live.person() as ann, serving(ModelServerApp()) as server:
        case = await ann.case()
        model = OllamaModel(server.url, "tiny", num_ctx=4096)
        models = Models(model, CaseConsents(live.parts.database))
        warming = Warming(models, live.parts.redis, rest=rest)
        warming.opened(case["id"], "Harbour")
        await put_off.wait()
        assert not server.requests
        may_go_on.set()
        await warming.settled()
        assert len(server.requests) == 1


async def test_a_model_that_is_away_spoils_nothing(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        model = OllamaModel("http://127.0.0.1:9", "tiny", num_ctx=4096)
        warming = Warming(Models(model, CaseConsents(live.parts.database)), live.parts.redis)
        warming.opened(case["id"], "Harbour")
        await warming.settled()
        await warming.aclose()


async def test_the_status_tells_what_the_models_are_and_what_is_wrong_with_them(
    settings: Settings, services: Services, live: Live
) -> None:
    assert (await language_model_status(settings))["mode"] == "extractive"
    async with serving(ModelServerApp(key="secret")) as server:
        at_openai = {"openai_base_url": f"{server.url}/v1", "openai_api_key": "secret"}
        here = settings.model_copy(update={"language_model": "tiny", **at_openai})
        told = await language_model_status(here)
        assert (told["name"], told["local"], told["problem"]) == ("tiny", True, None)
        missing = await language_model_status(here.model_copy(update={"language_model": "big"}))
        assert (
            missing["problem"] == f"the language model big is not at {server.url}/v1; it has tiny, tiny-embed"
        )
        at_ollama = settings.model_copy(update={"ollama_host": server.url, "embedding_model": "none"})
        told = await embedder_status(at_ollama, services)
        assert told["problem"] == f"the embedding model none is not at {server.url}; run `ollama pull none`"
    away = settings.model_copy(update={"openai_base_url": "http://127.0.0.1:9/v1"})
    assert "does not answer" in (await language_model_status(away))["problem"]


def test_the_share_that_came_from_a_cache_is_told() -> None:
    view = {"name": "m", "where": "", "lookups": {"memory": 2, "redis": 1, "made": 1}}
    assert (
        embedder_line(view) == "m in the workers of the queue gpu; 75% of 4 vectors of questions from a cache"
    )
    assert embedder_line(view | {"lookups": {}}) == "m in the workers of the queue gpu"
