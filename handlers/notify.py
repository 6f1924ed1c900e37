"""Toasts: a notification of its own for each thing worth telling, shown on the pages that are open."""

from __future__ import annotations

from typing import Any, Protocol

from handlers.job import Job
from machines.notification import DeliverToast, NotificationSpawned, Notify, WentOut


class Spawn(Protocol):
    """Creates a machine; a repeat with the same `event_id` creates none."""

    async def __call__(self, kind: str, topic: str, data: dict[str, Any], *, event_id: str) -> object:
        """The created machine's outcome, or the first one's."""


class Publish(Protocol):
    """Sends a passing message to whoever listens to the topic now."""

    async def __call__(self, topic: str, machine: str, what: str, data: dict[str, Any]) -> object:
        """Anything."""


class OpenPages(Protocol):
    """Counts the pages that listen to a topic through this server."""

    def __call__(self, topic: str) -> int:
        """How many."""


async def notify(effect: Notify, job: Job, *, spawn: Spawn) -> None:
    """Spawn a notification on the user's own topic; nobody awaits it."""
    if not effect.user:
        return
    data = NotificationSpawned.model_validate(
        {
            "title": effect.title[:500],
            "body": effect.body[:2000],
            "level": effect.level,
            "about": effect.topic,
            "evidence": effect.evidence,
        }
    )
    await spawn("notification", f"user:{effect.user}", data.model_dump(mode="json"), event_id=job.id)


async def deliver_toast(
    effect: DeliverToast, job: Job, *, publish: Publish, open_pages: OpenPages
) -> WentOut:
    """Show the toast on the open pages; a page opened later reads the notification itself."""
    topic = f"user:{effect.user}"
    toast = {"title": effect.title, "body": effect.body, "level": effect.level}
    await publish(topic, job.machine, "toast", toast)
    return WentOut(effect=job.id, pages=open_pages(topic))
