"""The canonical tables in PostgreSQL; everything else can be rebuilt from them.

Chunks, entities, POIs and evidence draw their ids from one sequence, `node_id`, so that an id
names a node of the graph whatever its kind.
"""

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
    Integer,
    LargeBinary,
    Sequence,
    SmallInteger,
    Text,
    UniqueConstraint,
    column,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

DIMENSIONS = 384
"""Of a chunk's vector."""

NODE_ID = Sequence("node_id", metadata=SQLModel.metadata)


def _node_id() -> Any:
    return Field(
        default=None,
        sa_column=Column(BigInteger, NODE_ID, primary_key=True, server_default=NODE_ID.next_value()),
    )


def _ref(target: str, *, primary_key: bool = False, index: bool = False, kind: Any = Text) -> Any:
    return Field(
        sa_column=Column(
            kind, ForeignKey(target, ondelete="CASCADE"), primary_key=primary_key, index=index, nullable=False
        )
    )


def _now() -> Any:
    return Field(
        default=None, sa_column=Column(DateTime(timezone=True), server_default=func.now(), nullable=False)
    )


class User(SQLModel, table=True):
    """A person who can log in; the first one administers the instance."""

    __tablename__: ClassVar[str] = "users"
    id: str = Field(primary_key=True)
    email: str = Field(sa_column=Column(Text, unique=True, nullable=False))
    name: str
    password_hash: str
    is_admin: bool = False
    created_at: datetime = _now()


class ApiToken(SQLModel, table=True):
    """A secret by which a program acts for a person, within `scopes` and, if given, `cases`."""

    __tablename__: ClassVar[str] = "api_tokens"
    id: str = Field(primary_key=True)
    user_id: str = _ref("users.id", index=True)
    name: str
    secret_hash: str
    """Hex SHA-256 of the whole secret."""
    scopes: list[str] = Field(sa_column=Column(JSONB, nullable=False))
    """Of read, write, admin."""
    cases: list[str] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True), nullable=True))
    """Ids of the only cases that it reaches; null for all of its person's."""
    created_at: datetime = _now()
    expires_at: datetime | None = Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=True)
    )
    used_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))


class RequestKey(SQLModel, table=True):
    """What a repeatable request has made, by the key that its client chose."""

    __tablename__: ClassVar[str] = "request_keys"
    user_id: str = _ref("users.id", primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    answer: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    at: datetime = _now()


class Case(SQLModel, table=True):
    """A case; its state and title live in the machine `case` of topic `case:<id>`."""

    __tablename__: ClassVar[str] = "cases"
    id: str = Field(primary_key=True)
    title: str
    description: str = ""
    machine: str
    created_at: datetime = _now()


class Member(SQLModel, table=True):
    """A user's role in a case: viewer, editor or owner."""

    __tablename__: ClassVar[str] = "members"
    case_id: str = _ref("cases.id", primary_key=True)
    user_id: str = _ref("users.id", primary_key=True, index=True)
    role: str


class Evidence(SQLModel, table=True):
    """One file in one case. `text` is the whole extracted text; positions count its characters."""

    __tablename__: ClassVar[str] = "evidence"
    __table_args__ = (UniqueConstraint("case_id", "sha256"),)
    id: int | None = _node_id()
    case_id: str = _ref("cases.id", index=True)
    parent_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("evidence.id", ondelete="CASCADE"), index=True)
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
    uploaded_by: str = ""
    created_at: datetime = _now()


