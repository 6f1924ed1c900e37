"""Requests for one device's memory lie in a folder as files, each locked by whoever asks or holds.

The kernel drops a lock when its owner dies, however it dies, so a file that can be locked belongs to
nobody. Whoever reads or changes the folder locks the folder itself, which makes every change whole: a
file that a killed process left half written is unlocked, and is removed unread.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

SUFFIX = ".ticket"

_TRIES, _PAUSE_S = 40, 0.0005
"""For the folder's lock, held for well under a millisecond: 20 ms in all, then the caller waits longer."""


class LeaseFault(RuntimeError):
    """What lies in the folder of tickets cannot be relied on, so nothing is admitted.

    Attributes:
        path: The folder or file that is wrong.
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}.")
        self.path = path


@dataclass(frozen=True)
class Ticket:
    """One request, waiting or granted.

    Attributes:
        arrival: Place among those of equal priority; larger than that of every ticket it met.
        until: Deadline on the machine's monotonic clock, in seconds; infinite without one.
        pid: Whose it is, for people to read; nothing is decided by it.
    """

    required_bytes: int
    priority: int
    arrival: int
    until: float
    granted: bool
    pid: int

    @property
    def order(self) -> tuple[int, int]:
        """Sorts those who wait: larger priority first, then first come."""
        return -self.priority, self.arrival


class Held:
    """A ticket of this process: its file, locked until `drop` or death."""

    def __init__(self, path: Path, descriptor: int, ticket: Ticket) -> None:
        self.path = path
        self.ticket = ticket
        self._descriptor = descriptor
        with _held_lock:
            _held.add(self)

    def grant(self) -> None:
        """Write that the memory is this ticket's; only with the folder locked."""
        self.ticket = replace(self.ticket, granted=True)
        _write(self._descriptor, self.ticket)

    def drop(self) -> None:
        """Take the ticket back; a second time does nothing."""
        with _held_lock:
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        with contextlib.suppress(FileNotFoundError):
            # Where somebody removed the file its name may be another's by now.
            if os.path.samestat(os.fstat(descriptor), self.path.lstat()):
                self.path.unlink()
        os.close(descriptor)

    def forget(self) -> None:
        """In a forked child: close the copy of the file, which would keep the parent's lock alive."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


_held: weakref.WeakSet[Held] = weakref.WeakSet()
_held_lock = threading.Lock()


def _forget_all() -> None:
    global _held_lock
    _held_lock = threading.Lock()  # another thread of the parent may have had it
    for held in list(_held):
        held.forget()


os.register_at_fork(after_in_child=_forget_all)


class Board:
    """The tickets of one device.

    Args:
        folder: Made where it is missing, for this user alone.

    Raises:
        LeaseFault: The folder is a link, another user's, or open to others.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._check()

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether the folder is this thread's inside the block; False after 20 ms in vain."""
        self._check()
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for _ in range(_TRIES):
                if _locked(descriptor):
                    yield self._is(descriptor)
                    return
                time.sleep(_PAUSE_S)
            yield False
        finally:
            # A child forked meanwhile has a copy of the descriptor, which would keep the lock alive.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def living(self) -> dict[Path, Ticket]:
        """Every ticket whose owner lives; the files of the dead are removed. Only with the folder locked.

        Raises:
            LeaseFault: The ticket of a living owner cannot be read.
        """
        found = {}
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            except FileNotFoundError:  # returned meanwhile
                continue
            try:
                if _locked(descriptor):
                    path.unlink(missing_ok=True)
                else:
                    found[path] = _read(path, descriptor)
            finally:
                os.close(descriptor)
        return found

    def post(self, required_bytes: int, priority: int, until: float, others: dict[Path, Ticket]) -> Held:
        """Add a waiting ticket behind `others`; only with the folder locked."""
        arrival = 1 + max((ticket.arrival for ticket in others.values()), default=0)
        ticket = Ticket(required_bytes, priority, arrival, until, False, os.getpid())
        path = self.folder / _name(arrival)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write(descriptor, ticket)
        except BaseException:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        return Held(path, descriptor, ticket)

    def _is(self, descriptor: int) -> bool:
        """Whether the folder is still the one opened, not one that was removed and made anew."""
        try:
            return os.path.samestat(os.fstat(descriptor), self.folder.lstat())
        except FileNotFoundError:
            return False

    def _check(self) -> None:
        for folder in (self.folder.parent, self.folder):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700, parents=True)
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode):
                raise LeaseFault(folder, "is not a folder")
            if found.st_uid != os.getuid():
                raise LeaseFault(folder, f"belongs to user {found.st_uid}, not to {os.getuid()}")
            if found.st_mode & 0o022:
                raise LeaseFault(folder, "can be written by other users; take that right away")


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(descriptor: int, ticket: Ticket) -> None:
    content = json.dumps(asdict(ticket)).encode("ascii")
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))


_KINDS = {"required_bytes": int, "priority": int, "arrival": int, "until": float, "granted": bool, "pid": int}


def _read(path: Path, descriptor: int) -> Ticket:
    problem = "belongs to a process that lives, but cannot be read: end that process, or remove the file"
    try:
        fields = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError as error:
        raise LeaseFault(path, problem) from error
    if not isinstance(fields, dict) or {name: type(value) for name, value in fields.items()} != _KINDS:
        raise LeaseFault(path, problem)
    ticket = Ticket(**fields)
    if ticket.required_bytes < 0 or path.name != _name(ticket.arrival):
        raise LeaseFault(path, problem)
    return ticket


def _name(arrival: int) -> str:
    return f"{arrival:012d}{SUFFIX}"
