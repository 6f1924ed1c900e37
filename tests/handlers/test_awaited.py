"""Nobody waiting ends a request to a model that is silent, as while it evaluates a long prompt."""

from __future__ import annotations

import asyncio

import pytest

from handlers import awaited
from handlers.awaited import while_awaited
from handlers.generated import generate
from handlers.job import Cancelled, Temporary
from handlers.language_model_openai import OpenAIModel
from storage.graph import Passage
from tests.handlers.model_server import ModelServerApp, serving
from tests.handlers.small_case import WatchedJob


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awaited, "LOOK_S", 0.01)


async def test_work_gives_its_result_or_its_error() -> None:
    async def three() -> int:
        await asyncio.sleep(0.03)
        return 3

    async def fails() -> None:
        raise Temporary("the server is away")

    assert await while_awaited(WatchedJob(), three()) == 3
    with pytest.raises(Temporary, match="away"):
        await while_awaited(WatchedJob(), fails())


async def test_work_that_nobody_waits_for_is_ended_before_that_is_told() -> None:
    ended = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(Cancelled):
        await while_awaited(WatchedJob(looks_left=2), forever())
    assert ended == [True]


async def test_an_answer_of_which_nothing_has_come_yet_is_not_waited_for() -> None:
    passage = Passage(1, 1, "log", 0, 0, 18, "The gate was open.")
    async with serving(ModelServerApp(pause_s=3600)) as server:

        class Left(WatchedJob):
            """Nobody waits any more once the server has been asked."""

            async def check(self) -> None:
                if server.requests:
                    raise Cancelled

        model = OpenAIModel(f"{server.url}/v1", "", "tiny", num_ctx=4096)
        with pytest.raises(Cancelled):
            await generate("Who?", "c", [passage], [], Left(), model=model)
        assert [request["path"] for request in server.requests] == ["/v1/chat/completions"]
