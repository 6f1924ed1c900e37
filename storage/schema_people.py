"""Tables of people, their cases and what they may do there."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import Column, DateTime, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from storage.schema_columns import created, reference


class User(SQLModel, table=True):
    """A person who can log in; the first one administers the instance."""

    __tablename__: ClassVar[str] = "users"
    id: str = Field(primary_key=True)
    email: str = Field(sa_column=Column(Text, unique=True, nullable=False))
    name: str
    password_hash: str
    is_admin: bool = False
    created_at: datetime = created()


class ApiToken(SQLModel, table=True):
    """A secret by which a program acts for a person, within `scopes` and, if given, `cases`."""

    __tablename__: ClassVar[str] = "api_tokens"
    id: str = Field(primary_key=True)
    user_id: str = reference("users.id", index=True)
    name: str
    secret_hash: str
    """Hex SHA-256 of the whole secret."""
    scopes: list[str] = Field(sa_column=Column(JSONB, nullable=False))
    """Of read, write, admin."""
    cases: list[str] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True))
    """Ids of the only cases that it reaches; null for all of its person's."""
    created_at: datetime = created()
    expires_at: datetime | None = Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=True)
    )
    used_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))


class RequestKey(SQLModel, table=True):
    """What a repeatable request has made, by the key that its client chose."""

    __tablename__: ClassVar[str] = "request_keys"
    user_id: str = reference("users.id", primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    answer: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    at: datetime = created()


class Case(SQLModel, table=True):
    """A case; its state and title live in the machine `case` of topic `case:<id>`."""

    __tablename__: ClassVar[str] = "cases"
    id: str = Field(primary_key=True)
    title: str
    description: str = ""
    machine: str
    created_at: datetime = created()
    hidden_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    """Since when it waits to be deleted, out of every list; NULL where it does not."""


class Member(SQLModel, table=True):
    """A user's role in a case: viewer, editor or owner."""

    __tablename__: ClassVar[str] = "members"
    case_id: str = reference("cases.id", primary_key=True)
    user_id: str = reference("users.id", primary_key=True, index=True)
    role: str
