"""Who delivers which webhook, how far it has come, what was tried and what was given up.

A lease in PostgreSQL, by its clock, gives each webhook one deliverer. Whoever takes it begins a new
term, and every write names its term, so a former holder that wakes up late changes nothing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.schema import WebhookAttempt, WebhookLetter
from storage.webhooks import COLUMNS, WEBHOOKS, Hook, hook_of

ATTEMPTS: Table = WebhookAttempt.metadata.tables["webhook_attempts"]
LETTERS: Table = WebhookLetter.metadata.tables["webhook_letters"]

KEPT_ATTEMPTS = 200
"""Of each webhook, and a few more."""
_PRUNED = 0.05
"""After so many attempts on average the oldest ones are dropped."""


class LeaseLost(Exception):
    """Another server delivers this webhook now, or it was changed; nothing was written."""


class UnknownLetter(Exception):
    """There is no dead letter of that number."""

    def __init__(self) -> None:
        super().__init__("there is no such dead letter")


@dataclass(frozen=True)
class Attempt:
    """One request: HTTP `status`, 0 where no answer came, with `error` saying why."""

    event_id: str
    events: int
    status: int
    duration_ms: float
    error: str
    at: datetime

    @property
    def delivered(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True)
class Letter:
    """A request that was given up after `tries`."""

    id: int
    event_id: str
    content_type: str
    body: bytes
    reason: str
    tries: int
    at: datetime


_ATTEMPT = [ATTEMPTS.c[field.name] for field in fields(Attempt)]
_LETTER = [LETTERS.c[field.name] for field in fields(Letter)]


class WebhookDeliveries:
    """Leases, positions, attempts and dead letters in PostgreSQL."""

    def __init__(self, database: AsyncEngine) -> None:
        self._database = database

    async def hold(self, holder: str, *, lease_s: float) -> list[Hook]:
        """Renew the holder's leases and take those that nobody holds; every webhook held now."""
        until = func.now() + timedelta(seconds=lease_s)
        free = or_(
            WEBHOOKS.c.holder == "", WEBHOOKS.c.lease_until.is_(None), WEBHOOKS.c.lease_until < func.now()
        )
        active = WEBHOOKS.c.paused == ""
        async with self._database.begin() as connection:
            renewed = await connection.execute(
                update(WEBHOOKS)
                .where(active, WEBHOOKS.c.holder == holder)
                .values(lease_until=until)
                .returning(*COLUMNS)
            )
            kept = [hook_of(row) for row in renewed.mappings()]
            taken = await connection.execute(
                update(WEBHOOKS)
                .where(active, WEBHOOKS.c.holder != holder, free)
                .values(holder=holder, term=WEBHOOKS.c.term + 1, lease_until=until)
                .returning(*COLUMNS)
            )
            return kept + [hook_of(row) for row in taken.mappings()]

    async def release(self, holder: str) -> None:
        """Let others deliver at once."""
        async with self._database.begin() as connection:
            await connection.execute(
                update(WEBHOOKS).where(WEBHOOKS.c.holder == holder).values(holder="", lease_until=None)
            )

    async def advance(self, hook: Hook, epoch: str, position: int, attempt: Attempt | None) -> None:
        """What is up to a position needs no delivery any more.

        Args:
            attempt: The one that delivered it; None where nothing had to be.

        Raises:
            LeaseLost: See there.
        """
        values: dict[str, Any] = {"epoch": epoch, "position": position}
        if attempt is not None:
            values |= {"tries": 0, "failing_since": None, "next_try_at": None}
        async with self._database.begin() as connection:
            await _write(connection, hook, values)
            if attempt is not None:
                await _note(connection, hook.id, attempt)

    async def postpone(
        self, hook: Hook, attempt: Attempt, *, tries: int, since: datetime, until: datetime
    ) -> None:
        """A try has failed, for the `tries`th time; the next one is at `until`.

        Raises:
            LeaseLost: See there.
        """
        async with self._database.begin() as connection:
            values = {"tries": tries, "failing_since": since, "next_try_at": until}
            await _write(connection, hook, values)
            await _note(connection, hook.id, attempt)

    async def give_up(
        self,
        hook: Hook,
        attempt: Attempt,
        *,
        epoch: str,
        position: int,
        since: datetime,
        content_type: str,
        body: bytes,
        tries: int,
    ) -> None:
        """Keep what could not be delivered among the dead letters and go on behind it.

        Raises:
            LeaseLost: See there.
        """
        async with self._database.begin() as connection:
            values = {
                "epoch": epoch,
                "position": position,
                "tries": 0,
                "failing_since": since,
                "next_try_at": None,
            }
            await _write(connection, hook, values)
            await _note(connection, hook.id, attempt)
            await connection.execute(
                insert(LETTERS).values(
                    webhook_id=hook.id,
                    event_id=attempt.event_id,
                    content_type=content_type,
                    body=body,
                    reason=attempt.error or f"HTTP status {attempt.status}",
                    tries=tries,
                )
            )

    async def stop(self, hook: Hook, why: str, attempt: Attempt | None = None) -> None:
        """Pause the webhook, saying why.

        Raises:
            LeaseLost: See there.
        """
        async with self._database.begin() as connection:
            await _write(connection, hook, {"paused": why, "holder": "", "lease_until": None})
            if attempt is not None:
                await _note(connection, hook.id, attempt)

    async def note(self, hook: str, attempt: Attempt) -> None:
        """Keep an attempt that changes no position: a ping, or a dead letter sent again."""
        async with self._database.begin() as connection:
            await _note(connection, hook, attempt)

    async def attempts(self, hook: str, limit: int) -> list[Attempt]:
        """The newest attempts, newest first."""
        query = select(*_ATTEMPT).where(ATTEMPTS.c.webhook_id == hook)
        async with self._database.connect() as connection:
            rows = await connection.execute(query.order_by(ATTEMPTS.c.id.desc()).limit(limit))
            return [Attempt(**row) for row in rows.mappings()]

    async def letters(self, hook: str, *, after: int, limit: int) -> list[Letter]:
        """Dead letters in the order in which they were given up, those numbered above `after`."""
        query = select(*_LETTER).where(LETTERS.c.webhook_id == hook, LETTERS.c.id > after)
        async with self._database.connect() as connection:
            rows = await connection.execute(query.order_by(LETTERS.c.id).limit(limit))
            return [Letter(**row) for row in rows.mappings()]

    async def letter(self, hook: str, number: int) -> Letter:
        """One dead letter.

        Raises:
            UnknownLetter: There is none.
        """
        query = select(*_LETTER).where(LETTERS.c.webhook_id == hook, LETTERS.c.id == number)
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            raise UnknownLetter
        return Letter(**row)

    async def drop_letter(self, hook: str, number: int) -> None:
        """Forget a dead letter.

        Raises:
            UnknownLetter: There is none.
        """
        async with self._database.begin() as connection:
            gone = await connection.execute(
                delete(LETTERS).where(LETTERS.c.webhook_id == hook, LETTERS.c.id == number)
            )
        if not gone.rowcount:
            raise UnknownLetter

    async def forget(self, upload: str, evidence: int) -> None:
        """Drop the dead letters that tell of an upload or quote its evidence (0: none)."""
        needles = [upload]
        if evidence:
            needles += (f'"evidence":{evidence}{end}' for end in ",}]")
        told = or_(*(func.strpos(func.encode(LETTERS.c.body, "escape"), each) > 0 for each in needles))
        async with self._database.begin() as connection:
            await connection.execute(delete(LETTERS).where(told))

    async def letter_counts(self, hooks: list[str]) -> dict[str, int]:
        """Webhook → how many dead letters it has, where there are any."""
        query = select(LETTERS.c.webhook_id, func.count()).where(LETTERS.c.webhook_id.in_(hooks))
        async with self._database.connect() as connection:
            rows = await connection.execute(query.group_by(LETTERS.c.webhook_id))
            return {row[0]: row[1] for row in rows}


async def _write(connection: AsyncConnection, hook: Hook, values: dict[str, Any]) -> None:
    mine = and_(WEBHOOKS.c.id == hook.id, WEBHOOKS.c.term == hook.term)
    changed = await connection.execute(update(WEBHOOKS).where(mine).values(values))
    if not changed.rowcount:
        raise LeaseLost(hook.id)


async def _note(connection: AsyncConnection, hook: str, attempt: Attempt) -> None:
    values = {field.name: getattr(attempt, field.name) for field in fields(Attempt)}
    await connection.execute(insert(ATTEMPTS).values(webhook_id=hook, **values))
    if random.random() < _PRUNED:
        newest = (
            select(ATTEMPTS.c.id)
            .where(ATTEMPTS.c.webhook_id == hook)
            .order_by(ATTEMPTS.c.id.desc())
            .limit(KEPT_ATTEMPTS)
        )
        await connection.execute(
            delete(ATTEMPTS).where(ATTEMPTS.c.webhook_id == hook, ATTEMPTS.c.id.not_in(newest))
        )
