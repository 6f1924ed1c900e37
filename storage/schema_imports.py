"""Tables of folders: what is imported, each file of it, and how many are in which state."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from storage.schema_columns import created, reference


class Import(SQLModel, table=True):
    """A folder that is brought into a case; `id` is its machine's."""

    __tablename__: ClassVar[str] = "imports"
    id: str = Field(primary_key=True)
    case_id: str = reference("cases.id", index=True)
    owner: str
    title: str
    topic: str = Field(unique=True)
    """Of its uploads."""
    version: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    """Rises with every change of its files, by a trigger."""
    told: int = Field(default=-1, sa_column=Column(BigInteger, nullable=False, server_default="-1"))
    """The version that its machine was told last."""
    over: bool = Field(default=False)
    """Its machine has come to rest and knows the counts."""
    last_arrival: datetime | None = Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=True)
    )
    created_at: datetime = created()


class ImportFile(SQLModel, table=True):
    """One file of an import, listed or found inside another."""

    __tablename__: ClassVar[str] = "import_files"
    __table_args__ = (
        UniqueConstraint("import_id", "path_key"),
        Index("import_files_state", "import_id", "state", "id"),
        Index("import_files_machine", "machine", unique=True, postgresql_where=text("machine <> ''")),
        Index("import_files_received", "sha256", postgresql_where=text("state = 'received'")),
    )
    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    import_id: str = reference("imports.id")
    path: str = Field(sa_column=Column(Text, nullable=False))
    path_key: str
    """Hex SHA-256 of the path, since paths can be longer than an index takes; a machine's id where found."""
    bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    modified: float = 0.0
    """Unix seconds; 0 where unknown."""
    kind: str
    """By name, one of a few dozen: what time is estimated by."""
    found: bool = False
    """Not listed, but found inside another file."""
    sha256: str = ""
    state: str
    """See `machines.import_files.FileState`."""
    machine: str = ""
    attempt: int = 1
    """How many machines it has had, if it needed more than one."""
    revision: int = 0
    """Of the machine when it told the state."""
    machine_at: float = 0.0
    evidence: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default="0"))
    reason: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    pages: int = 0
    busy_s: float = 0.0
    retryable: bool = False
    asker: str = ""
    """Who asked to try again or to end it; empty once its machine has heard."""
    changed_at: datetime = created()


class ImportCount(SQLModel, table=True):
    """How many files of an import are in a state, by kind, with sums; kept by triggers alone."""

    __tablename__: ClassVar[str] = "import_counts"
    import_id: str = reference("imports.id", primary_key=True)
    state: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    files: int = Field(sa_column=Column(BigInteger, nullable=False))
    found: int = Field(sa_column=Column(BigInteger, nullable=False))
    bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    pages: int = Field(sa_column=Column(BigInteger, nullable=False))
    busy_s: float
    busy_s2: float
    """Sum of squares."""
