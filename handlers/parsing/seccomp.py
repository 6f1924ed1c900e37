"""A filter of system calls: no network, no other process, no programs, no change of a file's owner or mode.

Source: Linux, Documentation/userspace-api/seccomp_filter.rst; the numbers are those of the kernel's tables of
system calls.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import NamedTuple

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_CLONE_THREAD = 0x10000
_X32 = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16


class _Machine(NamedTuple):
    """An architecture as the kernel names it, and numbers of system calls there; -1 where it has none."""

    audit: int
    clone: int
    tgkill: int
    prlimit: int
    refused: tuple[int, ...]


# fmt: off
_SHARED = (
    424, 425, 426, 427, 434, 438, 440, 448, 452, 463, 466,
    # pidfd_send_signal, io_uring_*, pidfd_open, pidfd_getfd, process_madvise, process_mrelease, fchmodat2,
    # setxattrat, removexattrat
)
_MACHINES = {
    "x86_64": _Machine(0xC000003E, clone=56, tgkill=234, prlimit=302, refused=(
        41, 42, 43, 49, 50, 53, 288,  # socket, connect, accept, bind, listen, socketpair, accept4
        57, 58, 59, 322,  # fork, vfork, execve, execveat
        62, 129, 200, 297,  # kill, rt_sigqueueinfo, tkill, rt_tgsigqueueinfo
        101, 310, 311, 312,  # ptrace, process_vm_readv, process_vm_writev, kcmp
        29, 30, 31, 64, 65, 66, 68, 69, 70, 71, 220, 240, 241,  # shared memory, semaphores, message queues
        90, 91, 268, 92, 93, 94, 260,  # chmod, chown
        188, 189, 190, 197, 198, 199, 132, 235, 261, 280,  # extended attributes, times
        133, 259, 155, 161, 165, 166, 272, 308,  # mknod, pivot_root, chroot, mount, umount2, unshare, setns
        159, 163, 164, 167, 168, 169, 170, 171, 175, 176, 179, 227, 246, 305, 313, 320,  # the machine
        248, 249, 250, 298, 303, 304, 321, 323,  # keys, perf, file handles, bpf, userfaultfd
        135, 141, 142, 144, 203, 251, 256, 279, 314,  # personality; others' priorities and memory
    )),
    "aarch64": _Machine(0xC00000B7, clone=220, tgkill=131, prlimit=261, refused=(
        198, 199, 200, 201, 202, 203, 242,
        221, 281,
        129, 130, 138, 240,
        117, 270, 271, 272,
        180, 181, 186, 187, 188, 189, 190, 191, 192, 193, 194, 195, 196,
        52, 53, 54, 55,
        5, 6, 7, 14, 15, 16, 88,
        33, 39, 40, 41, 51, 97, 268,
        60, 89, 104, 105, 106, 112, 142, 161, 162, 170, 171, 224, 225, 266, 273, 294,
        217, 218, 219, 241, 264, 265, 280, 282,
        30, 92, 118, 119, 122, 140, 238, 239, 274,
    )),
}
# fmt: on
_CLONE3 = 435


def refuse_calls() -> bool:
    """Put the filter on this process and all its threads to come; False where this machine has none.

    The process must have no new privileges. What is refused fails with EPERM.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None or sys.byteorder != "little" or struct.calcsize("P") != 8:
        return False
    code = b"".join(_program(machine))
    kept = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(kept))
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, program, 0, 0) == 0)


def _program(machine: _Machine) -> list[bytes]:
    refuse = _ERROR | errno.EPERM
    steps = [
        _step(_LOAD, _ARCHITECTURE),
        *_unless(_EQUAL, machine.audit, _KILL),
        _step(_LOAD, _NUMBER),
        *_when(_AT_LEAST, _X32, refuse),
        # glibc then makes its threads by clone, whose flags a filter can read.
        *_when(_EQUAL, _CLONE3, _ERROR | errno.ENOSYS),
    ]
    for number in (*machine.refused, *_SHARED):
        steps += _when(_EQUAL, number, refuse)
    # Threads but no processes, signals (abort) to itself, limits of its own.
    steps += _allowed_if(machine.clone, _ANY_BIT, _CLONE_THREAD, refuse)
    steps += _allowed_if(machine.tgkill, _EQUAL, os.getpid(), refuse)
    steps += _allowed_if(machine.prlimit, _EQUAL, 0, refuse)
    return [*steps, _step(_RETURN, _ALLOW)]


def _allowed_if(number: int, compare: int, value: int, otherwise: int) -> list[bytes]:
    return [
        _step(_EQUAL, number, if_not=4),
        _step(_LOAD, _FIRST_ARGUMENT),
        *_unless(compare, value, otherwise),
        _step(_RETURN, _ALLOW),
    ]


def _when(compare: int, value: int, answer: int) -> list[bytes]:
    return [_step(compare, value, if_not=1), _step(_RETURN, answer)]


def _unless(compare: int, value: int, answer: int) -> list[bytes]:
    return [_step(compare, value, if_so=1), _step(_RETURN, answer)]


def _step(code: int, value: int, *, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_so, if_not, value)
