"""Vectors that need not fit in memory come as chunks, again in every pass, whatever the size of a chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import TypeAlias

from gpu.arrays import Array, array_namespace

Chunks: TypeAlias = Array | Callable[[], Iterable[Array]]
"""An array of shape (n, d), or what gives the same chunks of shape (m, d) on every call."""

ROUND_ROWS = 12_288
"""Rows handed out together; the last round has what is left."""


def rounds(source: Chunks) -> Iterator[Array]:
    """Yield the rows of `source`, an array whole, chunks cut and joined to `ROUND_ROWS`.

    Raises:
        TypeError: A dtype other than float32 and float16, or not an array.
        ValueError: A shape other than (m, d), or chunks of different d.
    """
    if not callable(source):
        yield checked(source)
        return
    held: list[Array] = []
    count = 0
    for chunk in source():
        chunk = checked(chunk)
        if held and chunk.shape[1] != held[0].shape[1]:
            raise ValueError(f"Chunks of {held[0].shape[1]} and of {chunk.shape[1]} dimensions.")
        while len(chunk):
            held.append(chunk[: ROUND_ROWS - count])
            count += len(held[-1])
            chunk = chunk[len(held[-1]) :]
            if count == ROUND_ROWS:
                yield _joined(held)
                held, count = [], 0
    if held:
        yield _joined(held)


def checked(chunk: Array) -> Array:
    """The chunk itself, if it is one.

    Raises:
        TypeError: A dtype other than float32 and float16, or not an array.
        ValueError: A shape other than (m, d).
    """
    array_namespace(chunk)
    if chunk.dtype.name not in ("float32", "float16"):
        raise TypeError(f"Vectors must be float32 or float16, not {chunk.dtype}.")
    if chunk.ndim != 2:
        raise ValueError(f"Expected vectors of shape (n, d), got {chunk.shape}.")
    return chunk


def _joined(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else array_namespace(*parts).concatenate(parts)


def extent(source: Chunks) -> tuple[ModuleType, int, int]:
    """The array library, the number of rows and their dimensions, by one pass over chunks.

    Raises:
        ValueError: There are no rows, or they have no dimensions.
    """
    count = 0
    found: Array = None
    for found in rounds(source):
        count += len(found)
    if count == 0:
        raise ValueError("There are no vectors.")
    if found.shape[1] == 0:
        raise ValueError("Vectors have at least one dimension.")
    return array_namespace(found), count, found.shape[1]


def rows_at(source: Chunks, places: Array) -> Array:
    """The rows at rising `places` (NumPy), as float32."""
    found, before = [], 0
    xp = None
    for part in rounds(source):
        xp = array_namespace(part)
        here = places[(places >= before) & (places < before + len(part))] - before
        found.append(part[xp.asarray(here)].astype(xp.float32))
        before += len(part)
    assert xp is not None
    return xp.concatenate(found)
