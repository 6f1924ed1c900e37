"""The one place that chooses where the bytes of evidence are kept, by the settings."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.assemble_s3 import after, assemble_from_s3, beside, drop_multipart
from handlers.job import Handlers
from handlers.page_pictures import DRAW_S, PagePictures, clearing
from handlers.rendering.renderers import RENDERERS
from handlers.sandbox import Sandbox
from machines.upload_events import AssembleUpload, DropParts
from server.engine import Engine
from server.services import ServiceHealth
from server.settings import Settings
from storage.arrivals import Arrivals
from storage.blobs import Blobs, BlobsUnavailable
from storage.blobs_disk import DiskBlobs
from storage.file_cache import FileCache

if TYPE_CHECKING:
    from storage.parts_s3 import Multiparts


def blobs_folder(settings: Settings) -> Path:
    """Where contents are kept that no S3 store keeps."""
    return settings.data_dir / "blobs"


def blobs_of(settings: Settings) -> Blobs:
    """The store of contents: the configured one, or the folder where none is. Asks it nothing."""
    if settings.s3_endpoint is None:
        return DiskBlobs(blobs_folder(settings))
    # Half a second of imports that an instance without S3 need not wait for.
    from storage.blobs_s3 import S3Blobs
    from storage.s3_bucket import S3Bucket

    limit_bytes = settings.cache_bytes - pictures_bytes(settings)
    cache = FileCache(settings.data_dir / "cache" / "blobs", limit_bytes)
    return S3Blobs(S3Bucket(settings.s3_place), cache)


def multiparts_of(blobs: Blobs, database: AsyncEngine) -> Multiparts | None:
    """The uploads that clients send straight to the store; None where contents are in a folder."""
    if isinstance(blobs, DiskBlobs):
        return None
    from storage.blobs_s3 import S3Blobs
    from storage.parts_s3 import Multiparts

    assert isinstance(blobs, S3Blobs)
    return Multiparts(blobs.bucket, database)


def arrivals_of(settings: Settings, blobs: Blobs, database: AsyncEngine) -> Arrivals:
    """Which contents are needed; with the last one that needs a content its pictures go, too."""
    return Arrivals(database, blobs, made_from=[clearing(_pictures_cache(settings))])


def with_s3(
    handlers: Handlers, blobs: Blobs, database: AsyncEngine, engine: Engine, arrivals: Arrivals
) -> Handlers:
    """Handlers that also take what clients have sent straight to the store; the same where there is none."""
    multiparts = multiparts_of(blobs, database)
    if multiparts is None:
        return handlers
    from storage.blobs_s3 import S3Blobs

    assert isinstance(blobs, S3Blobs)
    assemble = partial(assemble_from_s3, multiparts=multiparts, blobs=blobs, arrivals=arrivals)
    drop = partial(drop_multipart, multiparts=multiparts, load=engine.load)
    return handlers | {
        AssembleUpload: beside(handlers.get(AssembleUpload), assemble),
        DropParts: after(handlers.get(DropParts), drop),
    }


def pictures_of(settings: Settings, blobs: Blobs) -> PagePictures:
    """What draws pages, and where it keeps them; its child is started for the first one."""
    cache = _pictures_cache(settings)
    sandbox = Sandbox(
        memory_bytes=settings.parse_memory_bytes,
        time_s=DRAW_S,
        folder=settings.data_dir / "scratch",
        readers=RENDERERS,
    )
    return PagePictures(blobs, cache, sandbox)


def _pictures_cache(settings: Settings) -> FileCache:
    return FileCache(settings.data_dir / "cache" / "pictures", pictures_bytes(settings))


def pictures_bytes(settings: Settings) -> int:
    """The share of the cache that pictures of pages have."""
    return settings.cache_bytes // 8


async def blobs_health(settings: Settings) -> ServiceHealth:
    """Whether contents can be stored and read now, as a service beside Redis and PostgreSQL."""
    in_folder = settings.s3_endpoint is None
    product = "a folder" if in_folder else "S3"
    blobs = await asyncio.to_thread(blobs_of, settings)
    asked = time.perf_counter()
    try:
        await asyncio.to_thread(blobs.check)
    except BlobsUnavailable as error:
        return ServiceHealth("blobs", in_folder, blobs.where(), problem=str(error))
    latency_ms = (time.perf_counter() - asked) * 1e3
    advice = None
    if not in_folder and await asyncio.to_thread(_has_contents, blobs_folder(settings)):
        advice = (
            f"contents of an earlier time lie in {blobs_folder(settings)}, where nobody looks for them: "
            "bring them here with `casewire blobs move`"
        )
    return ServiceHealth("blobs", in_folder, blobs.where(), product, latency_ms, None, None, advice)


def _has_contents(folder: Path) -> bool:
    return folder.is_dir() and any(DiskBlobs(folder).addresses())
