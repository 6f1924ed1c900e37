"""A language model behind the interface that OpenAI's server has and many others speak."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from zlib import crc32

from handlers.language_model import CutShort, Told, Usage
from handlers.model_server import REPEATED, ModelServer, Refusal, cut_short, repeated
from handlers.repeating import Repetition

_OPTIONAL = frozenset({"temperature", "seed", "stream_options", "max_tokens"})
"""Fields that some servers do without: what one names as unknown is left out from then on."""

_DONE = "[DONE]"


@dataclass(frozen=True)
class Slots:
    """What a llama.cpp server keeps evaluated prompts in.

    Attributes:
        count: 0: it is another server.
        num_ctx: Tokens of each; 0: it does not tell.
        models: Names of the one model that it has.
    """

    count: int = 0
    num_ctx: int = 0
    models: tuple[str, ...] = ()


def slots_in(props: Mapping[str, Any], listed: Mapping[str, Any]) -> Slots:
    """What `/props` and `/models` tell.

    >>> slots_in({"total_slots": 2}, {"data": [{"id": "tiny", "aliases": ["small"]}]})
    Slots(count=2, num_ctx=0, models=('tiny', 'small'))
    """
    if not (count := int(props.get("total_slots") or 0)):
        return Slots()
    settings: Mapping[str, Any] = props.get("default_generation_settings") or {}
    names = [
        str(name)
        for model in listed.get("data") or ()
        for name in (model.get("id"), *(model.get("aliases") or ()))
        if name
    ]
    return Slots(count, int(settings.get("n_ctx") or 0), tuple(dict.fromkeys(names)))


class OpenAIModel:
    """`handlers.language_model.LanguageModel` over `/chat/completions`.

    llama.cpp's server, which is known by its `/props`, keeps what it evaluated in slots: each thread
    has one of them, so that two conversations that take turns do not push one another out. It would
    write under any name, so that the name is compared with its own; and a slot may have less room than
    `num_ctx`, which then becomes that.

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
        self._slots: Slots | None = None

    async def stream(self, system: str, user: str, *, thread: str = "") -> AsyncGenerator[str, None]:
        """See `LanguageModel.stream`; temperature 0 and a fixed seed."""
        async with aclosing(self._stream(await self._request(system, user, thread))) as pieces:
            async for piece in pieces:
                yield piece

    async def complete(
        self, system: str, user: str, *, schema: Mapping[str, Any], most_tokens: int, thread: str = ""
    ) -> str:
        """See `LanguageModel.complete`."""
        form = {"name": str(schema.get("title") or "answer"), "schema": dict(schema), "strict": True}
        request = await self._request(system, user, thread)
        request |= {
            "response_format": {"type": "json_schema", "json_schema": form},
            "max_tokens": most_tokens,
        }
        written: list[str] = []
        with suppress(CutShort):
            async with aclosing(self._stream(request)) as pieces:
                async for piece in pieces:
                    written.append(piece)
        return "".join(written)

    async def warm(self, system: str, user: str, *, thread: str = "") -> None:
        """See `LanguageModel.warm`."""
        request = await self._request(system, user, thread) | {"max_tokens": 1}
        while True:
            try:
                answer = await self._server.ask("/chat/completions", self._taken(request))
            except Refusal as error:
                self._do_without(error)
                continue
            self._tell(answer)
            return

    async def _stream(self, request: Mapping[str, Any]) -> AsyncGenerator[str, None]:
        asked = {**request, "stream": True, "stream_options": {"include_usage": True}}
        while True:
            try:
                async with aclosing(self._pieces(self._taken(asked))) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except Refusal as error:  # before the first piece: a refusal is the whole answer
                self._do_without(error)

    async def _pieces(self, request: Mapping[str, Any]) -> AsyncGenerator[str, None]:
        ended, last, repetition = "", deque[str](maxlen=REPEATED), Repetition()
        written, progress, told = 0, dict[str, Any](), False
        try:
            async with aclosing(self._server.lines("/chat/completions", request)) as lines:
                async for line in lines:
                    if not line.startswith("data:"):
                        continue
                    data = line.removeprefix("data:").strip()
                    if data == _DONE:
                        ended = ended or "stop"
                        break
                    part = self._server.parsed(data)
                    progress = part.get("prompt_progress") or progress
                    if part.get("usage"):
                        self._tell(part)
                        told = True
                    if text := str(_message(part, "delta").get("content") or ""):
                        written += 1
                        last.append(text)
                        yield text
                        if repetition.heard(text):
                            raise repeated()
                    for choice in part.get("choices") or ():
                        ended = str(choice.get("finish_reason") or ended)
        finally:
            if written and not told:  # whoever leaves before the end hears no sums, but it was worked
                self._told(Usage(int(progress.get("total") or 0), progress.get("cache"), written))
        if not ended:
            raise self._server.broke_off(last)
        if ended == "length":
            raise cut_short()

    async def _request(self, system: str, user: str, thread: str) -> dict[str, Any]:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        slots = await self._slots_of_server()
        if slots.models and self.name not in slots.models:
            raise Refusal(
                f"{self._server.what} at {self.host} has no model {self.name}, but {slots.models[0]}: "
                "set CASEWIRE_LANGUAGE_MODEL to that"
            )
        self.num_ctx = min(self.num_ctx, slots.num_ctx or self.num_ctx)
        request = {"model": self.name, "messages": messages, "temperature": 0, "seed": 0}
        if slots.count:
            request |= {"id_slot": crc32(thread.encode()) % slots.count, "cache_prompt": True}
            request |= {"return_progress": True}  # of a long prompt, before anything is written
        return request

    async def _slots_of_server(self) -> Slots:
        """Those of a llama.cpp server; none of any other, which would refuse to be told of slots."""
        if self._slots is None:
            props = await self._server.facts(f"{self._server.address.removesuffix('/v1')}/props")
            if props is None:
                return Slots()  # asked again next time
            listed: dict[str, Any] | None = {}
            if props.get("total_slots"):
                listed = await self._server.facts(f"{self._server.address}/models")
            self._slots = slots_in(props, listed or {})
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
