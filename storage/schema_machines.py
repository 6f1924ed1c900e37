"""Tables of what Redis told: the custody chain, archived machines, how far it had come."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Text, UniqueConstraint, column, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from storage.schema_columns import created


class Journal(SQLModel, table=True):
    """The custody chain of one topic: each row holds the hash of its content and of the row before."""

    __tablename__: ClassVar[str] = "journal"
    __table_args__ = (
        UniqueConstraint("topic", "event_key"),
        Index(
            "journal_machine",
            "topic",
            func.split_part(column("event_key"), ":", 1),
            "seq",
            postgresql_where=text("what = 'transition'"),
        ),
    )
    topic: str = Field(primary_key=True)
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True))
    event_key: str
    """What makes the row unique: `machine:revision` of a transition, or an access id."""
    what: str
    """transition or access"""
    content: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """Canonical JSON (sorted keys, UTF-8)."""
    previous: str
    """Hex SHA-256 of the row before; 64 zeros for the first."""
    hash: str
    """Hex SHA-256 of `previous` bytes followed by `content`."""
    at: datetime = created()


class Sealed(SQLModel, table=True):
    """A text that a row of the chain holds as a hash alone, so that it can be forgotten.

    The row's hash covers the SHA-256 of salt and value: who has no salt cannot try out texts.
    """

    __tablename__: ClassVar[str] = "sealed"
    __table_args__ = (
        Index("sealed_machine", "machine"),
        Index("sealed_evidence", "evidence", postgresql_using="gin"),
    )
    topic: str = Field(primary_key=True)
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True))
    place: str = Field(primary_key=True)
    """Where in the entry's context it stands: keys joined by a slash."""
    machine: str
    evidence: list[int] = Field(sa_column=Column(ARRAY(BigInteger), nullable=False))
    """The evidence that it quotes."""
    salt: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    value: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """Canonical JSON."""


class ArchivedMachine(SQLModel, table=True):
    """Latest known snapshot of a machine, so that Redis may forget the finished ones.

    What machines are searched by stands beside the snapshot, which may be too large to be read for it.
    """

    __tablename__: ClassVar[str] = "archived_machines"
    __table_args__ = (
        Index("archived_topic", "topic", "updated_at"),
        Index("archived_kind", "kind", "updated_at"),
        Index("archived_busy", "busy_since", postgresql_where=text("busy_since IS NOT NULL")),
    )
    id: str = Field(primary_key=True)
    topic: str
    kind: str
    revision: int
    snapshot: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    terminated: bool
    updated_at: float
    states: list[str] = Field(
        default_factory=list, sa_column=Column(ARRAY(Text), nullable=False, server_default="{}")
    )
    """The configuration."""
    title: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    """What people call it: its file, question or title."""
    spawned_by: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    """Actor of its first entry: a user's id, or `system`."""
    busy_since: float | None = None
    """Unix seconds since when it waits for a stage of work; NULL if for none."""


class Marker(SQLModel, table=True):
    """A number to compare with: how far Redis had come (`redis`), how many shards there are (`shards`)."""

    __tablename__: ClassVar[str] = "markers"
    name: str = Field(primary_key=True)
    counter: int = Field(sa_column=Column(BigInteger, nullable=False))
    era: str
