"""One message to one person, from being due to being read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field
from statemachine import State

from machines.chart import from_each, on_each
from machines.effect import Effect
from machines.event import Event, Result
from machines.work import WORK_EVENTS, WorkChart, WorkContext, broken_to, overrun_to

Level = Literal["info", "warning"]


@dataclass(frozen=True)
class Notify(Effect, queue="inline"):
    """Spawn a notification on `user:<user>`. Emitted by other charts; nobody awaits it."""

    user: str
    title: str
    body: str
    level: str
    topic: str
    evidence: int = 0


@dataclass(frozen=True)
class DeliverToast(Effect, queue="inline", deadline_s=30):
    """Show the toast on the user's open pages. Answered by went_out."""

    user: str
    title: str
    body: str
    level: str


class NotificationSpawned(Event, name="spawn", source="handler"):
    """Something to tell."""

    title: str = Field(min_length=1, max_length=500)
    body: str = Field(default="", max_length=2000)
    level: Level = "info"
    about: str = ""
    """The topic it is about."""
    evidence: int = 0


class WentOut(Result, name="went_out"):
    """It went out to `pages` open pages; the rest will see it when they open."""

    pages: int


class MarkRead(Event, name="mark_read", source="client"):
    """Its user has seen it."""


class Retry(Event, name="retry", source="client"):
    """Deliver it again."""


class NotificationContext(WorkContext):
    """The message."""

    user: str = ""
    title: str = ""
    body: str = ""
    level: Level = "info"
    about: str = ""
    evidence: int = 0
    created_at: float = 0.0
    pages: int = 0


class NotificationChart(WorkChart):
    """Delivered at once, kept until read."""

    kind: ClassVar[str] = "notification"
    context_type = NotificationContext
    spawn_event = NotificationSpawned
    spawn_topics = ("user",)
    event_types = (WentOut, MarkRead, Retry, *WORK_EVENTS)

    context: NotificationContext

    pending = State(initial=True, enter="note_message")
    delivering = State(enter="request")
    delivered = State()
    failed = State()
    read = State(final=True)

    pending.to(delivering)
    went_out = delivering.to(delivered, on="note_delivered")
    mark_read = from_each(delivering, delivered, failed, to=read)
    retry = failed.to(delivering)

    _stages: ClassVar[dict[State, State]] = {delivering: failed}
    started = on_each(*_stages, cond="concerns", on="note_started")
    broke = broken_to(_stages)
    deadline = overrun_to(_stages)
    again = on_each(*_stages, cond="concerns", on="ask_again")

    def work_for(self, stage: str) -> Effect:
        """The effect of its one stage."""
        c = self.context
        return DeliverToast(c.user, c.title, c.body, c.level)

    def note_message(self, data: NotificationSpawned) -> None:
        """Keep what is to be told."""
        c = self.context
        c.user = self.topic.partition(":")[2]
        c.title, c.body, c.level = data.title, data.body, data.level
        c.about, c.evidence, c.created_at = data.about, data.evidence, self.at

    def note_delivered(self, data: WentOut, source: State) -> None:
        """It is out."""
        self.context.pages = data.pages
        self.finish(source, done=data.pages, unit="pages")
