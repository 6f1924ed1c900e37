"""Memory of a device is lent before it is taken, so that the processes of a machine do not overfill it."""

from __future__ import annotations

import asyncio
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal

from gpu.memory.cuda import cuda_memory, device_key, free_cached_blocks
from gpu.memory.device import cuda_problem, main_memory
from gpu.memory.tickets import Board, Held, Ticket

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.001, 0.05
"""Between two looks of one who waits."""

RESERVE_SHARE = 20
"""One part in so many of the device is never lent, unless the caller says otherwise."""


class NeverFits(ValueError):
    """More was asked for than the device could ever lend.

    Attributes:
        required_bytes: What was asked for.
        lendable_bytes: All the memory of the device but the reserve.
    """

    def __init__(self, device: str, required_bytes: int, lendable_bytes: int) -> None:
        super().__init__(
            f"{required_bytes:,} bytes can never be lent: {device} lends {lendable_bytes:,} bytes in all."
        )
        self.required_bytes = required_bytes
        self.lendable_bytes = lendable_bytes


class DeadlinePassed(TimeoutError):
    """The memory did not become free in time.

    Attributes:
        required_bytes: What was asked for.
        lendable_bytes: What could be lent at the last look, what others had been lent taken off; None
            where others looked all the time, so that there was none.
    """

    def __init__(self, device: str, required_bytes: int, last_look: tuple[int, int] | None) -> None:
        told = "others were looking at the leases all the time; allow more of it."
        if last_look:
            lendable, first = last_look
            told = f"at the last look {max(0, lendable):,} could be lent, and {first} requests came first."
        super().__init__(f"{required_bytes:,} bytes of {device} were not free in time: {told}")
        self.required_bytes = required_bytes
        self.lendable_bytes = last_look[0] if last_look else None


class Leases:
    """Lends the memory of one device to all processes of this user that name the same folder.

    A request is admitted when it fits into

        free memory, as measured now - reserve - all that is lent,

    and nobody who waits has a larger priority, or the same and came earlier. How much of its lease a
    holder has taken by now cannot be seen, so what it has taken counts twice, as taken and as lent.
    That errs on the safe side: as long as holders take no more than they were lent, what they take
    fits, whatever else runs on the device. The price is memory that lies idle while leases are held;
    so a lease is for the memory of a piece of work, and whoever keeps arrays for long returns the
    lease when they are made: from then on they are part of the measurement.

    Those who wait do so in order, the small ones behind a large one too: it would starve otherwise.
    A holder should not ask for a second lease: two such would wait for one another.

    Args:
        device: What the device is called in messages and in the folder.
        memory: Gives its free and total bytes, as this process may take them.
        folder: Where leases are noted; None: a folder of this user's own under the temp folder.
        reserve_bytes: Never lent; None: a twentieth of the device.
        give_back: Called when a lease ends, to return to the device what the process kept for reuse.

    Raises:
        LeaseFault: The folder is a link, another user's, or can be written by others.
        ValueError: `reserve_bytes` is negative or `device` is not usable as a file's name.
    """

    def __init__(
        self,
        device: str,
        memory: Callable[[], tuple[int, int]],
        *,
        folder: Path | None = None,
        reserve_bytes: int | None = None,
        give_back: Callable[[], None] = lambda: None,
    ) -> None:
        if not device or "/" in device or device.startswith("."):
            raise ValueError(f"A device cannot be called {device!r}.")
        if reserve_bytes is not None and reserve_bytes < 0:
            raise ValueError(f"A reserve cannot be negative, got {reserve_bytes}.")
        self.device = device
        self._memory = memory
        self._give_back = give_back
        self._reserve_bytes = reserve_bytes
        self._board = Board((folder or default_folder()) / device)

    def lease(self, required_bytes: int, *, priority: int = 0, deadline_s: float = math.inf) -> Lease:
        """A lease to be had with `with` or `async with`; nothing is asked for before that.

        Args:
            priority: Larger ones are served first.
            deadline_s: Seconds that the request may wait; 0: now or never.

        Raises:
            ValueError: `required_bytes` or `deadline_s` is negative or not a number.
        """
        return Lease(self, required_bytes, priority, deadline_s)

    def most_bytes(self) -> int:
        """The most that a request can ever be lent: all the device has but the reserve."""
        total = self._memory()[1]
        return total - self._reserve(total)

    def lendable_bytes(self) -> int:
        """What a request that came now and alone could be lent; may be negative."""
        while True:
            with self._board.alone() as alone:
                if alone:
                    return self._lendable(
                        sum(t.required_bytes for t in self._board.living().values() if t.granted)
                    )

    def _lendable(self, lent_bytes: int) -> int:
        free, total = self._memory()
        return free - self._reserve(total) - lent_bytes

    def _reserve(self, total: int) -> int:
        return total // RESERVE_SHARE if self._reserve_bytes is None else self._reserve_bytes


