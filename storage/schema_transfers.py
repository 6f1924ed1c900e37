"""Table of what is being uploaded: whose it is, how much, until when."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import BigInteger, Column, DateTime, Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from storage.schema_columns import created, reference


class TransferRecord(SQLModel, table=True):
    """Bytes on their way from one sender; see `storage.transfers.Transfer`."""

    __tablename__: ClassVar[str] = "transfers"
    __table_args__ = (Index("transfers_machine", "machine"), Index("transfers_expiry", "expires_at"))
    id: str = Field(primary_key=True)
    case_id: str = reference("cases.id", index=True)
    user_id: str = reference("users.id", index=True)
    topic: str
    machine: str
    kind: str
    state: str
    length: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    received: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    details: str = Field(default="", sa_column=Column(Text, nullable=False))
    fingerprint: str
    sha256: str
    pieces: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    whole: str
    stored: str
    created_at: datetime = created()
    taken_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
