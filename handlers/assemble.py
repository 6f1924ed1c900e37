"""What arrived in parts, or through several processes, becomes one content under its SHA-256."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from handlers.job import Cancelled, Job, Permanent, Temporary
from machines.topics import case_of
from machines.upload_events import Assembled, AssembleUpload, DropParts, Mismatched
from storage.arrivals import Arrivals, Arriving
from storage.blobs import Blobs
from storage.departed import Departed
from storage.parts import NoRoom, PartBusy, PartStore, PartWriter
from storage.transfers import Transfer, Transfers, UnknownTransfer

BLOCK_BYTES = 4 << 20
"""Read, hashed and written at once, in a thread."""

Waits = Callable[[str], Awaitable[bool]]
"""Tells of an upload machine whether it waits for bytes (again)."""
Ended = Callable[[str], Awaitable[bool]]
"""Tells of an upload machine whether it has ended before its bytes had an address."""


async def assemble_upload(
    effect: AssembleUpload,
    job: Job,
    *,
    transfers: Transfers,
    parts: PartStore,
    blobs: Blobs,
    arrivals: Arrivals,
) -> Assembled | Mismatched:
    """Append all parts to the first one, hash them on the way, and rename the file to its address.

    Run again after a crash it begins with the first part as it was, or finds the content stored.

    Raises:
        Permanent: The bytes are not there.
        Temporary: The disk is full, or another worker is still at it.
    """
    transfer, pieces = await _pieces(effect.parts, transfers)
    stored = transfer.stored != "" and await asyncio.to_thread(blobs.exists, transfer.stored)
    sha256 = transfer.stored
    if not stored:
        try:
            writer = await asyncio.to_thread(parts.open, pieces[0].place)
        except PartBusy as error:
            raise Temporary("another worker is still putting it together") from error
        try:
            sha256 = (await _join(writer, pieces, parts, effect.bytes, job)).hexdigest()
            if transfer.sha256 not in ("", sha256):
                reason = f"its SHA-256 is {sha256}, not {transfer.sha256}"
                return Mismatched(
                    effect=job.id,
                    reason=f"the file that arrived is not the one announced: {reason}; send it again",
                )
            await transfers.note_stored(transfer.id, sha256)
            await arrivals.expect(Arriving(job.machine, case_of(job.topic)), sha256)
            try:
                await job.check()
            except Cancelled:  # whatever it needed before that was dropped with its end, but not this
                await arrivals.leave(job.machine)
                raise
            await asyncio.to_thread(blobs.take, parts.path(pieces[0].place), sha256)
            await arrivals.clear(sha256)  # where it was cancelled since then, nobody needs it
        except NoRoom as error:
            raise Temporary(str(error)) from error
        except Departed as error:
            raise Permanent(str(error)) from error
        finally:
            await asyncio.shield(asyncio.to_thread(writer.close))
    for piece in pieces:
        await asyncio.to_thread(parts.delete, piece.place)
    await transfers.note_stored(transfer.id, sha256)
    return Assembled(effect=job.id, sha256=sha256, bytes=effect.bytes)


async def drop_parts(
    effect: DropParts,
    job: Job,
    *,
    transfers: Transfers,
    parts: PartStore,
    arrivals: Arrivals,
    waits: Waits,
    ended: Ended,
) -> None:
    """Forget what has arrived of an upload, unless it is expected anew: that replaces it by itself.

    Bytes may have got their address while it was being cancelled; they go as well.
    """
    found = await transfers.of_machine(effect.upload)
    if await waits(effect.upload):
        return
    for transfer in found:
        for piece in [transfer.id, *transfer.pieces]:
            await transfers.drop(piece)
        for one in await transfers.several(transfer.pieces):
            await asyncio.to_thread(parts.delete, one.place)
        await asyncio.to_thread(parts.delete, transfer.place)
    if await ended(effect.upload):
        await arrivals.leave(effect.upload)


async def _pieces(name: str, transfers: Transfers) -> tuple[Transfer, Sequence[Transfer]]:
    try:
        transfer = await transfers.get(name)
        pieces = await transfers.several(transfer.pieces)
    except UnknownTransfer as error:
        raise _gone() from error
    if transfer.state == "gone":
        raise _gone()
    return transfer, pieces or [transfer]


async def _join(
    writer: PartWriter, pieces: Sequence[Transfer], parts: PartStore, total: int, job: Job
) -> hashlib._Hash:
    """The hash of all; the first piece's part holds them all then."""
    digest, done = hashlib.sha256(), 0
    first = pieces[0].length or 0
    if writer.offset < first:
        raise _gone()
    await asyncio.to_thread(writer.rewind, first)
    for number, piece in enumerate(pieces):
        path, length = parts.path(piece.place), piece.length or 0
        if await asyncio.to_thread(parts.size, piece.place) < length:
            raise _gone()
        offset = 0
        while offset < length:
            wanted = min(BLOCK_BYTES, length - offset)
            taken = await asyncio.to_thread(_copy, path, offset, wanted, digest, writer if number else None)
            if not taken:
                raise _gone()
            offset += taken
            done += taken
            await job.progress(done, total, "bytes")
    return digest


def _copy(path: Path, offset: int, wanted: int, digest: hashlib._Hash, writer: PartWriter | None) -> int:
    """Hash a block of a file and append it to the writer, if there is one; how long it was."""
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        block = file.read(wanted) or b""
    digest.update(block)
    if writer is not None:
        writer.write(block)
    return len(block)


def _gone() -> Permanent:
    return Permanent("the bytes that had arrived are gone; upload the file again")
