"""What was sent straight to an S3 store gets its address: hashed as it streams by, copied by the store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from handlers.job import Cancelled, Handler, Job, Permanent
from machines.event import Event
from machines.snapshot import Snapshot
from machines.topics import case_of
from machines.upload_events import Assembled, AssembleUpload, DropParts, Mismatched
from storage.arrivals import Arrivals, Arriving
from storage.blobs import BlobMissing
from storage.departed import Departed
from storage.parts_s3 import PREFIX, Multiparts
from storage.s3_place import KeyMissing

if TYPE_CHECKING:
    from storage.blobs_s3 import S3Blobs

LOOK_EVERY_S = 0.5

Load = Callable[[str], Awaitable[Snapshot | None]]


class _Ended(Exception):
    """Nobody awaits the result any more."""


async def assemble_from_s3(
    effect: AssembleUpload, job: Job, *, multiparts: Multiparts, blobs: S3Blobs, arrivals: Arrivals
) -> Assembled | Mismatched:
    """Store what the parts of an upload were completed to.

    Raises:
        Permanent: It is not there any more.
        BlobsUnavailable: The store does not answer.
    """
    there = await multiparts.find(job.machine)
    if there is None or there.name != effect.parts:
        raise Permanent("what was sent is not in the store any more; upload the file again")
    hashed, ended = [0], threading.Event()

    def told(done: int) -> None:
        hashed[0] = done
        if ended.is_set():
            raise _Ended

    storing = asyncio.ensure_future(multiparts.store(there, blobs, told=told))
    try:
        while not (await asyncio.wait({storing}, timeout=LOOK_EVERY_S))[0]:
            await job.progress(hashed[0], effect.bytes, "bytes")
        sha256, size = await storing
        await arrivals.arrive(Arriving(job.machine, case_of(job.topic)), sha256)
        try:
            await job.check()
        except Cancelled:  # whatever it needed before that was dropped with its end, but not this
            await arrivals.leave(job.machine)
            raise
    except (KeyMissing, BlobMissing) as error:
        raise Permanent("what was sent is not in the store any more; upload the file again") from error
    except Departed as error:
        raise Permanent(str(error)) from error
    finally:
        ended.set()
        await asyncio.wait({storing})
        if not storing.cancelled():
            storing.exception()  # told by now, or wanted by nobody
    if size != effect.bytes:
        return Mismatched(effect=job.id, reason=f"{size} bytes arrived, but {effect.bytes} were announced")
    return Assembled(effect=job.id, sha256=sha256, bytes=size)


def beside(elsewhere: Handler | None, in_s3: Handler) -> Handler:
    """One that takes what is in S3 by `in_s3`, and the parts of all others as before."""

    async def assemble(effect: AssembleUpload, job: Job) -> Event | None:
        if effect.parts.startswith(PREFIX):
            return await in_s3(effect, job)
        if elsewhere is None:
            raise Permanent("nothing here can put these parts together; upload the file again")
        return await elsewhere(effect, job)

    return assemble


def after(first: Handler | None, then: Handler) -> Handler:
    """Both, one after the other, for effects that nobody awaits."""

    async def each(effect: DropParts, job: Job) -> None:
        if first is not None:
            await first(effect, job)
        await then(effect, job)

    return each


async def drop_multipart(effect: DropParts, job: Job, *, multiparts: Multiparts, load: Load) -> None:
    """Forget what an upload's client has sent to the store, unless the rest is expected (again)."""
    upload = await load(effect.upload)
    if upload is None or not {"receiving", "paused"} & set(upload.configuration):
        await multiparts.drop(effect.upload)
