"""The user that a service runs as when the owner is root, since PostgreSQL refuses to be root.

No user is created: the owner of an existing cluster decides, then the first of `PREFERRED` that
the machine has. That user must be able to pass through every folder above the data and the
programs; where one is closed, the search bit (and nothing else) is opened to others, and logged.
"""

from __future__ import annotations

import logging
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

logger = logging.getLogger(__name__)

PREFERRED = ("casewire", "postgres", "nobody")

_SEARCH = stat.S_IXOTH
_READ = stat.S_IROTH


class SystemUserError(Exception):
    """No user can be found or let in; the text says what to do."""


class PopenArguments(TypedDict, total=False):
    """The part of `subprocess.Popen`'s arguments that switches user."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class SystemUser:
    """An ordinary user of this machine."""

    name: str
    uid: int
    gid: int

    def popen_arguments(self) -> PopenArguments:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def user_for(home: Path) -> SystemUser | None:
    """The user to run a server on `home` as; None when this process is not root and needs none.

    Raises:
        SystemUserError: This process is root and the machine has no ordinary user to offer.
    """
    if os.geteuid() != 0:
        return None
    if home.exists() and (uid := home.stat().st_uid) != 0:
        try:
            return _system_user(pwd.getpwuid(uid))
        except KeyError:
            raise SystemUserError(
                f"{home} belongs to user {uid}, whom this machine does not know: give it to a known user "
                "(chown -R), or run Casewire as an ordinary user."
            ) from None
    for name in PREFERRED:
        try:
            return _system_user(pwd.getpwnam(name))
        except KeyError:
            continue
    raise SystemUserError(
        "PostgreSQL does not run as root and this machine has none of the users "
        f"{', '.join(PREFERRED)}: create one, run Casewire as an ordinary user, or set DATABASE_URL."
    )


def give(path: Path, account: SystemUser | None) -> None:
    """Create the folder `path` for `account` alone, and let it get there."""
    path.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        os.chown(path, account.uid, account.gid)
        open_way(path.parent, account)


def open_way(path: Path, account: SystemUser) -> None:
    """Let `account` pass through `path` and every folder above it.

    Raises:
        SystemUserError: A folder on the way is closed and cannot be opened.
    """
    for folder in (path, *path.parents):
        found = folder.stat()
        if found.st_uid == account.uid or found.st_mode & _SEARCH:
            continue
        try:
            folder.chmod(stat.S_IMODE(found.st_mode) | _SEARCH)
        except OSError as error:
            raise SystemUserError(
                f"User {account.name}, as whom PostgreSQL runs, cannot pass through {folder} "
                f"({error.strerror}): allow it (chmod o+x), or put Casewire and its data elsewhere."
            ) from error
        logger.warning(
            "A folder was opened for passing through, for the user PostgreSQL runs as.",
            extra={"action": "user.open", "folder": str(folder), "user": account.name},
        )


def open_programs(folder: Path, account: SystemUser) -> None:
    """Let `account` read and run everything below `folder`, where a strict umask closed it.

    A folder that is absent is left alone: not every build of the wheel bundles libraries.
    """
    if not folder.is_dir():
        return
    open_way(folder, account)
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | _READ | (_SEARCH if mode & stat.S_IXUSR else 0)
        if wanted != mode:
            path.chmod(wanted)


def _system_user(entry: pwd.struct_passwd) -> SystemUser:
    return SystemUser(entry.pw_name, entry.pw_uid, entry.pw_gid)
