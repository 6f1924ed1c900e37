"""Tables of who stands how to whom, and of what a language model has read."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column, Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from storage.schema_columns import reference


class Relation(SQLModel, table=True):
    """Characters `start`..`end` of the evidence's text, inside a chunk, say that one entity does to another.

    `predicate` is in the words of a rule or of a model, `source` is `rule` or the model's name.
    """

    __tablename__: ClassVar[str] = "relations"
    __table_args__ = (Index("relations_subject", "subject"), Index("relations_object", "object"))
    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    case_id: str = reference("cases.id", index=True)
    chunk_id: int = reference("chunks.id", index=True, kind=BigInteger)
    subject: int = reference("entities.id", kind=BigInteger)
    predicate: str = Field(sa_column=Column(Text, nullable=False))
    object: int = reference("entities.id", kind=BigInteger)
    start: int
    end: int
    source: str


class Extraction(SQLModel, table=True):
    """What a language model read in a passage, so that it need not read it again.

    `key` is the SHA-256 of the model's name, the version of what it is asked, and the passage. A row
    belongs to one piece of evidence and goes with it; another with the same passage has one of its own.
    """

    __tablename__: ClassVar[str] = "extractions"
    __table_args__ = (Index("extractions_case", "case_id", "key"),)
    evidence_id: int = reference("evidence.id", primary_key=True, kind=BigInteger)
    key: str = Field(primary_key=True)
    case_id: str = reference("cases.id")
    reading: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
