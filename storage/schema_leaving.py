"""Tables of what has come and gone: which upload brought which bytes, and what was deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from storage.schema_columns import created


class Arrival(SQLModel, table=True):
    """An upload has brought bytes: for as long as the row stands, the content is needed."""

    __tablename__: ClassVar[str] = "arrivals"
    __table_args__ = (
        Index("arrivals_content", "sha256"),
        Index("arrivals_case", "case_id"),
        Index("arrivals_parent", "parent", postgresql_where=text("parent > 0")),
    )
    upload: str = Field(primary_key=True)
    sha256: str = Field(primary_key=True)
    case_id: str
    parent: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    """Evidence in which it was found, 0 for none."""
    filename: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    spare: bool = False
    """The case had the bytes already, from another upload."""
    at: datetime = created()


class Departure(SQLModel, table=True):
    """The tombstone of an upload: what it had brought, who deleted it, and what is still to be cleared.

    No evidence is registered for an upload that has one.
    """

    __tablename__: ClassVar[str] = "departures"
    __table_args__ = (Index("departures_case", "case_id"), Index("departures_evidence", "evidence"))
    upload: str = Field(primary_key=True)
    topic: str
    case_id: str
    evidence: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    """0 where it had brought none."""
    facts: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    """Name, hash, size, kind, who uploaded it and when; what the record in the chain tells, too."""
    contents: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    """Hashes of the file and of what was made from it."""
    actor: str
    reason: str = ""
    complete: bool = False
    """Whether rows and record are written; what follows can be done any number of times."""
    at: datetime = created()
