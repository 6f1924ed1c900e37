"""What the rest needs of the place where chunk vectors live, and what that place promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
"""Of length 1, with as many numbers as the embedder of the data gives: 384 by default."""


@dataclass(frozen=True)
class Near:
    """Two chunks of one case and the cosine of their vectors; `source` < `target`."""

    source: int
    target: int
    cosine: float


class Vectors(Protocol):
    """Vectors of chunks, searched within one case; stored in half precision at least."""

    async def put(self, case: str, vectors: Mapping[int, Vector]) -> None:
        """Store vectors by chunk id, in place of those there; chunks that are gone are left out."""

    async def missing(self, evidence: int) -> list[int]:
        """Chunks of the evidence that have no vector, in the order of the text."""

    async def nearest(self, case: str, vector: Vector, limit: int) -> list[tuple[int, float]]:
        """The chunks of the case whose vectors are nearest, with their cosines; best first, ties by id.

        Exact in a case of few chunks; in a larger one at least 95 of 100 are the right ones.
        """

    async def neighbours(self, case: str, chunks: Sequence[int], limit: int, floor: float) -> list[Near]:
        """For each of the chunks its `limit` nearest others in the case of at least cosine `floor`.

        A pair appears once. Chunks without a vector have no neighbours and are nobody's.
        """
