"""Work runs in batches as large as the memory lent for it, and in smaller ones where that was too large."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gpu.memory.cuda import free_cached_blocks
from gpu.memory.device import cuda_problem

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Halved:
    """A batch that did not fit, for the log.

    Attributes:
        items: How many it had.
        next_items: How many later ones have at most.
        problem: What the device said.
    """

    items: int
    next_items: int
    problem: str


def batch_items(bytes_each: int, leased_bytes: int) -> int:
    """How many items fit into a lease.

    Raises:
        ValueError: Not even one does, or `bytes_each` is below one.
    """
    if bytes_each < 1:
        raise ValueError(f"An item takes at least one byte, got {bytes_each}.")
    if leased_bytes < bytes_each:
        raise ValueError(f"An item takes {bytes_each:,} bytes, the lease has {leased_bytes:,}.")
    return leased_bytes // bytes_each


def in_batches(
    work: Callable[[Sequence[T]], R],
    items: Sequence[T],
    *,
    bytes_each: int,
    leased_bytes: int,
    on_halved: Callable[[Halved], None],
) -> Iterator[R]:
    """Yield `work(batch)` over `items` in order, each batch a slice that the lease holds.

    A batch for which memory runs out is tried again in halves, and later ones are no larger.

    Args:
        work: Leaves nothing behind when it raises MemoryError (CuPy's is one), since it is called again.
        bytes_each: Most that one item takes.
        leased_bytes: As `Lease.required_bytes`.
        on_halved: Told each time before the next try.

    Raises:
        ValueError: As `batch_items`.
        MemoryError: Memory ran out for one item alone.
    """
    size = batch_items(bytes_each, leased_bytes)
    return _run(work, items, size, on_halved)


def _run(
    work: Callable[[Sequence[T]], R], items: Sequence[T], size: int, on_halved: Callable[[Halved], None]
) -> Iterator[R]:
    done = 0
    while done < len(items):
        batch = items[done : done + size]
        found: list[R] = []
        problem = ""
        try:
            found.append(work(batch))
        except MemoryError as error:
            if len(batch) == 1:
                raise MemoryError(f"Memory ran out for one item alone: {error}") from error
            problem = str(error)
        # Outside the handler, since the error keeps the arrays of the failed call alive.
        if not found:
            size = len(batch) // 2
            on_halved(Halved(len(batch), size, problem))
            if not cuda_problem():
                free_cached_blocks()
            continue
        yield found.pop()
        done += len(batch)
