"""A language model served by Ollama."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
from ollama import AsyncClient, ResponseError

from handlers.job import Permanent, Temporary

SILENT_S = 120.0
"""How long the server may be silent, while it loads the model for example."""


class OllamaModel:
    """`handlers.language_model.LanguageModel` over Ollama's HTTP interface.

    Args:
        host: Address of the server, such as `http://127.0.0.1:11434`.
        name: Of the model, such as `gemma3`.
        num_ctx: Tokens of its context; always sent, as the server's own default cuts silently.
    """

    def __init__(self, host: str, name: str, *, num_ctx: int) -> None:
        self.name = name
        self.num_ctx = num_ctx
        self._host = host
        self._client = AsyncClient(host=host, timeout=httpx.Timeout(SILENT_S, connect=10.0))

    async def stream(self, system: str, user: str) -> AsyncGenerator[str, None]:
        """See `LanguageModel.stream`; temperature 0 and a fixed seed."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        options = {"num_ctx": self.num_ctx, "temperature": 0, "seed": 0}
        try:
            async for part in await self._client.chat(
                self.name, messages=messages, stream=True, options=options
            ):
                if part.message.content:
                    yield part.message.content
        except ResponseError as error:
            reason = f"the language model server answered {error.status_code}: {error.error}"
            raise (Temporary if error.status_code >= 500 else Permanent)(reason) from error
        except (httpx.HTTPError, ConnectionError) as error:
            raise Temporary(
                f"the language model server at {self._host} does not answer ({type(error).__name__})"
            ) from error
