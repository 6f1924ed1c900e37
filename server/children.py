"""What the processes have in common that a server starts, restarts and ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

STEADY_S = 30.0
"""A process that lived this long is started again at once; one that keeps falling, ever later."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0


class Pauses:
    """How long to wait before a process is started again."""

    def __init__(self) -> None:
        self._next_s = _FIRST_PAUSE_S

    def after(self, lived_s: float) -> float:
        """The pause after a life of so many seconds; doubles with each short life."""
        if lived_s >= STEADY_S:
            self._next_s = _FIRST_PAUSE_S
        pause_s, self._next_s = self._next_s, min(self._next_s * 2, _LONGEST_PAUSE_S)
        return pause_s


def child_environment() -> dict[str, str]:
    """This process's environment, with this project first on the path."""
    project = str(Path(__file__).resolve().parent.parent)
    paths = [project, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


async def stop(process: asyncio.subprocess.Process, *, within_s: float) -> None:
    """Ask a process to end, and kill it when it has not within so many seconds."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), within_s)
    except TimeoutError:
        process.kill()
        await process.wait()
