"""Which errors say that a store does not answer now, so that the same call may succeed later.

Redis, PostgreSQL and S3 that are killed, restarted or unreachable show in many ways, and their drivers
pass some of them on as they come.
"""

from __future__ import annotations

from asyncpg.exceptions import InternalClientError
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import TimeoutError as NoAnswer
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from storage.blobs import BlobsUnavailable
from storage.machine_store import Unavailable

_OUTAGES = (
    BlobsUnavailable,
    Unavailable,
    LostConnection,
    NoAnswer,
    OperationalError,
    InterfaceError,
    NoFreeConnection,
    ConnectionError,
)

_STATES = ("08", "57P01", "57P02", "57P03", "53300")
"""SQLSTATEs: connections that break (class 08), a server that stops, crashes or starts, and one
that has no connection left."""


def met_closed_transport(error: BaseException) -> bool:
    """Whether uvloop says, by an error of no class of its own, that the connection ended under a write."""
    return isinstance(error, RuntimeError) and "the handler is closed" in str(error)


def is_outage(error: BaseException) -> bool:
    """Whether `error` tells of a store that is away, and nothing of the call that met it."""
    if isinstance(error, _OUTAGES) or met_closed_transport(error):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None) or ""
    # asyncpg's own state is in disorder after its connection broke between two messages.
    return state.startswith(_STATES) or isinstance(
        getattr(error.orig, "__cause__", None), InternalClientError
    )
