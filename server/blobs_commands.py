"""All contents gone through: hashed by `casewire blobs verify`, carried by `casewire blobs move`."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from server.blob_store import blobs_folder, blobs_of
from server.services import ServicesError, attached_services
from server.settings import Settings
from storage.blob_uses import Use, blob_uses
from storage.blobs import BlobDamaged, BlobMissing, Blobs, BlobsUnavailable
from storage.blobs_disk import DiskBlobs
from storage.database import create_engine


async def verify_blobs(settings: Settings) -> tuple[bool, list[str]]:
    """Whether every content is what was received and none is missing, and a line for each that is not.

    What is found changed is set aside by the store; the line names the evidence that it belongs to.

    Raises:
        ServicesError: The store or the database cannot be asked.
    """
    try:
        blobs = await asyncio.to_thread(blobs_of, settings)
        there, damaged, size = await asyncio.to_thread(_hash_all, blobs)
    except BlobsUnavailable as error:
        raise ServicesError(str(error)) from error
    async with _database(settings) as database:
        lines, missing, left = await _wanting(database, there, damaged)
    lines += [f"damaged {address}: no evidence needs it" for address in sorted(left)]
    lines.append(
        f"{len(there):,} contents, {size:,} bytes, in {blobs.where()}: "
        + (
            f"{len(damaged)} damaged, {missing} missing"
            if damaged or missing
            else "all as they were received"
        )
    )
    return not damaged and not missing, lines


async def _wanting(
    database: AsyncEngine, there: set[bytes], damaged: set[str]
) -> tuple[list[str], int, set[str]]:
    """A line for each use of what is damaged or missing, how many are missing, and what nobody uses."""
    found: defaultdict[tuple[str, str], list[Use]] = defaultdict(list)
    async for use in blob_uses(database):
        if use.sha256 in damaged:
            found["damaged", use.sha256].append(use)
        elif bytes.fromhex(use.sha256) not in there:
            found["missing", use.sha256].append(use)
    lines = [
        f"{what} {address}: evidence {use.evidence} of case {use.case}, {use.filename}"
        for (what, address), uses in sorted(found.items(), key=lambda one: one[0])
        for use in uses
    ]
    missing = sum(what == "missing" for what, _ in found)
    return lines, missing, damaged - {address for what, address in found if what == "damaged"}


def _hash_all(blobs: Blobs) -> tuple[set[bytes], set[str], int]:
    there: set[bytes] = set()
    damaged: set[str] = set()
    size = 0
    for address in blobs.addresses():
        try:
            size += blobs.verify(address)
        except BlobDamaged:
            damaged.add(address)
        except BlobMissing:
            continue  # deleted since it was listed
        there.add(bytes.fromhex(address))
    return there, damaged, size


async def move_blobs(settings: Settings) -> tuple[bool, list[str]]:
    """Carry what lies in the folder of contents to the configured store, each content after it was verified.

    Raises:
        ServicesError: No other store is configured, or it cannot be asked; what was carried is there.
    """
    if settings.s3_endpoint is None:
        raise ServicesError(
            "There is nowhere to move contents to: set S3_ENDPOINT and the settings beside it."
        )
    folder = DiskBlobs(blobs_folder(settings))
    target = await asyncio.to_thread(blobs_of, settings)
    moved, damaged = 0, []
    try:
        for address in await asyncio.to_thread(lambda: list(folder.addresses())):
            try:
                path = await asyncio.to_thread(folder.path, address)
            except BlobDamaged:
                damaged.append(address)
                continue
            await asyncio.to_thread(target.take, path, address)
            moved += 1
    except BlobsUnavailable as error:
        raise ServicesError(f"{error}; {moved} contents are moved, the others are where they were") from error
    lines = [f"damaged {address}: left in {folder.damaged}" for address in damaged]
    return not damaged, [*lines, f"{moved:,} contents moved to {target.where()}"]


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[AsyncEngine]:
    database = create_engine(attached_services(settings).database_url, pool_size=1)
    try:
        yield database
    finally:
        await database.dispose()
