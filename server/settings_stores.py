"""The settings of the stores: where the machines, tables, files, vectors and edges of an instance are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, model_validator

from server import setting_values as values
from server.setting_fields import setting as _setting
from server.settings_models import ModelSettings
from storage.s3_place import S3Place


class StoreSettings(ModelSettings):
    """Redis, PostgreSQL, the data folder, S3, Qdrant and Neo4j."""

    redis_url: Annotated[str, AfterValidator(values.redis_url)] | None = _setting(
        "REDIS_URL",
        None,
        "Redis (6.2 or newer), one server or a cluster, for machines, sessions and caches. "
        "Unset: a private one is started.",
        "a Redis address such as redis://:password@host:6379/0, rediss://… or unix:///path?db=0",
    )
    queue_url: Annotated[str, AfterValidator(values.redis_url)] | None = _setting(
        "CASEWIRE_QUEUE_URL",
        None,
        "Redis for the work queues, always a single server. Unset: the one for machines.",
        "a Redis address such as redis://:password@host:6379/0, rediss://… or unix:///path?db=0",
    )
    database_url: Annotated[str, AfterValidator(values.database_url)] | None = _setting(
        "DATABASE_URL",
        None,
        "PostgreSQL with the extension `vector`. Unset: a private one is started.",
        "a PostgreSQL address such as postgresql://user:password@host:5432/casewire",
    )
    data: Path = _setting(
        "CASEWIRE_DATA",
        Path(".casewire"),
        "Folder of the evidence and of the private servers; one running server each.",
        "the path of a folder",
    )
    s3_endpoint: Annotated[str, AfterValidator(values.s3_endpoint)] | None = _setting(
        "S3_ENDPOINT",
        None,
        "S3 store (Amazon's, MinIO …) that holds the bytes of evidence. Unset: a folder of the data folder.",
        "an address such as https://s3.eu-central-1.amazonaws.com or http://localhost:9000, without a path",
    )
    s3_bucket: str | None = _setting(
        "S3_BUCKET",
        None,
        "Bucket at `S3_ENDPOINT`; this instance's alone.",
        "the name of a bucket: 3 to 63 small letters, digits, dots and hyphens",
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    )
    s3_access_key: str | None = _setting(
        "S3_ACCESS_KEY",
        None,
        "Key that may read, write, list and delete in the bucket.",
        "a key",
        min_length=1,
    )
    s3_secret_key: str | None = _setting(
        "S3_SECRET_KEY", None, "Secret of `S3_ACCESS_KEY`.", "a secret", min_length=1
    )
    s3_region: str = _setting(
        "S3_REGION", "us-east-1", "Region of the bucket.", "the name of a region", pattern=r"^[a-z0-9-]+$"
    )
    s3_public_endpoint: Annotated[str, AfterValidator(values.s3_endpoint)] | None = _setting(
        "S3_PUBLIC_ENDPOINT",
        None,
        "Address under which browsers reach the store, to which they then send files themselves; the bucket "
        "must allow that (CORS). Unset: files come through this server.",
        "an address such as https://files.example.org, without a path",
    )
    qdrant_url: Annotated[str, AfterValidator(values.http_host)] | None = _setting(
        "QDRANT_URL",
        None,
        "Qdrant server (1.16 or newer) that is searched by meaning; it follows PostgreSQL, which keeps every "
        "vector. Unset: PostgreSQL is searched.",
        "an address such as http://localhost:6333, without a user or a password",
    )
    qdrant_api_key: str | None = _setting(
        "QDRANT_API_KEY",
        None,
        "Key that `QDRANT_URL` asks for. Unset: none is sent.",
        "a key without a space",
        pattern=r"^[!-~]+$",
    )
    neo4j_uri: Annotated[str, AfterValidator(values.neo4j_uri)] | None = _setting(
        "NEO4J_URI",
        None,
        "Neo4j server (5.23 or newer, Community or Enterprise) in which the graph's edges are walked; it "
        "follows PostgreSQL, which keeps the graph. Unset: PostgreSQL walks them.",
        "an address such as neo4j://localhost:7687 or bolt+s://graph.example.org, without user or password",
    )
    neo4j_user: str = _setting("NEO4J_USER", "neo4j", "User of `NEO4J_URI`.", "a name", min_length=1)
    neo4j_password: str | None = _setting(
        "NEO4J_PASSWORD",
        None,
        "Password of `NEO4J_USER`. Unset: the server asks for none.",
        "a password",
        min_length=1,
    )
    neo4j_database: str | None = _setting(
        "NEO4J_DATABASE",
        None,
        "Database of `NEO4J_URI`; this instance's alone. Unset: the one that the server opens for the user.",
        "the name of a database, such as neo4j",
        pattern=r"^[A-Za-z][A-Za-z0-9.-]{2,62}$",
    )

    @model_validator(mode="after")
    def _a_store_is_named_as_a_whole(self) -> StoreSettings:
        needed = {
            "S3_ENDPOINT": self.s3_endpoint,
            "S3_BUCKET": self.s3_bucket,
            "S3_ACCESS_KEY": self.s3_access_key,
            "S3_SECRET_KEY": self.s3_secret_key,
        }
        missing = [name for name, value in needed.items() if value is None]
        if missing and (len(missing) < len(needed) or self.s3_public_endpoint):
            raise ValueError(
                f"For evidence in an S3 store set {' and '.join(missing)}, too; for evidence in the data "
                "folder unset S3_PUBLIC_ENDPOINT, S3_ENDPOINT, S3_BUCKET, S3_ACCESS_KEY and S3_SECRET_KEY."
            )
        return self

    @property
    def s3_place(self) -> S3Place:
        """The bucket of the settings; only where `s3_endpoint` is set."""
        return S3Place(
            endpoint=self.s3_endpoint or "",
            bucket=self.s3_bucket or "",
            access_key=self.s3_access_key or "",
            secret_key=self.s3_secret_key or "",
            region=self.s3_region,
            public_endpoint=self.s3_public_endpoint or "",
        )
