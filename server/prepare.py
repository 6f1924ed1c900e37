"""What must be true of the stores before anything works on them."""

from __future__ import annotations

import logging

from alembic.util import CommandError
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from server.beside import follower_names, followers_of
from server.blob_store import blobs_health
from server.model_adapters import check_embedder
from server.services import Services, ServicesError
from server.settings import Settings
from storage.database import create_engine
from storage.instance import OtherInstance, claim_redis, instance_of
from storage.machine_store import Unavailable
from storage.marks import Marks
from storage.migrate import upgrade
from storage.redis_client import connect
from storage.relayout import relayout
from storage.shards import ShardsChanged, hold_shards

logger = logging.getLogger(__name__)


async def prepare(settings: Settings, services: Services) -> None:
    """Bring the stores to this release, compare shards and embedder, and mark each Redis as its own.

    Raises:
        ServicesError: They cannot be brought there, hold data of other shards or another
            embedder's, a Redis is another instance's, or contents cannot be stored.
    """
    blobs = await blobs_health(settings)
    if blobs.problem:
        raise ServicesError(f"Evidence cannot be stored: {blobs.problem}.")
    try:
        await upgrade(services.database_url)
    except (SQLAlchemyError, CommandError) as error:
        raise ServicesError(
            f"The database cannot be brought to this release ({str(error).splitlines()[0]}): "
            "use the release that wrote it or a newer one, and check that this user may create tables."
        ) from error
    await check_shards(settings, services)
    await check_embedder(settings, services.database_url)
    await _claim(services)
    await _settle_followers(settings, services)
    try:
        redis = await connect(services.redis_url)
        try:
            await relayout(redis, shards=settings.shards)
        finally:
            await redis.aclose()
    except (Unavailable, RedisError) as error:
        raise ServicesError(
            f"The machines in Redis cannot be brought to this release ({error}): start again when Redis "
            "answers; what has been done need not be done again."
        ) from error


async def _claim(services: Services) -> None:
    """Mark every Redis as this instance's.

    Raises:
        ServicesError: One is another's.
    """
    database = create_engine(services.database_url, pool_size=1)
    try:
        instance = await instance_of(database)
    finally:
        await database.dispose()
    for setting, url in (("REDIS_URL", services.redis_url), ("CASEWIRE_QUEUE_URL", services.queue_url)):
        redis = await connect(url)
        try:
            await claim_redis(redis, instance)
        except OtherInstance as error:
            raise ServicesError(
                f"The Redis of {setting} is used with another database than this one: give every instance "
                "a Redis of its own, or a database number of its own (such as …/1), or use the database "
                "that belongs to it."
            ) from error
        finally:
            await redis.aclose()


async def _settle_followers(settings: Settings, services: Services) -> None:
    """Have changes marked for the stores that the settings name, before there are any, and for no other."""
    database = create_engine(services.database_url, pool_size=1)
    try:
        marks = Marks(database)
        for name in await marks.keep_only(follower_names(settings)):
            logger.info(
                "A store beside PostgreSQL is not configured any more: it follows no longer.",
                extra={"action": "follower.dropped", "follower": name},
            )
        async with followers_of(settings, database) as followers:
            for follower in followers:
                await marks.register(follower)
    finally:
        await database.dispose()


async def check_shards(settings: Settings, services: Services) -> None:
    """Compare CASEWIRE_SHARDS with what the data was written with; the first start notes it.

    Raises:
        ServicesError: They differ.
    """
    database = create_engine(services.database_url, pool_size=1)
    try:
        await hold_shards(database, settings.shards)
    except ShardsChanged as error:
        raise ServicesError(
            f"CASEWIRE_SHARDS is {settings.shards}, but the data was written with {error.there}: "
            f"set it to {error.there}, or set CASEWIRE_DATA or DATABASE_URL to where there is no data yet."
        ) from error
    finally:
        await database.dispose()
