"""What an answer needs of a language model: text in, text out, piece by piece."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol


class LanguageModel(Protocol):
    """A model that is asked one question at a time.

    Attributes:
        name: As shown beside what it wrote.
        num_ctx: Tokens that it reads and writes at once.
    """

    name: str
    num_ctx: int

    def stream(self, system: str, user: str) -> AsyncGenerator[str, None]:
        """The answer in pieces, in order.

        Raises:
            Temporary: The server does not answer, or broke off.
            Permanent: The server refuses, such as for a model that it does not have.
        """
