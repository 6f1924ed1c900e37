"""Tables of Detective mode: what is being found, what was found, and what its user thinks of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import ARRAY, BigInteger, Column, DateTime, Float, Index, SmallInteger, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from storage.schema_columns import reference


def _texts() -> Any:
    return Field(default_factory=list, sa_column=Column(ARRAY(Text), nullable=False))


def _nodes() -> Any:
    return Field(default_factory=list, sa_column=Column(ARRAY(BigInteger), nullable=False))


class FindingDrafts(SQLModel, table=True):
    """What one stage of a search hands to the next: ids and numbers, no texts."""

    __tablename__: ClassVar[str] = "finding_drafts"
    machine: str = Field(primary_key=True)
    stage: str = Field(primary_key=True)
    user_id: str = reference("users.id", index=True)
    drafts: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))


class Finding(SQLModel, table=True):
    """A finding of one search, at `place` in its order. It rests on all of `cases`, `evidence`, `nodes`."""

    __tablename__: ClassVar[str] = "findings"
    __table_args__ = (
        Index("findings_cases", "cases", postgresql_using="gin"),
        Index("findings_evidence", "evidence", postgresql_using="gin"),
        Index("findings_nodes", "nodes", postgresql_using="gin"),
    )
    machine: str = Field(primary_key=True)
    place: int = Field(primary_key=True)
    user_id: str = reference("users.id", index=True)
    fingerprint: str
    kind: str
    explicit: bool
    score: float = Field(sa_column=Column(Float, nullable=False))
    confidence: float = Field(sa_column=Column(Float, nullable=False))
    cases: list[str] = _texts()
    evidence: list[int] = _nodes()
    nodes: list[int] = _nodes()
    """Entities, persons of interest and evidence on its path and among its sources."""
    body: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    """Sentence, path, sources; see `storage.findings`."""


class FindingVerdict(SQLModel, table=True):
    """What a user thinks of a finding, whichever search brings it: +1 accepted, −1 dismissed."""

    __tablename__: ClassVar[str] = "finding_verdicts"
    __table_args__ = (
        Index("finding_verdicts_cases", "cases", postgresql_using="gin"),
        Index("finding_verdicts_evidence", "evidence", postgresql_using="gin"),
    )
    user_id: str = reference("users.id", primary_key=True)
    fingerprint: str = Field(primary_key=True)
    value: int = Field(sa_column=Column(SmallInteger, nullable=False))
    cases: list[str] = _texts()
    evidence: list[int] = _nodes()
    nodes: list[int] = _nodes()
    given_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    """When the user said so; an older word that comes late changes nothing."""
