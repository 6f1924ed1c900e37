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


def batch_items(required_bytes: Callable[[int], int], leased_bytes: int, most: int) -> int:
    """The largest number of items, `most` at most, that fits into a lease.

    Args:
        required_bytes: Tells what a batch of so many items takes; more items take no less.

    Raises:
        ValueError: Not even one item fits, or `most` is below one.
    """
    if most < 1:
        raise ValueError(f"A batch has at least one item, got {most}.")
    if required_bytes(1) > leased_bytes:
        raise ValueError(f"One item takes {required_bytes(1):,} bytes, there are {leased_bytes:,}.")
    fits, beyond = 1, most + 1
    while beyond - fits > 1:
        middle = (fits + beyond) // 2
        fits, beyond = (middle, beyond) if required_bytes(middle) <= leased_bytes else (fits, middle)
    return fits


def in_batches(
    work: Callable[[Sequence[T]], R],
    items: Sequence[T],
    *,
    required_bytes: Callable[[int], int],
    leased_bytes: int,
    on_halved: Callable[[Halved], None],
) -> Iterator[R]:
    """Yield `work(batch)` over `items` in order, each batch a slice that the lease holds.

    A batch for which memory runs out is tried again in halves, and later ones are no larger.

    Args:
        work: Leaves nothing behind when it raises MemoryError (CuPy's is one), since it is called again.
        required_bytes: As in `batch_items`.
        leased_bytes: As `Lease.required_bytes`.
        on_halved: Told each time before the next try.

    Raises:
        ValueError: As `batch_items`.
        MemoryError: Memory ran out for one item alone.
    """
    size = batch_items(required_bytes, leased_bytes, len(items)) if len(items) else 0
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