class Chunk(SQLModel, table=True):
    """A passage: characters `start`..`end` of its evidence's text, on `page` (0: none)."""

    __tablename__: ClassVar[str] = "chunks"
    __table_args__ = (
        UniqueConstraint("evidence_id", "ordinal"),
        Index(
            "chunks_vector",
            "vector",
            postgresql_using="hnsw",
            postgresql_ops={"vector": "halfvec_cosine_ops"},
        ),
    )
    id: int | None = _node_id()
    case_id: str = _ref("cases.id", index=True)
    evidence_id: int = _ref("evidence.id", kind=BigInteger)
    ordinal: int
    page: int = 0
    start: int
    end: int
    boxes: list[list[float]] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    """`[x0, y0, x1, y1]` of each line on `page`, in PDF points, origin top left."""
    text: str = Field(sa_column=Column(Text, nullable=False))
    words: int = 0
    """Number of indexed terms, for BM25; 0 until indexed."""
    vector: Any = Field(default=None, sa_column=Column(HALFVEC(DIMENSIONS), nullable=True))


class Posting(SQLModel, table=True):
    """Term `term` occurs `count` times in a chunk."""

    __tablename__: ClassVar[str] = "postings"
    __table_args__ = (Index("postings_chunk", "chunk_id"),)
    case_id: str = _ref("cases.id", primary_key=True)
    term: str = Field(primary_key=True)
    chunk_id: int = _ref("chunks.id", primary_key=True, kind=BigInteger)
    count: int = Field(sa_column=Column(SmallInteger, nullable=False))


class Poi(SQLModel, table=True):
    """A person of interest, entered by a person."""

    __tablename__: ClassVar[str] = "pois"
    id: int | None = _node_id()
    case_id: str = _ref("cases.id", index=True)
    name: str
    aliases: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    note: str = ""
    created_at: datetime = _now()


class Entity(SQLModel, table=True):
    """Something named in the evidence; `suggested` until a person accepts or rejects it.

    Kinds: poi, person, organisation, email, phone, date, money, citation. `key` is the
    normalised name that makes two mentions the same entity of a case.
    """

    __tablename__: ClassVar[str] = "entities"
    __table_args__ = (UniqueConstraint("case_id", "kind", "key"),)
    id: int | None = _node_id()
    case_id: str = _ref("cases.id", index=True)
    kind: str
    key: str
    name: str
    status: str = "suggested"
    poi_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("pois.id", ondelete="SET NULL"), index=True)
    )


class Mention(SQLModel, table=True):
    """An entity stands at characters `start`..`end` of the evidence's text, inside a chunk."""

    __tablename__: ClassVar[str] = "mentions"
    chunk_id: int = _ref("chunks.id", primary_key=True, kind=BigInteger)
    start: int = Field(sa_column=Column(Integer, primary_key=True))
    entity_id: int = _ref("entities.id", primary_key=True, index=True, kind=BigInteger)
    end: int


class Similarity(SQLModel, table=True):
    """Two chunks of one case whose vectors are near; `source` < `target`, weight = cosine."""

    __tablename__: ClassVar[str] = "similarities"
    case_id: str = _ref("cases.id", index=True)
    source: int = _ref("chunks.id", primary_key=True, kind=BigInteger)
    target: int = _ref("chunks.id", primary_key=True, index=True, kind=BigInteger)
    weight: float


class Vote(SQLModel, table=True):
    """The standing vote of one user on one node of a case; taking it back deletes the row."""

    __tablename__: ClassVar[str] = "votes"
    case_id: str = _ref("cases.id", primary_key=True)
    user_id: str = _ref("users.id", primary_key=True)
    node: int = Field(sa_column=Column(BigInteger, primary_key=True))
    value: int
    query: str = ""
    at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class Attention(SQLModel, table=True):
    """Append-only record of what was voted, opened and read: the material of later learning."""

    __tablename__: ClassVar[str] = "attention"
    __table_args__ = (UniqueConstraint("case_id", "effect"),)
    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    case_id: str = _ref("cases.id", index=True)
    user_id: str
    what: str
    """vote, view, read"""
    node: int = Field(sa_column=Column(BigInteger, nullable=False))
    value: float = 0.0
    query: str = ""
    effect: str
    """Effect or request id that caused it, so that a repeat records nothing twice."""
    at: datetime = _now()


