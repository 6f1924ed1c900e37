"""Tables of the models that an instance uses: which one made the vectors, and where text may go."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import CheckConstraint, Column, Integer
from sqlmodel import Field, SQLModel

from storage.schema_columns import created, reference


class EmbedderRecord(SQLModel, table=True):
    """The one embedder that made every vector of the database; `complete` once it has made them all."""

    __tablename__: ClassVar[str] = "embedder"
    __table_args__ = (CheckConstraint("id = 1", name="embedder_is_one"),)
    id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    name: str
    dimensions: int
    complete: bool = True


class Consent(SQLModel, table=True):
    """An owner of a case lets its text go to a host that is not of this machine."""

    __tablename__: ClassVar[str] = "consents"
    case_id: str = reference("cases.id", primary_key=True)
    host: str = Field(primary_key=True)
    user_id: str
    at: datetime = created()