class Lease:
    """Memory of a device, `required_bytes` of it, this block's while the block runs.

    Entering waits; it raises `NeverFits` at once, `DeadlinePassed` after the deadline, and `LeaseFault`
    where the folder cannot be relied on. The lease ends with the block, and with its process at the
    latest, however that ends. Cancelling `async with` while it waits leaves nothing behind.
    """

    def __init__(self, leases: Leases, required_bytes: int, priority: int, deadline_s: float) -> None:
        if required_bytes < 0:
            raise ValueError(f"Bytes cannot be negative, got {required_bytes}.")
        if not deadline_s >= 0:
            raise ValueError(f"A deadline must be a number of seconds from 0, got {deadline_s}.")
        self.required_bytes = int(required_bytes)
        self._leases = leases
        self._priority = int(priority)
        self._deadline_s = float(deadline_s)
        self._until = math.inf
        self._held: Held | None = None
        self._begun = self._ended = False
        self._turn = threading.Lock()  # a cancelled task's last look may still be on, in its thread
        self._last_look: tuple[int, int] | None = None

    def __enter__(self) -> Lease:
        self._begin()
        try:
            for pause_s in self._pauses():
                if self._look():
                    return self
                time.sleep(pause_s)
        except BaseException:
            self._end()
            raise
        raise AssertionError("Pauses end with an error.")

    async def __aenter__(self) -> Lease:
        self._begin()
        try:
            for pause_s in self._pauses():
                if await asyncio.to_thread(self._look):
                    return self
                await asyncio.sleep(pause_s)
        except BaseException:
            self._end()
            raise
        raise AssertionError("Pauses end with an error.")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._leases._give_back()
        finally:
            self._end()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _begin(self) -> None:
        with self._turn:
            if self._begun:
                raise RuntimeError("A lease serves one block; ask for another one.")
            self._begun = True

    def _pauses(self) -> Iterator[float]:
        """Seconds to wait before each further look, until the deadline.

        Raises:
            DeadlinePassed, NeverFits.
        """
        leases = self._leases
        most = leases.most_bytes()
        if self.required_bytes > most:
            raise NeverFits(leases.device, self.required_bytes, most)
        self._until = time.monotonic() + self._deadline_s
        pause_s = _FIRST_PAUSE_S
        while True:
            left_s = self._until - time.monotonic()
            yield min(pause_s, max(0.0, left_s))
            if left_s <= 0:
                raise DeadlinePassed(leases.device, self.required_bytes, self._last_look)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _look(self) -> bool:
        """Whether the lease is had, which it is as soon as it is this request's turn and it fits."""
        board = self._leases._board
        with self._turn, board.alone() as alone:
            if self._ended or not alone:
                return False
            living = board.living()
            if self._held is not None and living.get(self._held.path) != self._held.ticket:
                self._held.drop()  # somebody removed the file, so nobody else would see what is granted
                self._held = None
            if self._held is None:
                self._held = board.post(self.required_bytes, self._priority, self._until, living)
            own, now = self._held.ticket, time.monotonic()
            # One that is stopped cannot take itself out of the way when its time is over.
            first = sum(
                ticket.order < own.order
                for ticket in living.values()
                if not ticket.granted and ticket.until >= now
            )
            lendable = self._leases._lendable(_lent(living.values()))
            self._last_look = lendable, first
            if first or self.required_bytes > lendable:
                return False
            self._held.grant()
            return True

    def _end(self) -> None:
        with self._turn:
            self._ended = True
            if self._held is not None:
                self._held.drop()


def _lent(tickets: Iterable[Ticket]) -> int:
    return sum(ticket.required_bytes for ticket in tickets if ticket.granted)


def default_folder() -> Path:
    """Where this user's processes note their leases unless told otherwise."""
    return Path(tempfile.gettempdir()) / f"casewire-leases-{os.getuid()}"


def device_leases(
    kind: Literal["cpu", "cuda"] | None = None,
    *,
    folder: Path | None = None,
    reserve_bytes: int | None = None,
) -> Leases:
    """The leases of the machine's main memory or of CuPy's current GPU; see `Leases`.

    Args:
        kind: None: the GPU where one is usable.

    Raises:
        RuntimeError: `cuda` was asked for and no GPU is usable.
        LeaseFault: As `Leases`.
    """
    problem = cuda_problem() if kind != "cpu" else "not asked for"
    if kind == "cuda" and problem:
        raise RuntimeError(f"No GPU is usable: {problem}.")
    if problem:
        return Leases("cpu", main_memory, folder=folder, reserve_bytes=reserve_bytes)
    return Leases(
        device_key(),
        lambda: cuda_memory()[:2],
        folder=folder,
        reserve_bytes=reserve_bytes,
        give_back=free_cached_blocks,
    )
