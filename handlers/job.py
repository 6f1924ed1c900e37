"""What a handler knows of the job it does, and the four ways in which it may end early.

JobError
├── Temporary   another attempt may succeed; the chart decides whether there is one
├── Permanent   no attempt can succeed
├── Cancelled   nobody awaits the result any more; raised by the job, passed on by the handler
└── GaveWay     somebody waits for other work of this queue; the job is queued again behind it
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from machines.effect import Effect
from machines.event import Event


class JobError(Exception):
    """The work did not come to its end."""


class Temporary(JobError):
    """The work failed, and may succeed when tried again.

    Args:
        reason: What is wrong, as a sentence for the user, without a final stop.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Permanent(JobError):
    """The work failed, and will fail again.

    Args:
        reason: What is wrong and what helps, as a sentence for the user, without a final stop.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Cancelled(JobError):
    """The state that asked for the work has been left: stop at once, report nothing."""


class GaveWay(JobError):
    """Work that people wait for comes first: run the job again after it, to go on where this run stopped."""


GiveWay = Callable[[], Awaitable[bool]]
"""Whether work that people wait for is in the queue of the job."""


async def never() -> bool:
    """Of a job that has its worker to itself."""
    return False


class Job(Protocol):
    """One run of one effect.

    Attributes:
        id: Id of the effect. A handler that runs twice under one id leaves what one run leaves.
        machine: Machine that awaits the result ("" where nobody does).
        topic: Topic of that machine.
        attempt: Attempt of the stage that this run serves, from 1.
    """

    id: str
    machine: str
    topic: str
    attempt: int

    async def progress(self, done: int, total: int, unit: str) -> None:
        """Tell watchers how far the work is: `done` of `total` `unit`s. At most four a second go out.

        Raises:
            Cancelled: As `check`.
        """

    async def token(self, text: str, position: int) -> None:
        """Show a piece of the answer, whose first character is character `position` of the text.

        The pieces are also kept beside the machine, so that a page opened later has them.

        Raises:
            Cancelled: As `check`.
        """

    async def check(self) -> None:
        """Return while the result is still awaited; cheap enough for every batch.

        Raises:
            Cancelled: The effect is awaited no more.
        """


Handler = Callable[[Any, Job], Awaitable[Event | None]]
"""Does one effect. A job returns the chart's result (`Embedded(effect=job.id, …)`); an inline
effect that nobody awaits returns None. The first parameter is the handler's own effect type."""

Handlers = dict[type[Effect], Handler]
