"""One frame to many sockets in one compiled loop that does without the interpreter's lock.

A loop in Python sends as fast while nothing else runs, but gives the lock up at every socket; beside
a busy thread each of them may cost its five milliseconds. numba is loaded for the ranking anyway.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from gpu.compiling import kernel

Descriptors = NDArray[np.int32]
Counts = NDArray[np.int64]

_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL

# The C library's own `send`: found by name, so that the loop can be compiled once and kept on disk.
_send: Any = types.ExternalFunction("send", types.intp(types.int32, types.intp, types.intp, types.int32))


@kernel
def _send_all(fds: Descriptors, address: int, size: int, flags: int, sent: Counts) -> int:
    whole = 0
    for i in range(fds.shape[0]):
        sent[i] = _send(fds[i], address, size, flags)
        if sent[i] == size:
            whole += 1
    return whole


def send_all(fds: Descriptors, frame: bytes, sent: Counts) -> int:
    """Send a frame to every socket as far as its buffer takes it now.

    Args:
        fds: Open stream sockets, shape (n,), contiguous.
        sent: Receives the bytes that each socket took, −1 for none; shape (n,), contiguous.

    Returns:
        How many sockets took all of it.
    """
    return int(_send_all(fds, np.frombuffer(frame, np.uint8).ctypes.data, len(frame), _FLAGS, sent))


def warm() -> None:
    """Compile the loop, or load it, before somebody waits for it; takes up to a second.

    Raises:
        OSError: The loop does not send.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sent = np.zeros(1, dtype=np.int64)
        send_all(np.array([ours.fileno()], dtype=np.int32), b"warm", sent)
        if sent[0] != 4 or theirs.recv(16) != b"warm":
            raise OSError(errno.EIO, "the compiled loop does not send")
