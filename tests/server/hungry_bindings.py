"""A worker whose one handler needs memory that is not there until a test says so."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis import Redis

from handlers.job import Handlers
from machines.upload_events import VerifyUpload
from server.worker import WorkerSetup
from tests.server.runtime_bindings import bindings as fed_bindings

REFUSED = "test:refused"
"""Counts how often the job was not begun."""
ROOM = "test:room"
"""There is room once this exists."""

_MORE_THAN_THERE_IS_MB = 1 << 40


class _Counting(logging.Handler):
    def __init__(self, redis: Redis) -> None:
        super().__init__()
        self._redis = redis

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "action", "") == "job.no_room":
            self._redis.incr(REFUSED)


@asynccontextmanager
async def bindings(setup: WorkerSetup) -> AsyncIterator[Handlers]:
    """Those of `runtime_bindings`."""
    redis = Redis.from_url(setup.services.redis_url)
    logging.getLogger("server.room").addHandler(_Counting(redis))
    VerifyUpload.memory_mb = _MORE_THAN_THERE_IS_MB

    def wait_for_room() -> None:
        while not redis.exists(ROOM):
            time.sleep(0.05)
        VerifyUpload.memory_mb = 1

    threading.Thread(target=wait_for_room, daemon=True).start()
    async with fed_bindings(setup) as handlers:
        yield handlers
