"""The data folder of one instance: its layout, and the lock that lets only one server use it.

    lock          held (flock) for as long as the owner lives; says who the owner is
    redis/        append-only file of the embedded Redis
    postgres/     cluster of the embedded PostgreSQL
    run/          sockets, unless their path would be too long
    logs/         what the embedded services say

Other parts put folders of their own beside these.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

SOCKET_PATH_BYTES = 103
"""Longest socket path that every supported system takes (macOS 104 with its NUL, Linux 108)."""

_LONGEST_SOCKET_NAME = ".s.PGSQL.5432.lock"


class DataFolderError(Exception):
    """The data folder cannot be used; the text says why and what to do."""


class InUse(DataFolderError):
    """Another process owns the data folder."""

    def __init__(self, folder: Path, owner: Owner | None) -> None:
        self.folder = folder
        self.owner = owner
        who = "by a process that is just starting"
        if owner is not None:
            who = f"by process {owner.pid}" + (f" ({owner.address})" if owner.address else "")
        super().__init__(
            f"The data folder {folder} is already in use {who}: "
            "stop that one first, or set CASEWIRE_DATA to another folder."
        )


class Owner(BaseModel):
    """What the owner of a data folder tells other processes of the same user.

    The URLs are those of the embedded servers; one that was configured stays out, as it may
    hold a password.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    address: str = ""
    redis_url: str = ""
    database_url: str = ""
    started_at: float = 0.0


@dataclass(frozen=True)
class DataFolder:
    """Absolute paths below `root`; nothing is created before `create`."""

    root: Path

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    @property
    def redis(self) -> Path:
        return self.root / "redis"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def sockets(self) -> Path:
        """`run/` inside the folder, or a short private folder under /tmp where that path is too long.

        The name depends on the path of the data folder only, so a process that outlived a
        restart finds the services at the same place.
        """
        inside = self.root / "run"
        if len(os.fsencode(inside / "postgres" / _LONGEST_SOCKET_NAME)) <= SOCKET_PATH_BYTES:
            return inside
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path("/tmp") / f"casewire-{os.geteuid()}-{digest}"

    def create(self) -> None:
        """Create what is missing, readable by this user alone.

        Raises:
            DataFolderError: The path cannot be written, or the short socket folder belongs to
                someone else.
        """
        try:
            for path in (self.root, self.logs, self.redis):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.sockets.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise DataFolderError(
                f"The data folder {self.root} cannot be created ({error.strerror}): "
                "make it writable, or set CASEWIRE_DATA to a folder that is."
            ) from error
        found = self.sockets.lstat()
        if self.sockets.is_symlink() or found.st_uid != os.geteuid():
            raise DataFolderError(
                f"{self.sockets} belongs to another user: remove it, "
                "or set CASEWIRE_DATA to a folder with a shorter path."
            )


class Lock:
    """The right to run services on a data folder, held until the process ends or `locked` exits."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def describe(self, owner: Owner) -> None:
        """Write who holds the lock, for `read_owner` and for the sentence a second start is given."""
        text = owner.model_dump_json().encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text, 0)


@contextmanager
def locked(folder: DataFolder, address: str = "") -> Iterator[Lock]:
    """Hold the folder for this process.

    Raises:
        InUse: Another process, or another part of this one, holds it.
        DataFolderError: The folder cannot be written.
    """
    folder.create()
    # Never unlinked: two processes could then hold locks on two files of the same name.
    descriptor = os.open(folder.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(folder.root, _read(descriptor)) from None
        lock = Lock(descriptor)
        lock.describe(Owner(pid=os.getpid(), address=address, started_at=time.time()))
        try:
            yield lock
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def read_owner(folder: DataFolder) -> Owner | None:
    """Who holds the folder now, or None if nobody does."""
    try:
        descriptor = os.open(folder.lock_file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    finally:
        os.close(descriptor)
    return None


def _read(descriptor: int) -> Owner | None:
    try:
        return Owner.model_validate_json(os.pread(descriptor, 65_536, 0))
    except ValidationError:  # between taking the lock and writing the text
        return None
