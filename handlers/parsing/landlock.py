"""Landlock: the kernel lets this process reach only the folders that it names, from now on and for good.

Source: Linux, Documentation/userspace-api/landlock.rst; the numbers are those of its UAPI header.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1

_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL = 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
_READ = _READ_FILE | _READ_DIR
_OF_FILES = _WRITE_FILE | _READ_FILE | _TRUNCATE
_SPECIAL = 1 << 0 | 1 << 6 | 1 << 9 | 1 << 11
"""Executing, and making devices and sockets: nowhere."""

_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Every right that a version of the interface knows; it can be handled, and what is handled is refused."""

_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Version of the interface that the kernel has; 0 for none."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)))


def confine(*, readable: Iterable[Path], writable: Iterable[Path]) -> int:
    """Refuse this process all files but those below the given ones, and TCP where the kernel can.

    Paths that do not exist are left out. The process must have no new privileges.

    Returns:
        Version of the interface, 0 where the kernel has none and nothing is confined.

    Raises:
        OSError: The kernel has Landlock and refuses to use it.
    """
    known = version()
    if not known:
        return 0
    handled = _FILE_RIGHTS[min(known, 5)]
    fields = [handled]
    if known >= 4:
        fields.append(0b11)  # bind and connect TCP
    if known >= 6:
        fields.append(0b11)  # abstract sockets and signals beyond this process
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    rules = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    try:
        for path in readable:
            _allow(rules, path, _READ & handled)
        for path in writable:
            _allow(rules, path, handled & ~_SPECIAL)
        _call(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)
    return known


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not path.is_dir():
            rights &= _OF_FILES
        _call(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: object) -> int:
    answer = int(_libc.syscall(number, *arguments))
    if answer < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock: {os.strerror(error)}")
    return answer