class Journal(SQLModel, table=True):
    """The custody chain of one topic: each row holds the hash of its content and of the row before."""

    __tablename__: ClassVar[str] = "journal"
    __table_args__ = (
        UniqueConstraint("topic", "event_key"),
        Index(
            "journal_machine",
            "topic",
            func.split_part(column("event_key"), ":", 1),
            "seq",
            postgresql_where=text("what = 'transition'"),
        ),
    )
    topic: str = Field(primary_key=True)
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True))
    event_key: str
    """What makes the row unique: `machine:revision` of a transition, or an access id."""
    what: str
    """transition or access"""
    content: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    """Canonical JSON (sorted keys, UTF-8)."""
    previous: str
    """Hex SHA-256 of the row before; 64 zeros for the first."""
    hash: str
    """Hex SHA-256 of `previous` bytes followed by `content`."""
    at: datetime = _now()


class ArchivedMachine(SQLModel, table=True):
    """Latest known snapshot of a machine, so that Redis may forget the finished ones.

    What machines are searched by stands beside the snapshot, which may be too large to be read for it.
    """

    __tablename__: ClassVar[str] = "archived_machines"
    __table_args__ = (
        Index("archived_topic", "topic", "updated_at"),
        Index("archived_kind", "kind", "updated_at"),
        Index("archived_busy", "busy_since", postgresql_where=text("busy_since IS NOT NULL")),
    )
    id: str = Field(primary_key=True)
    topic: str
    kind: str
    revision: int
    snapshot: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    terminated: bool
    updated_at: float
    states: list[str] = Field(
        default_factory=list, sa_column=Column(ARRAY(Text), nullable=False, server_default="{}")
    )
    """The configuration."""
    title: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    """What people call it: its file, question or title."""
    spawned_by: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    """Actor of its first entry: a user's id, or `system`."""
    busy_since: float | None = None
    """Unix seconds since when it waits for a stage of work; NULL if for none."""


class Marker(SQLModel, table=True):
    """A number to compare with: how far Redis had come (`redis`), how many shards there are (`shards`)."""

    __tablename__: ClassVar[str] = "markers"
    name: str = Field(primary_key=True)
    counter: int = Field(sa_column=Column(BigInteger, nullable=False))
    era: str


class Webhook(SQLModel, table=True):
    """Where a topic's entries are delivered, how far that has come, and which server does it."""

    __tablename__: ClassVar[str] = "webhooks"
    id: str = Field(primary_key=True)
    topic: str = Field(sa_column=Column(Text, index=True, nullable=False))
    user_id: str = _ref("users.id", index=True)
    """Who made it: it lasts as long as their right."""
    url: str
    kinds: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    events: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    """Only entries of these kinds and events; empty means all."""
    batch: int = 1
    secret: str
    previous_secret: str = ""
    previous_until: datetime | None = Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=True)
    )
    paused: str = ""
    """Why nothing is delivered; empty while it is."""
    epoch: str
    position: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Offset of the last entry that needs no delivery any more."""
    tries: int = 0
    """Failed ones of what comes next."""
    failing_since: datetime | None = Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=True)
    )
    next_try_at: datetime | None = Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=True)
    )
    holder: str = ""
    term: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    """Grows whenever the holder may have changed, so that a former one cannot write."""
    lease_until: datetime | None = Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=True)
    )
    created_at: datetime = _now()


class WebhookAttempt(SQLModel, table=True):
    """One request to a webhook's address; the newest of each are kept."""

    __tablename__: ClassVar[str] = "webhook_attempts"
    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    webhook_id: str = _ref("webhooks.id", index=True)
    event_id: str
    events: int = 1
    status: int = 0
    """HTTP status; 0 where there was no answer."""
    duration_ms: float = 0.0
    error: str = ""
    at: datetime = _now()


class WebhookLetter(SQLModel, table=True):
    """What could not be delivered, kept until somebody sends it again or drops it."""

    __tablename__: ClassVar[str] = "webhook_letters"
    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    webhook_id: str = _ref("webhooks.id", index=True)
    event_id: str
    content_type: str
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    reason: str
    tries: int
    at: datetime = _now()
