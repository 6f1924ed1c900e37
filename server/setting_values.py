"""What values of settings must look like; a check returns the value as it is used, or raises ValueError."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from handlers.sources import sources_in
from server.webhooks_hosts import patterns

_HOST = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)
_SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})


def redis_url(value: str) -> str:
    """Of one server or of a server of a cluster."""
    parts = urlsplit(value)
    if parts.scheme not in ("redis", "rediss", "unix") or not (parts.hostname or parts.path):
        raise ValueError
    return value


def database_url(value: str) -> str:
    """The URL as SQLAlchemy's asyncpg dialect wants it, `sslmode` given by asyncpg's name for it."""
    parts = urlsplit(value)
    if parts.scheme not in ("postgres", "postgresql", "postgresql+asyncpg") or not parts.path.strip("/"):
        raise ValueError
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if (mode := query.pop("sslmode", None)) is not None:
        if mode not in _SSL_MODES:
            raise ValueError
        query["ssl"] = mode
    return urlunsplit(
        ("postgresql+asyncpg", parts.netloc or "", parts.path, urlencode(query, quote_via=quote), "")
    )


def origin(value: str) -> str:
    """Scheme, host and port, in small letters."""
    parts = urlsplit(value.rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise ValueError
    return value.rstrip("/").lower()


def http_host(value: str) -> str:
    """Of a service that is asked by HTTP; the scheme may be left out."""
    parts = urlsplit(value if "://" in value else f"http://{value}")
    # It is shown on the status page and in reasons, so it must not hold a password.
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError
    return value


def local_hosts(value: str) -> str:
    """Names or addresses, each alone."""
    for one in value.split(","):
        name = one.strip()
        if not _HOST.fullmatch(name) and not _is_address(name):
            raise ValueError
    return value


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def model_url(value: str) -> str:
    """Of a server with OpenAI's interface, up to the path that all its requests share."""
    parts = urlsplit(value)
    wrong = not parts.hostname or "@" in parts.netloc or parts.query
    if parts.scheme not in ("http", "https") or wrong:
        raise ValueError
    return value.rstrip("/")


def neo4j_uri(value: str) -> str:
    """Of a Neo4j server, or of one of a cluster."""
    parts = urlsplit(value)
    schemes = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")
    # It is shown on the status page and in reasons, so it must not hold a password.
    if parts.scheme not in schemes or not parts.hostname or "@" in parts.netloc or parts.path.strip("/"):
        raise ValueError
    return value


def otlp_endpoint(value: str) -> str:
    """Of a collector of traces."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
        raise ValueError
    return value.rstrip("/")


def s3_endpoint(value: str) -> str:
    """Of an S3 store."""
    parts = urlsplit(value.rstrip("/"))
    wrong = not parts.hostname or "@" in parts.netloc or parts.path or parts.query
    if parts.scheme not in ("http", "https") or wrong:
        raise ValueError
    return value.rstrip("/")


def webhook_hosts(value: str) -> str:
    """Patterns of hosts."""
    # Checked here, since what it allows is decided by whoever runs the instance.
    patterns(value)
    return value


def sources(value: str) -> str:
    """Addresses of pages, feeds and searches."""
    sources_in(value)
    return value


def tessdata(value: Path) -> Path:
    """Of a folder with data of Tesseract."""
    folder = value.expanduser().absolute()
    if not any(folder.glob("*.traineddata")):
        raise ValueError
    return folder


def whisper(value: Path) -> Path:
    """Of a folder with a model of faster-whisper."""
    folder = value.expanduser().absolute()
    if not (folder / "model.bin").is_file():
        raise ValueError
    return folder
