"""The newest snapshots that this process has seen, so that a step need not begin with a read.

They are guesses: another process may have written since. The revision that a commit compares
tells, and what a step refuses is refused only on a snapshot that was read for it.
"""

from __future__ import annotations

import time
from collections import OrderedDict

from machines.snapshot import Snapshot

MOST_MACHINES = 4096
MOST_BYTES = 8 << 20
"""As JSON; in memory a snapshot takes several times as much."""

BELIEVED_S = 10.0
"""A Redis that came back with an older history is then read again, whatever revisions it has."""


class Latest:
    """Snapshots by machine; whoever was not asked for longest leaves first."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[Snapshot, int, float]] = OrderedDict()
        self._bytes = 0

    def take(self, machine: str) -> Snapshot | None:
        """What is known of a machine, which is then known no more until it is kept again."""
        known = self._known.pop(machine, None)
        if known is None:
            return None
        snapshot, size, at = known
        self._bytes -= size
        return snapshot if time.monotonic() - at < BELIEVED_S else None

    def keep(self, snapshot: Snapshot, size: int) -> None:
        """Know a snapshot that takes `size` bytes, in place of any other of its machine."""
        self.take(snapshot.id)
        if snapshot.terminated:
            return  # no step can follow
        self._known[snapshot.id] = (snapshot, size, time.monotonic())
        self._bytes += size
        while self._bytes > MOST_BYTES or len(self._known) > MOST_MACHINES:
            _, (_, oldest, _) = self._known.popitem(last=False)
            self._bytes -= oldest

    def __len__(self) -> int:
        return len(self._known)
