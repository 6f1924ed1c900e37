"""Webhooks as people set them up; every change takes them out of the hands of whoever delivers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, Table, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.schema import Webhook

WEBHOOKS: Table = Webhook.metadata.tables["webhooks"]

MOST_OF_A_TOPIC = 50
OLD_SECRET = timedelta(days=1)
"""How long a secret still signs after another has taken its place."""

_LOCK_TOPIC = text("SELECT pg_advisory_xact_lock(hashtextextended(:topic, 1))")
_HANDS_OFF = {"holder": "", "lease_until": None}


class UnknownWebhook(Exception):
    """There is no webhook of that id."""

    def __init__(self) -> None:
        super().__init__("there is no such webhook")


class TooManyWebhooks(Exception):
    """A topic has as many webhooks as it may have."""

    def __init__(self) -> None:
        super().__init__(f"a topic has at most {MOST_OF_A_TOPIC} webhooks: remove one first")


@dataclass(frozen=True)
class Hook:
    """A webhook as it is kept; see `storage.schema.Webhook` for each field."""

    id: str
    topic: str
    user_id: str
    url: str
    kinds: list[str]
    events: list[str]
    batch: int
    secret: str
    previous_secret: str
    previous_until: datetime | None
    paused: str
    epoch: str
    position: int
    tries: int
    failing_since: datetime | None
    next_try_at: datetime | None
    term: int
    created_at: datetime

    def secrets(self, now: datetime) -> list[str]:
        """What a request is signed with, the newest first."""
        old = self.previous_until is not None and now < self.previous_until
        return [self.secret, self.previous_secret] if old else [self.secret]


COLUMNS = [WEBHOOKS.c[field.name] for field in fields(Hook)]


def hook_of(row: RowMapping) -> Hook:
    """A row of `COLUMNS`."""
    return Hook(**row)


class Webhooks:
    """The table of webhooks in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def create(
        self,
        hook: str,
        topic: str,
        user: str,
        url: str,
        secret: str,
        *,
        kinds: Sequence[str],
        events: Sequence[str],
        batch: int,
        epoch: str,
        position: int,
    ) -> Hook:
        """Store a webhook that delivers what comes after a position.

        Raises:
            TooManyWebhooks: Nothing was stored.
        """
        count = select(func.count()).select_from(WEBHOOKS).where(WEBHOOKS.c.topic == topic)
        values = {
            "id": hook, "topic": topic, "user_id": user, "url": url, "secret": secret,
            "kinds": list(kinds), "events": list(events), "batch": batch,
            "previous_secret": "", "paused": "", "epoch": epoch, "position": position,
            "tries": 0, "holder": "", "term": 0,
        }  # fmt: skip
        async with self._database.begin() as connection:
            await connection.execute(_LOCK_TOPIC, {"topic": topic})
            if (await connection.scalar(count) or 0) >= MOST_OF_A_TOPIC:
                raise TooManyWebhooks
            found = await connection.execute(insert(WEBHOOKS).values(values).returning(*COLUMNS))
            return hook_of(found.mappings().one())

    async def get(self, hook: str) -> Hook:
        """One webhook.

        Raises:
            UnknownWebhook: There is none.
        """
        async with self._database.connect() as connection:
            found = await connection.execute(select(*COLUMNS).where(WEBHOOKS.c.id == hook))
            row = found.mappings().one_or_none()
        if row is None:
            raise UnknownWebhook
        return hook_of(row)

    async def of_topic(self, topic: str) -> list[Hook]:
        """Every webhook of a topic, oldest first."""
        return await self._where(WEBHOOKS.c.topic == topic)

    async def of_user(self, user: str) -> list[Hook]:
        """Every webhook that a person made, oldest first."""
        return await self._where(WEBHOOKS.c.user_id == user)

    async def delete(self, hook: str) -> None:
        """Forget a webhook with its attempts and letters."""
        async with self._database.begin() as connection:
            await connection.execute(delete(WEBHOOKS).where(WEBHOOKS.c.id == hook))

    async def pause(self, hook: str, why: str) -> Hook:
        """Deliver nothing until `resume`; the position stays."""
        return await self._change(hook, {"paused": why})

    async def resume(self, hook: str) -> Hook:
        """Deliver again, beginning at once."""
        return await self._change(
            hook, {"paused": "", "tries": 0, "failing_since": None, "next_try_at": None}
        )

    async def replay(self, hook: str, epoch: str, position: int) -> Hook:
        """Deliver once more what comes after a position."""
        return await self._change(
            hook, {"epoch": epoch, "position": position, "tries": 0, "next_try_at": None}
        )

    async def rotate(self, hook: str, secret: str) -> Hook:
        """Sign with another secret from now on, and with the old one for a day beside it."""
        return await self._change(
            hook,
            {
                "previous_secret": WEBHOOKS.c.secret,
                "previous_until": datetime.now(UTC) + OLD_SECRET,
                "secret": secret,
            },
        )

    async def _change(self, hook: str, values: dict[str, Any]) -> Hook:
        changed = values | _HANDS_OFF | {"term": WEBHOOKS.c.term + 1}
        async with self._database.begin() as connection:
            found = await connection.execute(
                update(WEBHOOKS).where(WEBHOOKS.c.id == hook).values(changed).returning(*COLUMNS)
            )
            row = found.mappings().one_or_none()
        if row is None:
            raise UnknownWebhook
        return hook_of(row)

    async def _where(self, condition: Any) -> list[Hook]:
        query = select(*COLUMNS).where(condition).order_by(WEBHOOKS.c.created_at, WEBHOOKS.c.id)
        async with self._database.connect() as connection:
            return [hook_of(row) for row in (await connection.execute(query)).mappings()]
