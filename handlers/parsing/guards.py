"""What the kernel forbids the process that reads untrusted files, and which of it this kernel has.

Limits (`limits.py`) bound what it uses; guards take away what it could reach. Each is tried, none is
taken for granted: what is in force is reported, and shown by `casewire status`.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from handlers.parsing.landlock import confine
from handlers.parsing.seccomp import refuse_calls

Guards = dict[str, list[str]]
"""Of `network`, `files` and `processes`: by what they are guarded; nothing means that they are not."""

_NEWIPC, _NEWUSER, _NEWNET = 0x08000000, 0x10000000, 0x40000000
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_CAPABILITY_VERSION = 0x20080522

_SYSTEM = (
    "/usr", "/lib", "/lib64", "/nix/store", "/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types",
    "/etc/fonts", "/dev/zero", "/dev/random", "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
    "/sys/devices/system/cpu", "/sys/fs/cgroup/cpu.max",
)  # fmt: skip


def guard(*, readable: Iterable[Path], writable: Iterable[Path]) -> Guards:
    """Take from this process the network, other processes, its privileges, and all files but the given
    and those of Python and the system's libraries.

    Raises:
        OSError: The kernel has a guard and refuses to put it up.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    apart = _leave_network(libc)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel refuses to give up privileges")
    own = Path("/proc") / str(os.getpid())
    ours = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__).resolve().parents[1], own]
    confined = confine(
        readable=[path for path in (*ours, *map(Path, _SYSTEM), *readable) if path != Path("/")],
        writable=[Path(os.devnull), *writable],
    )
    _drop_capabilities(libc)
    filtered = refuse_calls()
    if not filtered:
        # Takes threads away, too, and does not bind root: better than nothing.
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    return {
        "network": [
            *(["seccomp"] if filtered else []),
            *(["namespace"] if apart else []),
            *(["Landlock (TCP)"] if confined >= 4 else []),
        ],
        "files": ["Landlock"] if confined else [],
        "processes": ["seccomp"] if filtered else [] if os.getuid() == 0 else ["limit"],
    }


def _leave_network(libc: ctypes.CDLL) -> bool:
    """Go to a network of one's own, without any device; False where that is not allowed."""
    if libc.unshare(_NEWNET | _NEWIPC) == 0:
        return True
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_NEWUSER | _NEWNET | _NEWIPC):
        return False
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        Path("/proc/self", name).write_text(line, "ascii")
    return True


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    for capability in range(64):
        # Those that do not exist, or that it may not even drop, it has not got.
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    if libc.capset(struct.pack("=Ii", _CAPABILITY_VERSION, 0), bytes(24)):
        raise OSError(ctypes.get_errno(), "the kernel refuses to give up capabilities")
