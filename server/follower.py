"""One socket's place in the audience of a topic, and what waits for it there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from machines.event import Role
from server.backlog import Backlog
from server.errors import Close
from server.published import Published
from storage.people import Person

if TYPE_CHECKING:
    from server.audience import Audience


class Line(Protocol):
    """A socket as those see it who have something to say over it.

    Attributes:
        fd: Its descriptor where that is a plain stream socket, else −1.
        blocked: Whether bytes wait in front of it; whatever is said then waits behind them.
    """

    fd: int
    blocked: bool

    def say(self, text: bytes) -> None:
        """Send one text frame."""

    def write(self, frame: bytes) -> None:
        """Send an encoded frame, or the rest of one whose beginning was sent past the line."""

    def end(self, code: Close) -> None:
        """Close it, and tell its session that it is closed."""


class Listening(Protocol):
    """The session that a follower belongs to, as the audience sees it."""

    @property
    def line(self) -> Line:
        """Its socket."""

    @property
    def person(self) -> Person:
        """Whose it is."""

    async def role_on(self, topic: str) -> Role | None:
        """The role on a topic now."""

    def doubt(self) -> None:
        """A role may have changed: look, and begin again with what follows from it."""

    def wait(self, follower: Follower) -> None:
        """The follower has messages that wait for the socket."""


class Follower:
    """Somebody who follows a topic; either in a lane of the audience, or aside.

    In a lane everything up to the audience's own position has been sent, and the next frame can go
    straight to the socket. Aside it has a backlog, which is sent when the socket and the role allow.

    Attributes:
        role: As which it sees the topic; meaningless while in doubt.
        doubted: Whether nothing may be sent until the role has been looked up.
        until: While aside, the time on the monotonic clock until which the role may be believed.
        place: Its index in the lane of its role, −1 while aside.
        backlog: None in a lane.
        audience: Whose it is; None before it is taken in and after it has left.
    """

    __slots__ = ("audience", "backlog", "doubted", "place", "role", "session", "topic", "until")

    def __init__(self, topic: str, session: Listening) -> None:
        self.topic = topic
        self.session = session
        self.role: Role = "viewer"
        self.doubted = True
        self.until = 0.0
        self.place = -1
        self.backlog: Backlog | None = None
        self.audience: Audience | None = None

    @property
    def can_send(self) -> bool:
        """Whether a frame may go to the socket now."""
        return not self.doubted and not self.session.line.blocked

    def step_aside(self) -> None:
        """Leave the lane: the socket, or the role, does not allow the next frame at once."""
        if self.audience is not None:
            self.audience.step_aside(self)

    def settle(self) -> None:
        """Go into a lane if nothing waits any more."""
        if self.audience is not None:
            self.audience.settle(self)

    def offer(self, message: Published) -> None:
        """Put a message into the backlog; a reader that cannot keep up is sent away."""
        if self.backlog is None:  # an earlier one was too much already
            return
        self.backlog.offer(message)
        if self.backlog.slow:
            self.session.line.end(Close.SLOW)
        elif len(self.backlog):
            self.session.wait(self)
