"""Independent parts of one call run side by side on threads that wait without spinning.

A part must be long (a millisecond or more) and need nothing of the others: parts are handed out and
collected, there is no barrier inside. A compiled kernel gives up the interpreter lock while it runs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numba

T = TypeVar("T")
R = TypeVar("R")

_lock = threading.Lock()
_limit: int | None = None
_pools: dict[int, ThreadPoolExecutor] = {}
"""The one in use, by its size."""


def _forget_pool() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have had it
    _pools.clear()  # its threads are the parent's


os.register_at_fork(after_in_child=_forget_pool)


def threads() -> int:
    """How many threads a call may use: what `limit_threads` said, else as many as numba would."""
    return _limit or int(numba.config.NUMBA_NUM_THREADS)


def limit_threads(limit: int | None) -> None:
    """Let every later call in this process use at most `limit` threads; None: as many as before.

    Raises:
        ValueError: `limit` is below one.
    """
    global _limit
    if limit is not None and limit < 1:
        raise ValueError(f"At least one thread is needed, got {limit}.")
    _limit = limit


def side_by_side(work: Callable[[T], R], parts: Sequence[T]) -> list[R]:
    """Return `work(part)` of each part, in their order, the calling thread taking its share.

    Results must not depend on how many threads there are, so neither may the parts.

    Raises:
        Exception: What a part raised, after all parts that had begun have ended.
    """
    most = threads()  # another thread may change it at any time
    if most == 1 or len(parts) < 2:
        return [work(part) for part in parts]
    pool = _pool(most - 1)
    waiting = list(enumerate(parts))[::-1]
    found: dict[int, R] = {}

    def take() -> None:
        while True:
            try:
                place, part = waiting.pop()
            except IndexError:
                return
            try:
                found[place] = work(part)
            except BaseException:
                waiting.clear()
                raise

    helpers = [pool.submit(take) for _ in range(min(most, len(parts)) - 1)]
    try:
        take()
    finally:
        # One that no thread has taken up has nothing left to do, since the caller took all parts.
        ended = [helper for helper in helpers if not helper.cancel()]
        errors = [error for helper in ended if (error := helper.exception())]
    if errors:
        raise errors[0]
    return [found[place] for place in range(len(parts))]


def _pool(size: int) -> ThreadPoolExecutor:
    with _lock:
        kept = _pools.get(size)
        if kept is None:
            kept = ThreadPoolExecutor(size, thread_name_prefix="kernel")
            _pools.clear()  # threads of another size
            _pools[size] = kept
        return kept
