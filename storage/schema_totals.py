"""Tables of numbers that a question needs of a case and that would take long to count.

Triggers keep them exact (`migrations/versions/0032_totals.py`): what a transaction changes is noted by
statement and added to the totals as it commits, so that two writers of one case wait for each other for no
longer than that. Hidden evidence is counted; who reads takes it off.
"""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import BigInteger, Column, Identity, Index
from sqlmodel import Field, SQLModel

from storage.schema_columns import reference


def _number() -> int:
    number: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    return number


class CaseTotal(SQLModel, table=True):
    """What a case has altogether; a case without a row has nothing."""

    __tablename__: ClassVar[str] = "case_totals"
    case_id: str = reference("cases.id", primary_key=True)
    chunks: int = _number()
    indexed: int = _number()
    """Chunks that have indexed terms."""
    words: int = _number()
    """Indexed terms of all of them."""
    names: int = _number()
    """Another number after every change by which a question may mean something else by a name: of
    entities, persons of interest, verdicts on names, or of what evidence is hidden."""
    mentions: int = _number()
    """Another number after every change of which chunks mention which entities."""


class EntityCount(SQLModel, table=True):
    """How many chunks mention an entity; one that none mentions is absent."""

    __tablename__: ClassVar[str] = "entity_counts"
    case_id: str = reference("cases.id", primary_key=True)
    entity_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    """Without a reference: whoever adds to it at a commit must wait for nobody who deletes the entity."""
    chunks: int = Field(sa_column=Column(BigInteger, nullable=False))


class TotalChange(SQLModel, table=True):
    """What a transaction under way has changed of the totals; unlogged, empty of what is committed."""

    __tablename__: ClassVar[str] = "total_changes"
    __table_args__ = (Index("total_changes_xact", "xact"), {"prefixes": ["UNLOGGED"]})
    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    xact: int = Field(sa_column=Column(BigInteger, nullable=False))
    case_id: str
    entity_id: int = _number()
    """Of the entity whose chunks these are; 0: of the case."""
    chunks: int = _number()
    indexed: int = _number()
    words: int = _number()
    named: bool = False
    """Something changed that `CaseTotal.names` tells of."""
    gone: bool = False
    """The entity was deleted."""


class OpenTotal(SQLModel, table=True):
    """A transaction under way that has noted changes: adding them is put off until it commits."""

    __tablename__: ClassVar[str] = "open_totals"
    __table_args__: ClassVar[dict[str, object]] = {"prefixes": ["UNLOGGED"]}
    xact: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
