"""Tables of evidence: files, and the passages and terms in them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from storage.schema_columns import created, node_id, reference

DIMENSIONS = 384
"""Of a chunk's vector."""


class Evidence(SQLModel, table=True):
    """One file in one case. `text` is the whole extracted text; positions count its characters."""

    __tablename__: ClassVar[str] = "evidence"
    __table_args__ = (
        UniqueConstraint("case_id", "sha256"),
        Index("evidence_hidden", "case_id", postgresql_where=text("hidden_at IS NOT NULL")),
        Index("evidence_upload", "upload"),
    )
    id: int | None = node_id()
    case_id: str = reference("cases.id", index=True)
    parent_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("evidence.id", ondelete="SET NULL"), index=True)
    )
    upload: str = ""
    """Id of the upload machine that brought it."""
    filename: str
    title: str
    sha256: str
    bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    media_type: str
    meta: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    """Mail headers, PDF document facts; JSON."""
    text: str = Field(default="", sa_column=Column(Text, nullable=False))
    pages: list[list[int]] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    """`[start, end]` of each page in `text`; empty where the source has no pages."""
    summary: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    """Sentences of the source: `{text, start, end, page}`."""
    tags: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    tag_confidence: dict[str, float] = Field(
        default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default="{}")
    )
    """How sure the newest run was of each tag that it found, 0 to 1."""
    tagger: int = Field(default=0, sa_column=Column(SmallInteger, nullable=False, server_default="0"))
    """Version of the tagger of the newest run; 0 before there were versions."""
    edited: dict[str, int] = Field(
        default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default="{}")
    )
    """Part → version of the edit that `title`, `summary` or `tags` shows; other parts are a run's."""
    uploaded_by: str = ""
    created_at: datetime = created()
    hidden_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    """Since when it is out of every search: removed, or found in nothing but what is; see `storage.sight`."""
    removed_at: datetime | None = Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=True)
    )
    """Since when it waits to be deleted by a removal of its own; NULL where it does not."""


class Chunk(SQLModel, table=True):
    """A passage: characters `start`..`end` of its evidence's text, on `page` (0: none)."""

    __tablename__: ClassVar[str] = "chunks"
    __table_args__ = (
        UniqueConstraint("evidence_id", "ordinal"),
        # With what tells hidden ones, and where each stands: rows are wide, and a page has few of them.
        Index("chunks_case", "case_id", "id", postgresql_include=["evidence_id", "ordinal"]),
        Index(
            "chunks_vector",
            "vector",
            postgresql_using="hnsw",
            postgresql_ops={"vector": "halfvec_cosine_ops"},
        ),
    )
    id: int | None = node_id()
    case_id: str = reference("cases.id")
    evidence_id: int = reference("evidence.id", kind=BigInteger)
    ordinal: int
    page: int = 0
    start: int
    end: int
    boxes: list[list[float]] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    """`[x0, y0, x1, y1]` of each line on `page`, in PDF points, origin top left."""
    text: str = Field(sa_column=Column(Text, nullable=False))
    vector: Any = Field(default=None, sa_column=Column(HALFVEC(DIMENSIONS), nullable=True))


class ChunkLength(SQLModel, table=True):
    """How many indexed terms a chunk has; a chunk that has none, or none yet, is absent.

    Apart from the chunks: their rows are wide, and each change of one puts its vector anew into the index.
    """

    __tablename__: ClassVar[str] = "chunk_lengths"
    __table_args__ = (Index("chunk_lengths_case", "case_id", "chunk_id", postgresql_include=["words"]),)
    chunk_id: int = reference("chunks.id", primary_key=True, kind=BigInteger)
    case_id: str = reference("cases.id")
    words: int


class Posting(SQLModel, table=True):
    """Term `term` occurs `count` times in a chunk that has `length` indexed terms."""

    __tablename__: ClassVar[str] = "postings"
    __table_args__ = (
        # The index holds all of it: the postings of one term lie scattered over the table.
        PrimaryKeyConstraint("case_id", "term", "chunk_id", postgresql_include=["count", "length"]),
        Index("postings_chunk", "chunk_id"),
    )
    case_id: str = reference("cases.id", primary_key=True)
    term: str = Field(primary_key=True)
    chunk_id: int = reference("chunks.id", primary_key=True, kind=BigInteger)
    count: int = Field(sa_column=Column(SmallInteger, nullable=False))
    length: int


class Similarity(SQLModel, table=True):
    """Two chunks of one case whose vectors are near; `source` < `target`, weight = cosine."""

    __tablename__: ClassVar[str] = "similarities"
    case_id: str = reference("cases.id", index=True)
    source: int = reference("chunks.id", primary_key=True, kind=BigInteger)
    target: int = reference("chunks.id", primary_key=True, index=True, kind=BigInteger)
    weight: float
