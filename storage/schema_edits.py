"""The table of what people wrote in place of what a run had found."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from storage.schema_columns import created, reference


class Edit(SQLModel, table=True):
    """One version of a part of evidence; version 0 is what the newest run found, by nobody."""

    __tablename__: ClassVar[str] = "edits"
    evidence_id: int = reference("evidence.id", primary_key=True, kind=BigInteger)
    part: str = Field(primary_key=True)
    """title, summary, tags"""
    version: int = Field(primary_key=True)
    value: Any = Field(sa_column=Column(JSONB, nullable=False))
    """As the column of the evidence that the part is shown from."""
    user_id: str = ""
    restored: int | None = None
    """The version whose value was taken again."""
    at: datetime = created()
