"""Memory that a kernel writes before it reads is kept for the next call of the same thread.

Fresh memory costs a page fault every four kilobytes, which at a hundred thousand nodes is more than
a sweep over the links.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from gpu.arrays import Floats

KEPT_BYTES = 1 << 24
"""Larger buffers are not kept: every thread that ever called has one."""

_of_thread = threading.local()


def scratch(shape: tuple[int, ...], dtype: type[np.floating[Any]]) -> Floats:
    """Return an array of whatever was there before; the next call in this thread may give it away again."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    kept: Any = getattr(_of_thread, "buffer", None)
    if kept is None or len(kept) < size:
        kept = np.empty(size, np.uint8)
        if size <= KEPT_BYTES:
            _of_thread.buffer = kept
    found: Floats = kept[:size].view(dtype).reshape(shape)
    return found
