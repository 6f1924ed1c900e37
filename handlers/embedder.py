"""What turns texts into vectors: which model it is, how long its vectors are, what it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray


class Embedder(Protocol):
    """Texts in, unit vectors of shape (texts, `dimensions`) out, float32.

    Vectors of one name and length can be compared with one another, and with no others.

    Attributes:
        name: Of the model.
        dimensions: Length of its vectors.
        device: Whose memory it takes.
        host: Where the texts go, as `name:port`; "" for nowhere.
    """

    name: str
    dimensions: int
    device: Literal["cpu", "cuda"]
    host: str

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector a text, in their order; blocks, and may be called from any thread.

        Equal texts have equal vectors, whatever stands beside them, to about 1e-5. A text that is too
        long for the model is represented by its beginning.

        Raises:
            Temporary, Permanent: A model's server does not answer, or refuses.
        """

    def required_bytes(self, texts: int) -> int:
        """Memory that encoding so many texts at once takes at most, the weights not counted."""
