"""What a llama.cpp server must evaluate of two conversations that take turns, with slots pinned and without.

Unpinned the server itself chooses: the slot that begins most like the prompt, if it is like it enough, else
the one that was used longest ago. Every prompt of a case begins with the same rules and title.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any
from zlib import crc32

from handlers.language_model import Usage
from handlers.language_model_openai import OpenAIModel

Prompts = Sequence[tuple[str, str]]


class Unpinned(OpenAIModel):
    """Leaves the choice of the slot to the server."""

    async def _request(self, system: str, user: str, thread: str) -> dict[str, Any]:
        request = await super()._request(system, user, thread)
        request.pop("id_slot", None)
        return request


def threads(slots: int, begin: str) -> tuple[str, str]:
    """Two names of conversations that are given different slots."""
    first = f"{begin} 0"
    for number in count(1):
        other = f"{begin} {number}"
        if crc32(other.encode()) % slots != crc32(first.encode()) % slots:
            return first, other
    raise AssertionError


async def in_turns(
    prompts: Prompts, rivals: Prompts, writer: OpenAIModel, usages: list[Usage], names: tuple[str, str]
) -> tuple[int, int]:
    """Tokens of the first conversation's prompts, and how many of them the server evaluated.

    Raises:
        ValueError: The server does not tell what it had evaluated before.
    """
    whole = evaluated = 0
    for (system, user), (rival_system, rival_user) in zip(prompts, rivals, strict=True):
        usages.clear()
        await writer.warm(system or "Answer.", user, thread=names[0])
        if usages[0].cached is None:
            raise ValueError("the server does not tell what came from its cache")
        whole += usages[0].prompt
        evaluated += usages[0].prompt - usages[0].cached
        await writer.warm(rival_system or "Answer.", rival_user, thread=names[1])
    return whole, evaluated
