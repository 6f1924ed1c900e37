"""A language model served by Ollama."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any
from urllib.parse import urlsplit

from handlers.language_model import CutShort, Told, Usage
from handlers.model_server import REPEATED, ModelServer, cut_short, repeated
from handlers.repeating import Repetition

KEEP_ALIVE = "30m"
"""How long Ollama keeps the model, and with it the evaluated prompts, after the last request."""


def address_of(host: str) -> str:
    """The address of a server whose scheme may have been left out.

    >>> address_of("127.0.0.1:11434")
    'http://127.0.0.1:11434'
    """
    return (host if "://" in host else f"http://{host}").rstrip("/")


class OllamaModel:
    """`handlers.language_model.LanguageModel` over Ollama's HTTP interface.

    Ollama has one cache for each loaded model and finds by itself what was evaluated before; it
    offers no slots to choose, so that `thread` says nothing to it.

    Args:
        host: Address of the server, such as `http://127.0.0.1:11434`.
        name: Of the model, such as `gemma3`.
        num_ctx: Tokens of its context; always sent, as the server's own default cuts silently.
        told: Hears what each request took.
    """

    def __init__(self, host: str, name: str, *, num_ctx: int, told: Told = lambda usage: None) -> None:
        self.name = name
        self.num_ctx = num_ctx
        self._server = ModelServer("the language model server", address_of(host))
        self.host = urlsplit(self._server.address).netloc
        self._told = told

    async def stream(self, system: str, user: str, *, thread: str = "") -> AsyncGenerator[str, None]:
        """See `LanguageModel.stream`; temperature 0 and a fixed seed."""
        async with aclosing(self._pieces(self._request(system, user, stream=True))) as pieces:
            async for piece in pieces:
                yield piece

    async def complete(
        self, system: str, user: str, *, schema: Mapping[str, Any], most_tokens: int, thread: str = ""
    ) -> str:
        """See `LanguageModel.complete`."""
        request = self._request(system, user, stream=True, num_predict=most_tokens)
        written: list[str] = []
        with suppress(CutShort):
            async with aclosing(self._pieces(request | {"format": dict(schema)})) as pieces:
                async for piece in pieces:
                    written.append(piece)
        return "".join(written)

    async def _pieces(self, request: Mapping[str, Any]) -> AsyncGenerator[str, None]:
        last, repetition = deque[str](maxlen=REPEATED), Repetition()
        async with aclosing(self._server.lines("/api/chat", request)) as lines:
            async for line in lines:
                part = self._server.parsed(line)
                if text := str(part.get("message", {}).get("content") or ""):
                    last.append(text)
                    yield text
                    if repetition.heard(text):
                        raise repeated()
                if part.get("done"):
                    self._tell(part)
                    if part.get("done_reason") == "length":
                        raise cut_short()
                    return
        raise self._server.broke_off(last)

    async def warm(self, system: str, user: str, *, thread: str = "") -> None:
        """See `LanguageModel.warm`."""
        self._tell(
            await self._server.ask("/api/chat", self._request(system, user, stream=False, num_predict=1))
        )

    def _request(self, system: str, user: str, *, stream: bool, **options: int) -> dict[str, Any]:
        messages = [{"role": "system", "content": system}]
        if user:
            messages.append({"role": "user", "content": user})
        return {
            "model": self.name,
            "messages": messages,
            "stream": stream,
            # Else the server leaves out of a long prompt what it likes, and answers as if nothing were.
            "truncate": False,
            "shift": False,
            "keep_alive": KEEP_ALIVE,
            "options": {"num_ctx": self.num_ctx, "temperature": 0, "seed": 0, **options},
        }

    def _tell(self, answer: Mapping[str, Any]) -> None:
        # The count of the prompt takes in what came from the cache; older servers do not tell how much.
        cached = answer.get("prompt_eval_cached_count")
        self._told(
            Usage(
                prompt=int(answer.get("prompt_eval_count") or 0),
                cached=None if cached is None else int(cached),
                written=int(answer.get("eval_count") or 0),
            )
        )
