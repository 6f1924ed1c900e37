"""Tables of conversations: what was asked in them, what was deleted, what was read outside for them."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import BigInteger, Column, DateTime, ForeignKeyConstraint, Index, Text
from sqlmodel import Field, SQLModel

from storage.schema_columns import created, node_id, reference


class Conversation(SQLModel, table=True):
    """A thread of questions to a case; kept in step with their machines by whoever archives these."""

    __tablename__: ClassVar[str] = "conversations"
    __table_args__ = (Index("conversations_latest", "case_id", "last_at"),)
    case_id: str = reference("cases.id", primary_key=True)
    id: str = Field(primary_key=True)
    """The machine of its first question, or what a client called it."""
    name: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    """Given by a person; empty for the first question."""
    asker: str
    """Who asked first."""
    started_at: float
    """Unix seconds of the first question."""
    last_at: float
    removed_at: datetime | None = Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=True)
    )
    """Since when it is on its way out; then it is shown nowhere."""
    removed_by: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))


class Question(SQLModel, table=True):
    """A question of a conversation, as it is searched for."""

    __tablename__: ClassVar[str] = "questions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["case_id", "conversation"], ["conversations.case_id", "conversations.id"], ondelete="CASCADE"
        ),
        Index("questions_conversation", "case_id", "conversation", "asked_at"),
    )
    machine: str = Field(primary_key=True)
    case_id: str
    conversation: str
    asker: str
    asked_at: float
    question: str
    answer: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    """What of the answer is in sight."""
    revision: int
    updated_at: float


class DeletedQuestion(SQLModel, table=True):
    """The machine of a question that was deleted: nothing of what it told is kept any more."""

    __tablename__: ClassVar[str] = "deleted_questions"
    machine: str = Field(primary_key=True)
    case_id: str = reference("cases.id", index=True)
    at: datetime = created()


class Article(SQLModel, table=True):
    """What a source outside the case said to one question. No evidence: nobody vouches for it."""

    __tablename__: ClassVar[str] = "articles"
    id: int | None = node_id()
    case_id: str = reference("cases.id", index=True)
    query: str = Field(index=True)
    """Machine of the question."""
    source: str
    """The configured source that it came from."""
    url: str
    title: str
    fetched_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    sha256: str
    """Of what was received, before it was read."""
    text: str


class ArticleChunk(SQLModel, table=True):
    """Characters `start`..`end` of an article's text."""

    __tablename__: ClassVar[str] = "article_chunks"
    id: int | None = node_id()
    article_id: int = reference("articles.id", index=True, kind=BigInteger)
    ordinal: int
    start: int
    end: int
