"""A server or worker of an imagined release: which chart of parcels it has, TEST_RELEASE says.

`first` and `second` have one version each; `other` has the second without a migration.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager

from handlers.job import Handlers, Job
from server.worker import WorkerSetup
from tests.machines.imagined import (
    FirstParcel,
    Loaded,
    LoadParcel,
    SecondParcel,
    Stamped,
    StampPapers,
    release,
)
from tests.server import runtime_bindings, runtime_server

_CHARTS = {"first": FirstParcel, "second": SecondParcel, "other": SecondParcel}


@asynccontextmanager
async def bindings(setup: WorkerSetup) -> AsyncIterator[Handlers]:
    """The handlers of parcels and of the runtime's tests."""

    async def load(effect: LoadParcel, job: Job) -> Loaded:
        await setup.redis.rpush("test:loaded", job.id)
        return Loaded(effect=job.id, weight=len(effect.address))

    async def stamp(effect: StampPapers, job: Job) -> Stamped:
        await setup.redis.rpush("test:stamped", job.id)
        return Stamped(effect=job.id)

    with released():
        async with runtime_bindings.bindings(setup) as others:
            yield {**others, LoadParcel: load, StampPapers: stamp}


def released() -> AbstractContextManager[None]:
    """The release that the environment names."""
    name = os.environ["TEST_RELEASE"]
    return release(_CHARTS[name], migrating=name == "second")


if __name__ == "__main__":
    with released():
        asyncio.run(runtime_server.main("tests.server.runtime_release:bindings"))
