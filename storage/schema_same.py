"""The table of what people said about two names of a case: the same, different, or who knows."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

from storage.schema_columns import created, reference


class SameAs(SQLModel, table=True):
    """A verdict on an entity and either another entity or a person of interest.

    Where `verdict` is `same` the two are one node of the graph, and the row is the edge between them.
    """

    __tablename__: ClassVar[str] = "same_as"
    __table_args__ = (
        CheckConstraint("(other IS NULL) <> (poi IS NULL)", name="same_as_one_side"),
        CheckConstraint("verdict IN ('same', 'unsure', 'different')", name="same_as_verdict"),
        CheckConstraint("entity < other", name="same_as_once"),
        UniqueConstraint("entity", "other"),
        UniqueConstraint("entity", "poi"),
        Index("same_as_other", "other"),
        Index("same_as_poi", "poi"),
    )
    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    case_id: str = reference("cases.id", index=True)
    entity: int = reference("entities.id", kind=BigInteger)
    other: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("entities.id", ondelete="CASCADE"))
    )
    poi: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("pois.id", ondelete="CASCADE"))
    )
    verdict: str
    reasons: list[float] = Field(default_factory=list, sa_column=Column(ARRAY(Float), nullable=False))
    """How strongly each kind of reason spoke for it when it was judged: what is learnt from."""
    user_id: str
    status: str = ""
    """The entity's status before it became the person of interest."""
    alias: str = ""
    """The other name that the person of interest got by this."""
    at: datetime = created()
