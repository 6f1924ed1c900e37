"""Tables by which stores beside PostgreSQL keep up with it."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from storage.schema_columns import created


class FollowerRecord(SQLModel, table=True):
    """A store that follows, and how far it is; triggers leave marks for those that are here."""

    __tablename__: ClassVar[str] = "followers"
    name: str = Field(primary_key=True)
    target: str
    kinds: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    registered_at: datetime = created()
    phase: str = "new"
    """new, marking, filling, following; see `storage.marks`."""
    barrier: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    """Transactions before this one may not have known the follower."""
    cursor_kind: str = ""
    cursor_node: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    """Up to where everything was marked."""
    fill_until: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    """The last mark of all that was there."""
    total: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    """Marks that filling the store takes, about."""
    marked: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    error: str = ""
    """Why the last round failed; empty where it did not."""
    failing_since: datetime | None = Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=True)
    )


class StoreMark(SQLModel, table=True):
    """Something that a follower has to look at; see `storage.follow.Kind`."""

    __tablename__: ClassVar[str] = "store_marks"
    __table_args__ = (Index("store_marks_node", "case_id", "kind", "node"),)
    follower: str = Field(primary_key=True)
    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    case_id: str
    kind: str
    node: int = Field(sa_column=Column(BigInteger, nullable=False))
    at: datetime = created()
