"""A server of models is asked by HTTP, and whatever goes wrong there becomes a sentence.

It answers with JSON, at once or line by line. A status from 500 on, 408 and 429 may pass; any other
refusal is final. The message is the server's own, in Ollama's form (`{"error": "…"}`) or OpenAI's
(`{"error": {"message": "…", "param": "…"}}`).
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import orjson

from handlers.certificates import trusted
from handlers.job import JobError, Permanent, Temporary
from handlers.language_model import ContextExceeded, CutShort, RepeatsItself

SILENT_S = 120.0
"""How long a server may be silent, while it loads the model for example."""

CONNECT_S = 10.0
_PASSING = frozenset({408, 429})
_TOLD_CHARS = 300

REPEATED = 30
"""Equal pieces after which Ollama stops a model, and ends its answer as if the connection had ended."""

_TOO_LONG = re.compile(r"context[ _](?:length|size|window)", re.IGNORECASE)
"""In the refusals of Ollama, llama.cpp's server, vLLM and OpenAI."""


class Refusal(Permanent):
    """The server refuses what was asked.

    Attributes:
        param: The field of the request that it does not take, where it names one.
    """

    def __init__(self, reason: str, param: str = "") -> None:
        super().__init__(reason)
        self.param = param


def repeated() -> RepeatsItself:
    """The error of a model that writes the same again and again."""
    return RepeatsItself(
        "the language model wrote the same again and again and was stopped: ask in other words, "
        "or set CASEWIRE_LANGUAGE_MODEL to another model"
    )


def cut_short() -> CutShort:
    """The error of an answer that the server ended for want of room."""
    return CutShort(
        "the language model had no room for the rest of its answer: give it a larger context by its server's "
        "settings and CASEWIRE_NUM_CTX, or ask for less"
    )


class ModelServer:
    """One server, asked with JSON.

    Args:
        what: What it is called in sentences, such as `the language model server`.
        address: Up to the path that all requests share, without a slash at its end.
        key: Sent as a bearer token; "" for none.
        silent_s: How long it may be silent.
    """

    def __init__(self, what: str, address: str, *, key: str = "", silent_s: float = SILENT_S) -> None:
        self.what, self.address = what, address
        self._options: dict[str, Any] = {
            "timeout": httpx.Timeout(silent_s, connect=CONNECT_S),
            "headers": {"Authorization": f"Bearer {key}"} if key else {},
            # A client of its own for each request would read all certificates again.
            "verify": trusted(),
        }

    async def ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The whole answer to one request.

        Raises:
            Refusal, Temporary: As the module says.
        """
        with self._told():
            async with httpx.AsyncClient(**self._options) as client:
                answer = await client.post(self.address + path, json=dict(body))
        return self._read(answer.status_code, answer.content)

    def ask_blocking(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """As `ask`, for a thread of its own."""
        with self._told(), httpx.Client(**self._options) as client:
            answer = client.post(self.address + path, json=dict(body))
        return self._read(answer.status_code, answer.content)

    async def facts(self, url: str) -> dict[str, Any] | None:
        """The JSON object at another address of the server; {}: there is none; None: it cannot tell now."""
        options = self._options | {"timeout": CONNECT_S}
        try:
            async with httpx.AsyncClient(**options) as client:
                answer = await client.get(url)
        except httpx.HTTPError:
            return None  # the request itself is about to tell what is wrong
        if answer.status_code >= 500 or answer.status_code in _PASSING:
            return None
        try:
            value = orjson.loads(answer.content) if answer.status_code == 200 else None
        except orjson.JSONDecodeError:
            value = None
        return value if isinstance(value, dict) else {}

    async def lines(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[str, None]:
        """The lines of an answer as they come, empty ones left out.

        Raises:
            Refusal, Temporary: As the module says; also in the middle.
        """
        with self._told():
            async with (
                httpx.AsyncClient(**self._options) as client,
                client.stream("POST", self.address + path, json=dict(body)) as answer,
            ):
                if answer.status_code != 200:
                    self._read(answer.status_code, await answer.aread())
                async for line in answer.aiter_lines():
                    if line.strip():
                        yield line

    def parsed(self, text: str | bytes) -> dict[str, Any]:
        """A JSON object that the server has sent.

        Raises:
            Temporary: It is none, or tells an error that the server met on its way.
        """
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise Temporary(f"{self.what} at {self.address} answered what is no JSON") from error
        if not isinstance(value, dict):
            raise Temporary(f"{self.what} at {self.address} answered no JSON object")
        if "error" in value:
            raise Temporary(f"{self.what} broke off: {_message(value)[0]}")
        return value

    def broke_off(self, last: Collection[str] = ()) -> JobError:
        """The error of an answer that ended before its end, given its `last` pieces, `REPEATED` at most."""
        if len(last) == REPEATED and len({piece.strip() for piece in last}) == 1:
            return repeated()
        return Temporary(f"{self.what} at {self.address} broke off in the middle of its answer")

    def _read(self, status: int, content: bytes) -> dict[str, Any]:
        if status == 200:
            return self.parsed(content)
        try:
            value = orjson.loads(content)
        except orjson.JSONDecodeError:
            value = None
        message, param = _message(value)
        reason = f"{self.what} answered {status}: {message}"
        if status >= 500 or status in _PASSING:
            raise Temporary(reason)
        if _TOO_LONG.search(message):
            raise ContextExceeded(reason)
        raise Refusal(reason, param)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, ConnectionError) as error:
            raise Temporary(
                f"{self.what} at {self.address} does not answer ({type(error).__name__})"
            ) from error


def _message(value: object) -> tuple[str, str]:
    """What an error says, and the field that it is about ("" for none)."""
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, dict):
        return str(error.get("message") or "no reason given")[:_TOLD_CHARS], str(error.get("param") or "")
    return str(error or "no reason given")[:_TOLD_CHARS], ""
