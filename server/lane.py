"""Followers of one role with nothing in front of their sockets, whose descriptors lie side by side."""

from __future__ import annotations

import numpy as np

from server.fanout import send_all
from server.follower import Follower

_FEW = 8
"""Up to so many sockets the transports are as fast as preparing the loop."""


class Lane:
    """An unordered set of followers that one frame is sent to."""

    def __init__(self) -> None:
        self.followers: list[Follower] = []
        self._fds = np.empty(_FEW, dtype=np.int32)
        self._sent = np.empty(_FEW, dtype=np.int64)

    def add(self, follower: Follower) -> None:
        """Let a follower in, whose socket has a descriptor and takes bytes."""
        count = len(self.followers)
        if count == len(self._fds):
            self._fds = np.concatenate([self._fds, np.empty_like(self._fds)])
            self._sent = np.empty(len(self._fds), dtype=np.int64)
        self._fds[count] = follower.session.line.fd
        follower.place = count
        self.followers.append(follower)

    def remove(self, follower: Follower) -> None:
        """Let it out; the last one takes its place."""
        last = self.followers.pop()
        if last is not follower:
            self.followers[follower.place] = last
            last.place = follower.place
            self._fds[last.place] = last.session.line.fd
        follower.place = -1

    def send(self, frame: bytes) -> None:
        """Send a frame to all; what a socket does not take at once is left to its transport.

        A transport that has to wait says so before this returns, so the follower may have left.
        """
        count = len(self.followers)
        if count <= _FEW:
            for follower in self.followers[:]:
                follower.session.line.write(frame)
            return
        sent = self._sent[:count]
        if send_all(self._fds[:count], frame, sent) == count:
            return
        short = [(self.followers[i], int(sent[i])) for i in np.flatnonzero(sent != len(frame))]
        for follower, taken in short:
            # Also for a broken socket: its transport meets the same error, and ends the connection.
            follower.session.line.write(frame[max(taken, 0) :])
