"""The end of a server that is several processes, as when the machine's power goes."""

from __future__ import annotations

import contextlib

import psutil


def kill_family(leader: psutil.Process) -> int:
    """SIGKILL a process with all its descendants; how many there were.

    The leader is stopped first, so that it neither makes another child nor acts on the death of one.

    Raises:
        NoSuchProcess: The leader is gone.
    """
    leader.suspend()
    family = [*leader.children(recursive=True), leader]
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return len(family)
