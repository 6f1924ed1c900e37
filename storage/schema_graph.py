"""Tables of what is named in the evidence, and of what people make of it."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Index, Integer, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from storage.schema_columns import created, node_id, reference


class Poi(SQLModel, table=True):
    """A person of interest, entered by a person."""

    __tablename__: ClassVar[str] = "pois"
    id: int | None = node_id()
    case_id: str = reference("cases.id", index=True)
    name: str
    aliases: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    note: str = ""
    machine: str = ""
    """Id of the machine that looks for the person in the evidence; "" until it was looked for."""
    created_at: datetime = created()


class Entity(SQLModel, table=True):
    """Something named in the evidence; `suggested` until a person accepts or rejects it.

    Kinds: poi, person, organisation, email, phone, date, money, citation; place and event, which
    models find; name, whatever else is written as one. `key` is the normalised name that makes two
    mentions the same entity of a case.
    """

    __tablename__: ClassVar[str] = "entities"
    __table_args__ = (UniqueConstraint("case_id", "kind", "key"),)
    id: int | None = node_id()
    case_id: str = reference("cases.id", index=True)
    kind: str
    key: str
    name: str
    status: str = "suggested"
    poi_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("pois.id", ondelete="SET NULL"), index=True)
    )


class Mention(SQLModel, table=True):
    """An entity stands at characters `start`..`end` of the evidence's text, inside a chunk."""

    __tablename__: ClassVar[str] = "mentions"
    __table_args__ = (Index("mentions_entity", "entity_id", "chunk_id"),)
    chunk_id: int = reference("chunks.id", primary_key=True, kind=BigInteger)
    start: int = Field(sa_column=Column(Integer, primary_key=True))
    entity_id: int = reference("entities.id", primary_key=True, kind=BigInteger)
    end: int


class Vote(SQLModel, table=True):
    """The standing vote of one user on one node of a case; taking it back deletes the row."""

    __tablename__: ClassVar[str] = "votes"
    case_id: str = reference("cases.id", primary_key=True)
    user_id: str = reference("users.id", primary_key=True)
    node: int = Field(sa_column=Column(BigInteger, primary_key=True))
    value: int
    query: str = ""
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class Attention(SQLModel, table=True):
    """Record of what was voted, opened, read and shown; but for votes, users can have theirs deleted."""

    __tablename__: ClassVar[str] = "attention"
    __table_args__ = (
        UniqueConstraint("case_id", "effect"),
        Index("attention_of_user", "user_id", "case_id", "at"),
    )
    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    case_id: str = reference("cases.id", index=True)
    user_id: str
    what: str
    """vote, view, read, shown; accepted and dismissed, with the opposite sign where that is taken back"""
    node: int = Field(sa_column=Column(BigInteger, nullable=False))
    value: float = 0.0
    query: str = ""
    effect: str
    """Effect or request id that caused it, so that a repeat records nothing twice."""
    at: datetime = created()


class AttentionOff(SQLModel, table=True):
    """A user who lets no attention be kept, and none count."""

    __tablename__: ClassVar[str] = "attention_off"
    user_id: str = reference("users.id", primary_key=True)
    at: datetime = created()
