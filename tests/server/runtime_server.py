"""The background half of a server in a process of its own, to be killed: `python -m` this module."""

from __future__ import annotations

import asyncio
from functools import partial

from redis.asyncio import Redis

from handlers.notify import deliver_toast, notify
from machines.notification import DeliverToast, Notify
from server import supervisor
from server.blob_store import arrivals_of, blobs_of
from server.engine import Engine
from server.environment import load_settings
from server.runtime import Pace, runtime
from server.services import attached_services
from storage.database import create_engine
from storage.era import settle_era
from storage.machine_store_redis import RedisMachineStore
from tests.patience import PATIENCE_S

BINDINGS = "tests.server.runtime_bindings:bindings"


async def main(bindings: str = BINDINGS) -> None:
    supervisor.STOP_S = PATIENCE_S / 2  # so that a starved worker comes to give its job back
    settings = load_settings()
    services = attached_services(settings)
    redis = Redis.from_url(services.redis_url)
    database = create_engine(services.database_url)
    era = await settle_era(redis, database, shards=settings.shards)
    engine = Engine(RedisMachineStore(redis, shards=settings.shards, era=era), shards=settings.shards)
    inline = {
        Notify: partial(notify, spawn=engine.spawn),
        DeliverToast: partial(deliver_toast, publish=engine.publish, open_pages=lambda topic: 0),
    }
    pace = Pace(idle_s=1.0, sweep_after_s=1.5, sweep_every_s=0.5, grace_s=1.0)
    async with runtime(
        settings,
        services,
        engine=engine,
        redis=redis,
        database=database,
        inline=inline,
        arrivals=arrivals_of(settings, blobs_of(settings), database),
        bindings=bindings,
        pace=pace,
    ):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
