"""Tables of what a case is about, and of which documents are like which."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import ARRAY, BigInteger, Column, Text
from sqlmodel import Field, SQLModel

from storage.schema_columns import created, reference


class Topic(SQLModel, table=True):
    """A group of evidence of one case, called by the terms that set it apart.

    Its terms go with the first of its evidence that goes: a trigger of the table below empties them.
    """

    __tablename__: ClassVar[str] = "topics"
    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    case_id: str = reference("cases.id", index=True)
    terms: list[str] = Field(default_factory=list, sa_column=Column(ARRAY(Text), nullable=False))
    size: int
    """How much evidence was in it when it was made."""


class TopicMember(SQLModel, table=True):
    """Evidence belongs to at most one topic."""

    __tablename__: ClassVar[str] = "topic_members"
    evidence_id: int = reference("evidence.id", primary_key=True, kind=BigInteger)
    topic_id: int = reference("topics.id", index=True, kind=BigInteger)


class TopicRun(SQLModel, table=True):
    """When the topics of a case were made last, and from how many pieces of evidence."""

    __tablename__: ClassVar[str] = "topic_runs"
    case_id: str = reference("cases.id", primary_key=True)
    evidence: int
    at: datetime = created()


class SimilarDocument(SQLModel, table=True):
    """Evidence `target` is among the nearest of `source`, by the cosine of their mean vectors."""

    __tablename__: ClassVar[str] = "similar_documents"
    source: int = reference("evidence.id", primary_key=True, kind=BigInteger)
    target: int = reference("evidence.id", primary_key=True, index=True, kind=BigInteger)
    case_id: str = reference("cases.id", index=True)
    cosine: float
