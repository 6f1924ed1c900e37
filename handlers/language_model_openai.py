"""A language model behind the interface that OpenAI's server has and many others speak."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit
from zlib import crc32

import httpx

from handlers.language_model import Told, Usage
from handlers.model_server import CONNECT_S, REPEATED, ModelServer, Refusal

_OPTIONAL = frozenset({"temperature", "seed", "stream_options", "max_tokens"})
"""Fields that some servers do without: what one names as unknown is left out from then on."""

_DONE = "[DONE]"


class OpenAIModel:
    """`handlers.language_model.LanguageModel` over `/chat/completions`.

    llama.cpp's server, which is known by its `/props`, keeps what it evaluated in slots: each thread
    has one of them, so that two conversations that take turns do not push one another out.

    Args:
        url: Such as `https://api.example.com/v1`.
        key: Sent as a bearer token; "" for none.
        name: Of the model.
        num_ctx: Tokens of its context. The interface cannot ask for it: the server must have it.
        told: Hears what each request took.
    """

    def __init__(
        self, url: str, key: str, name: str, *, num_ctx: int, told: Told = lambda usage: None
    ) -> None:
        self.name = name
        self.num_ctx = num_ctx
        self._server = ModelServer("the language model server", url.rstrip("/"), key=key)
        self.host = urlsplit(url).netloc
        self._told = told
        self._left_out: set[str] = set()
        self._slots: int | None = None

    async def stream(self, system: str, user: str, *, thread: str = "") -> AsyncGenerator[str, None]:
        """See `LanguageModel.stream`; temperature 0 and a fixed seed."""
        request = await self._request(system, user, thread)
        request |= {"stream": True, "stream_options": {"include_usage": True}}
        while True:
            try:
                async with aclosing(self._pieces(self._taken(request))) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except Refusal as error:  # before the first piece: a refusal is the whole answer
                self._do_without(error)

    async def complete(
        self, system: str, user: str, *, schema: Mapping[str, Any], most_tokens: int, thread: str = ""
    ) -> str:
        """See `LanguageModel.complete`."""
        form = {"name": str(schema.get("title") or "answer"), "schema": dict(schema), "strict": True}
        answer = await self._ask(
            await self._request(system, user, thread)
            | {"response_format": {"type": "json_schema", "json_schema": form}, "max_tokens": most_tokens}
        )
        return str(_message(answer, "message").get("content") or "")

    async def warm(self, system: str, user: str, *, thread: str = "") -> None:
        """See `LanguageModel.warm`."""
        await self._ask(await self._request(system, user, thread) | {"max_tokens": 1})

    async def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        while True:
            try:
                answer = await self._server.ask("/chat/completions", self._taken(request))
            except Refusal as error:
                self._do_without(error)
                continue
            self._tell(answer)
            return answer

    async def _pieces(self, request: Mapping[str, Any]) -> AsyncGenerator[str, None]:
        ended, last = False, deque[str](maxlen=REPEATED)
        async with aclosing(self._server.lines("/chat/completions", request)) as lines:
            async for line in lines:
                if not line.startswith("data:"):
                    continue
                data = line.removeprefix("data:").strip()
                if data == _DONE:
                    return
                part = self._server.parsed(data)
                if part.get("usage"):
                    self._tell(part)
                if text := str(_message(part, "delta").get("content") or ""):
                    last.append(text)
                    yield text
                ended = ended or any(choice.get("finish_reason") for choice in part.get("choices") or ())
        if not ended:
            raise self._server.broke_off(last)

    async def _request(self, system: str, user: str, thread: str) -> dict[str, Any]:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        slots = await self._count_slots()
        pinned = {"id_slot": crc32(thread.encode()) % slots, "cache_prompt": True} if slots else {}
        return {"model": self.name, "messages": messages, "temperature": 0, "seed": 0, **pinned}

    async def _count_slots(self) -> int:
        """The slots of a llama.cpp server; 0 for any other, which would refuse to be told of slots."""
        if self._slots is None:
            root = self._server.address.removesuffix("/v1")
            try:
                async with httpx.AsyncClient(timeout=CONNECT_S) as client:
                    answer = await client.get(f"{root}/props")
                found = answer.json() if answer.status_code == 200 else {}
                self._slots = int(found.get("total_slots") or 0) if isinstance(found, dict) else 0
            except ValueError:
                self._slots = 0
            except httpx.HTTPError:
                return 0  # asked again next time; the request itself tells what is wrong
        return self._slots

    def _taken(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in request.items() if name not in self._left_out}

    def _do_without(self, error: Refusal) -> None:
        if error.param not in _OPTIONAL - self._left_out:
            raise error
        self._left_out.add(error.param)

    def _tell(self, answer: Mapping[str, Any]) -> None:
        usage: Mapping[str, Any] = answer.get("usage") or {}
        details: Mapping[str, Any] = usage.get("prompt_tokens_details") or {}
        # llama.cpp tells the same under a name of its own.
        cached = details.get("cached_tokens", (answer.get("timings") or {}).get("cache_n"))
        self._told(
            Usage(
                prompt=int(usage.get("prompt_tokens") or 0),
                cached=None if cached is None else int(cached),
                written=int(usage.get("completion_tokens") or 0),
            )
        )


def _message(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The first choice's message, or what a part of a stream adds to it; a last part has no choice."""
    choices: Sequence[Mapping[str, Any]] = answer.get("choices") or ({},)
    return choices[0].get(name) or {}
