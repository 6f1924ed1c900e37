"""PyMuPDF without its layout model, which nothing here asks for.

Left to itself, every process that imports it also loads onnxruntime, NumPy and the model: 1.1 s of
processor time, 136 MiB and five threads more, instead of 0.1 s and 49 MiB. Hence all import it from here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

LEFT_OUT = ("pymupdf.layout", "pymupdf4llm")


@contextmanager
def _left_out(*names: str) -> Iterator[None]:
    """Let imports of modules fail, unless they are loaded, as if they were not installed."""
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


with _left_out(*LEFT_OUT):
    import pymupdf

__all__ = ["pymupdf"]
