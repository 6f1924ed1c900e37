"""The table of uploads whose parts go straight to an S3 store."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import BigInteger, Column
from sqlmodel import Field, SQLModel

from storage.schema_columns import created


class MultipartRecord(SQLModel, table=True):
    """One upload machine's file in parts; `sha256` is "" until its content has an address."""

    __tablename__: ClassVar[str] = "multiparts"
    machine: str = Field(primary_key=True)
    key: str
    upload: str
    """The store's id of the upload."""
    bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    part_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    sha256: str = ""
    created_at: datetime = created()
