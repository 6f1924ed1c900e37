"""Vectors of short texts, such as questions, are computed once: kept by embedder and content.

First in this process, then in Redis, a case at a time. What Redis forgets with a case's evidence, a
process forgets within `MEMORY_S`; nothing leads from a vector there back to its text or its case.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from handlers.embedder import Embedder

MEMORY_S = 600.0
IN_MEMORY = 4096
"""Vectors: six megabytes of 384 numbers each."""

Count = Callable[[str, int], None]
"""Hears where how many vectors came from: `memory`, `redis`, or `made`."""


class Kept(Protocol):
    """A cache beside the process; see `storage.case_cache.CaseCache`."""

    async def get(self, case: str, keys: Sequence[str]) -> list[bytes | None]: ...

    async def put(self, case: str, values: dict[str, bytes]) -> None: ...


class EmbeddingCache:
    """An embedder that is not asked again for what it has embedded; of one event loop."""

    def __init__(
        self, embedder: Embedder, kept: Kept, *, count: Count = lambda where, how_many: None
    ) -> None:
        self._embedder, self._kept, self._count = embedder, kept, count
        self._memory: OrderedDict[tuple[str, str], tuple[float, NDArray[np.float32]]] = OrderedDict()

    async def encode(self, case: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector a text, in their order, as `Embedder.encode` gives them.

        Raises:
            Temporary, Permanent: As the embedder.
        """
        keys = [self._key(text) for text in texts]
        wanted = dict(zip(keys, texts, strict=True))
        found = {key: vector for key in wanted if (vector := self._remembered(case, key)) is not None}
        self._count("memory", len(found))
        missing = [key for key in wanted if key not in found]
        for key, value in zip(missing, await self._kept.get(case, missing), strict=True):
            if value is not None and len(value) == 4 * self._embedder.dimensions:
                found[key] = self._remember(case, key, np.frombuffer(value, dtype=np.float32))
        unknown = [key for key in missing if key not in found]
        self._count("redis", len(missing) - len(unknown))
        if unknown:
            made = await asyncio.to_thread(self._embedder.encode, [wanted[key] for key in unknown])
            self._count("made", len(unknown))
            for key, vector in zip(unknown, made, strict=True):
                found[key] = self._remember(case, key, vector)
            await self._kept.put(
                case, {key: found[key].astype(np.float32, copy=False).tobytes() for key in unknown}
            )
        if not keys:
            return np.zeros((0, self._embedder.dimensions), dtype=np.float32)
        return np.stack([found[key] for key in keys])

    def _key(self, text: str) -> str:
        return sha256(f"{self._embedder.name}\0{text}".encode()).hexdigest()

    def _remembered(self, case: str, key: str) -> NDArray[np.float32] | None:
        kept = self._memory.get((case, key))
        if kept is None:
            return None
        at, vector = kept
        if time.monotonic() - at > MEMORY_S:
            del self._memory[case, key]
            return None
        self._memory.move_to_end((case, key))
        return vector

    def _remember(self, case: str, key: str, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        self._memory[case, key] = (time.monotonic(), vector)
        while len(self._memory) > IN_MEMORY:
            self._memory.popitem(last=False)
        return vector
