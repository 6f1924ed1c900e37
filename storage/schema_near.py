"""Tables by which evidence that is nearly the same is found and linked."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, LargeBinary
from sqlmodel import Field, SQLModel

from storage.schema_columns import reference


class TextSignature(SQLModel, table=True):
    """What the text of evidence looks like, in short."""

    __tablename__: ClassVar[str] = "text_signatures"
    evidence_id: int = reference("evidence.id", primary_key=True, kind=BigInteger)
    case_id: str = reference("cases.id", index=True)
    runs: int = Field(sa_column=Column(Integer, nullable=False))
    """How many different runs of words it holds."""
    signature: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """Least hashes, uint32, little-endian."""


class TextBand(SQLModel, table=True):
    """A key of one band of a text's signature, of its case alone: texts that share one are compared.

    Not an array with an index of its own in `text_signatures`: PostgreSQL expects so many rows of an
    overlap of arrays that it reads them all.
    """

    __tablename__: ClassVar[str] = "text_bands"
    band: int = Field(sa_column=Column(BigInteger, primary_key=True))
    evidence_id: int = reference("evidence.id", primary_key=True, index=True, kind=BigInteger)


class PictureHash(SQLModel, table=True):
    """What a picture looks like, in 64 bits."""

    __tablename__: ClassVar[str] = "picture_hashes"
    evidence_id: int = reference("evidence.id", primary_key=True, kind=BigInteger)
    case_id: str = reference("cases.id", index=True)
    hash: int = Field(sa_column=Column(BigInteger, nullable=False))


class NearDuplicate(SQLModel, table=True):
    """Evidence `a` and `b`, a < b, of one case are nearly the same."""

    __tablename__: ClassVar[str] = "near_duplicates"
    __table_args__ = (CheckConstraint("a < b", name="near_duplicates_once"),)
    case_id: str = reference("cases.id", index=True)
    a: int = reference("evidence.id", primary_key=True, kind=BigInteger)
    b: int = reference("evidence.id", primary_key=True, index=True, kind=BigInteger)
    kind: str = Field(primary_key=True)
    """text, picture"""
    score: float
    """Text: the share of all their runs of words that they have in common; picture: of equal bits."""
    contained: float
    """Text: the share of the shorter one's runs that stand in the other; picture: as `score`."""
    exact: bool = True
    """False where the texts were too long to be compared and their signatures were."""
