"""Texts become vectors by an embedding model that Ollama serves."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from handlers.job import Permanent, Temporary
from handlers.language_model_ollama import KEEP_ALIVE, address_of
from handlers.model_server import ModelServer
from handlers.uncased import folded, is_uncased

AT_ONCE = 64
"""Texts of one request."""

_TEXT_BYTES = 16_384
"""A text and its numbers in JSON, here; the model's own memory is the server's."""


def dimensions_of(host: str, name: str) -> int:
    """How long the vectors of a model are, asked of its server; blocks.

    Raises:
        Temporary, Permanent: The server does not answer, or has no such embedding model.
    """
    return len(_embed(ModelServer("the embedding server", address_of(host)), name, ["length"])[0])


class OllamaEmbedder:
    """`handlers.embedder.Embedder` over Ollama's `/api/embed`.

    A model whose vocabulary has neither capitals nor accents gets texts without them (`handlers.uncased`).

    Args:
        host: Address of the server, such as `http://127.0.0.1:11434`.
        name: Of the model, such as `nomic-embed-text`.
        dimensions: As `dimensions_of` told when the data's first vector was made.
    """

    device: Literal["cpu", "cuda"] = "cpu"

    def __init__(self, host: str, name: str, dimensions: int) -> None:
        self.name = name
        self.dimensions = dimensions
        self._server = ModelServer("the embedding server", address_of(host))
        self.host = urlsplit(self._server.address).netloc
        self._uncased: bool | None = None
        self._asking = threading.Lock()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder.encode`.

        Raises:
            Permanent: Its vectors have another length than before: it is another model by that name.
        """
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        if self._is_uncased():
            texts = [folded(text) for text in texts]
        parts = [
            _embed(self._server, self.name, texts[i : i + AT_ONCE]) for i in range(0, len(texts), AT_ONCE)
        ]
        vectors = np.concatenate(parts)
        if vectors.shape[1] != self.dimensions:
            raise Permanent(
                f"{self.name} makes vectors of {vectors.shape[1]} numbers now, but the data holds vectors of "
                f"{self.dimensions}: bring the former model back, or run `casewire rebuild embeddings`"
            )
        return vectors

    def _is_uncased(self) -> bool:
        """Asked of the server once, before the first text; it tells some 30,000 pieces of words."""
        with self._asking:
            if self._uncased is None:
                told = self._server.ask_blocking("/api/show", {"model": self.name, "verbose": True})
                facts = told.get("model_info") or {}
                pieces = facts.get("tokenizer.ggml.tokens") or ()
                self._uncased = (
                    facts.get("tokenizer.ggml.model") == "bert" and bool(pieces) and is_uncased(pieces)
                )
            return self._uncased

    def required_bytes(self, texts: int) -> int:
        """See `Embedder.required_bytes`."""
        return texts * (_TEXT_BYTES + 32 * self.dimensions)


def _embed(server: ModelServer, name: str, texts: Sequence[str]) -> NDArray[np.float32]:
    # A text without a letter is refused by some models.
    asked = {"model": name, "input": [text if text.strip() else "." for text in texts]}
    answer = server.ask_blocking("/api/embed", asked | {"truncate": True, "keep_alive": KEEP_ALIVE})
    try:
        vectors = np.array(answer["embeddings"], dtype=np.float32)
    except (KeyError, TypeError, ValueError) as error:
        raise Temporary(f"the embedding server at {server.address} answered no vectors") from error
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise Temporary(
            f"the embedding server at {server.address} answered {len(vectors)} vectors for {len(texts)} texts"
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths == 0).any():
        raise Permanent(f"{name} makes vectors without a direction: is it an embedding model?")
    found: NDArray[np.float32] = vectors / lengths
    return found
