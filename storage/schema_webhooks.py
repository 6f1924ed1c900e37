"""Tables of webhooks: where to, how far, every attempt, and what was given up."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import BigInteger, Column, DateTime, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from storage.schema_columns import created, reference


class Webhook(SQLModel, table=True):
    """Where a topic's entries are delivered, how far that has come, and which server does it."""

    __tablename__: ClassVar[str] = "webhooks"
    id: str = Field(primary_key=True)
    topic: str = Field(sa_column=Column(Text, index=True, nullable=False))
    user_id: str = reference("users.id", index=True)
    """Who made it: it lasts as long as their right."""
    url: str
    kinds: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    events: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    """Only entries of these kinds and events; empty means all."""
    batch: int = 1
    secret: str
    previous_secret: str = ""
    previous_until: datetime | None = Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=True)
    )
    paused: str = ""
    """Why nothing is delivered; empty while it is."""
    epoch: str
    position: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Offset of the last entry that needs no delivery any more."""
    tries: int = 0
    """Failed ones of what comes next."""
    failing_since: datetime | None = Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=True)
    )
    next_try_at: datetime | None = Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=True)
    )
    holder: str = ""
    term: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    """Grows whenever the holder may have changed, so that a former one cannot write."""
    lease_until: datetime | None = Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=True)
    )
    created_at: datetime = created()


class WebhookAttempt(SQLModel, table=True):
    """One request to a webhook's address; the newest of each are kept."""

    __tablename__: ClassVar[str] = "webhook_attempts"
    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    webhook_id: str = reference("webhooks.id", index=True)
    event_id: str
    events: int = 1
    status: int = 0
    """HTTP status; 0 where there was no answer."""
    duration_ms: float = 0.0
    error: str = ""
    at: datetime = created()


class WebhookLetter(SQLModel, table=True):
    """What could not be delivered, kept until somebody sends it again or drops it."""

    __tablename__: ClassVar[str] = "webhook_letters"
    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    webhook_id: str = reference("webhooks.id", index=True)
    event_id: str
    content_type: str
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    reason: str
    tries: int
    at: datetime = created()
