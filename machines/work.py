"""The life of requested work inside a chart: queued, running, waiting to try again, done or broken.

Each working state is one *stage*. Entering it emits its effect and the stage is `queued`; a
worker that takes the job reports `started` and only then a deadline runs; a temporary failure
waits and asks again, a final one leads to wherever the chart says. A chart joins in by
deriving from `WorkChart`, entering its working states with `enter="request"`, listing them in
`broken_to`, and answering `work_for`.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import reduce
from operator import or_
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict
from statemachine import State

from machines.chart import Chart, Context, on_each
from machines.effect import Effect
from machines.event import Event, Result

Status = Literal["queued", "running", "waiting", "done", "broken"]


class Work(BaseModel):
    """How one stage stands. Times are Unix seconds, `attempt` counts from 1."""

    model_config = ConfigDict(extra="forbid")

    status: Status
    queue: str
    effect: str = ""
    """Id of the effect that was asked for last; its place in the queue is told under this id."""
    attempt: int = 1
    since: float
    ended: float | None = None
    done: int = 0
    total: int = 0
    unit: str = ""
    reason: str = ""


class WorkContext(Context):
    """A context that tells how each stage stands, by state id."""

    work: dict[str, Work] = {}
    reason: str = ""
    """Why the machine failed, in a sentence for its user."""


class Started(Event, name="started", source="handler"):
    """A worker holds the lease of `effect` and has begun."""

    effect: str
    stage: str


class Broke(Result, name="broke"):
    """The work of `stage` failed; a temporary failure may be tried again."""

    stage: str
    reason: str
    temporary: bool = False


class Deadline(Event, name="deadline", source="timer"):
    """The work of `stage` has been running for too long."""

    stage: str


class Again(Event, name="again", source="timer"):
    """The pause before the next attempt at `stage` is over."""

    stage: str


WORK_EVENTS: tuple[type[Event], ...] = (Started, Broke, Deadline, Again)


def broken_to(targets: dict[State, State]) -> Any:
    """The event `broke`: tried again while that may help, else to the state's target."""
    again = on_each(*targets, cond=["concerns", "may_try_again"], on="wait_and_try_again")
    final = (state.to(target, cond="concerns", on="give_up") for state, target in targets.items())
    return reduce(or_, final, again)


class WorkChart(Chart):
    """A chart whose working states request effects and survive their failures."""

    attempts: ClassVar[int] = 3
    pause_s: ClassVar[float] = 2.0
    """Before the second attempt; doubles with each further one."""

    context: WorkContext

    @abstractmethod
    def work_for(self, stage: str) -> Effect:
        """The effect that does the work of `stage`, from the context alone."""

    def request(self, state: State) -> None:
        """Enter a working state: its effect goes to its queue."""
        self._ask(state, attempt=1)

    def _ask(self, state: State, *, attempt: int) -> None:
        effect = self.work_for(state.id)
        self.emit(effect, state)
        self.context.work[state.id] = Work(
            status="queued", queue=effect.queue, attempt=attempt, since=self.at
        )

    def note_ids(self, ids: dict[str, str]) -> None:
        """Note the ids that emitted effects were given: effect id → state that awaits it."""
        for effect, stage in ids.items():
            if stage in self.context.work:
                self.context.work[stage].effect = effect

    def concerns(self, data: Started | Broke | Deadline | Again, source: State) -> bool:
        """Whether the event is about the state whose transition asks."""
        return self.formerly.get(data.stage, data.stage) == source.id

    def note_started(self, data: Started, source: State) -> None:
        """The stage runs; from now on it has a deadline."""
        work = self.context.work[source.id]
        if work.status == "running":
            work.attempt += 1
        work.status = "running"
        work.since = self.at
        effect = self.work_for(source.id)
        self.set_timer(f"deadline.{source.id}", "deadline", effect.deadline_s, {"stage": source.id}, source)

    def finish(self, source: State, *, done: int = 0, unit: str = "") -> None:
        """Mark the stage as done; `done` of as many `unit`."""
        work = self.context.work[source.id]
        work.status, work.ended = "done", self.at
        work.done = work.total = done
        work.unit = unit

    def may_try_again(self, data: Broke, source: State) -> bool:
        """Temporary, and attempts are left."""
        return data.temporary and self.context.work[source.id].attempt < self.attempts

    def has_attempts_left(self, source: State) -> bool:
        """Whether the stage may be asked for once more."""
        return self.context.work[source.id].attempt < self.attempts

    def wait_and_try_again(self, data: Broke, source: State) -> None:
        """Pause, then ask anew."""
        self._pause(source, data.reason)

    def overran(self, source: State) -> None:
        """The deadline has passed: drop the running attempt and ask anew."""
        self._pause(source, self._overran_reason(source))

    def _overran_reason(self, source: State) -> str:
        return f"it ran for longer than {self.work_for(source.id).deadline_s:.0f} seconds"

    def _pause(self, source: State, reason: str) -> None:
        work = self.context.work[source.id]
        work.status, work.reason, work.since = "waiting", reason, self.at
        self.awaiting = {e: owner for e, owner in self.awaiting.items() if owner != source.id}
        for key in [k for k, owner in self.timers_set.items() if owner == source.id]:
            self.clear_timer(key)
        pause_s = self.pause_s * 2 ** (work.attempt - 1)
        self.set_timer(f"again.{source.id}", "again", pause_s, {"stage": source.id}, source)

    def ask_again(self, source: State) -> None:
        """The pause is over: the effect goes to its queue once more."""
        self.timers_set.pop(f"again.{source.id}", None)
        self._ask(source, attempt=self.context.work[source.id].attempt + 1)

    def give_up(self, data: Broke, source: State) -> None:
        """The stage is broken for good."""
        self._break(source, data.reason)

    def give_up_late(self, source: State) -> None:
        """The last attempt overran, too."""
        self._break(source, self._overran_reason(source))

    def _break(self, source: State, reason: str) -> None:
        work = self.context.work[source.id]
        work.status, work.reason, work.ended = "broken", reason, self.at
        self.context.reason = reason

    def is_broken(self, stage: str) -> bool:
        """Whether the stage has ended badly."""
        work = self.context.work.get(stage)
        return work is not None and work.status == "broken"

    def is_done(self, stage: str) -> bool:
        """Whether the stage has ended well."""
        work = self.context.work.get(stage)
        return work is not None and work.status == "done"


def overrun_to(targets: dict[State, State]) -> Any:
    """The event `deadline`: another attempt while some are left, else to the state's target."""
    again = on_each(*targets, cond=["concerns", "has_attempts_left"], on="overran")
    final = (state.to(target, cond="concerns", on="give_up_late") for state, target in targets.items())
    return reduce(or_, final, again)
