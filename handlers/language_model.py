"""What a language model does for the rest: it writes to one request at a time, freely or by a schema."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from handlers.job import Permanent


@dataclass(frozen=True)
class Usage:
    """Tokens of one request, as far as the server tells.

    Attributes:
        prompt: Tokens of the whole prompt.
        cached: Those of them that the server had evaluated before; None where it does not tell.
        written: Tokens of the answer.
    """

    prompt: int
    cached: int | None
    written: int


Told = Callable[[Usage], None]
"""Hears what each request took."""


class ContextExceeded(Permanent):
    """The prompt has more tokens than the server lets the model read; a shorter one may be taken."""


class Unfinished(Permanent):
    """The answer did not come to its end, and would not if it was asked for again; what came stands."""


class RepeatsItself(Unfinished):
    """The model wrote the same again and again until it was stopped."""


class CutShort(Unfinished):
    """The model's context was full, or it had written as much as it may."""


class LanguageModel(Protocol):
    """A model that is asked one question at a time, and answers the same alike.

    Requests of one `thread` begin alike; a server that keeps evaluated prompts in slots keeps a
    thread in one slot.

    Attributes:
        name: As shown beside what it wrote.
        num_ctx: Tokens that it reads and writes at once.
        host: Where the text goes, as `name:port`.
    """

    name: str
    num_ctx: int
    host: str

    def stream(self, system: str, user: str, *, thread: str = "") -> AsyncGenerator[str, None]:
        """The answer in pieces, in order; none is empty.

        Raises:
            Temporary: The server does not answer, or broke off.
            ContextExceeded: The prompt is too long; nothing was cut silently where the server can be told.
            RepeatsItself: The model was stopped, by its server or here.
            CutShort: There was no room for the rest of the answer, as far as the server tells.
            Permanent: The server refuses, such as for a model that it does not have.
        """

    async def complete(
        self, system: str, user: str, *, schema: Mapping[str, Any], most_tokens: int, thread: str = ""
    ) -> str:
        """The whole answer, which the server was told to write by a JSON schema.

        Servers differ in what of a schema they enforce, and an answer of `most_tokens` tokens ends
        anywhere: whoever asks validates it. It comes in pieces, so that a slow server is not a silent one.

        Raises:
            Temporary, Permanent: As `stream`, but for `CutShort`.
        """

    async def warm(self, system: str, user: str, *, thread: str = "") -> None:
        """Have a prompt evaluated that later ones begin with, and the model loaded.

        Raises:
            Temporary, Permanent: As `stream`.
        """
