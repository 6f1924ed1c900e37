"""The first look at an upload: its kind by content, and whether the case holds the same bytes already."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import PurePath

from handlers.job import Job, Permanent, Temporary
from handlers.kinds import look
from machines.topics import case_of
from machines.upload_events import Recognised, Unsupported, Verified, VerifyUpload
from storage.arrivals import Arrivals, Arriving
from storage.blobs import BlobMissing, Blobs
from storage.departed import Departed
from storage.evidence import EvidenceStore, NewEvidence, Registered, UnknownEvidence

JUST_LEAVING = "the same file, or what it was found in, is just being deleted"
NOT_HERE = "the evidence that it is said to come from is not in this case"

Abandoned = Callable[[str], Awaitable[bool]]
"""Tells of an upload machine whether it was cancelled, or removed."""


async def verify_upload(
    effect: VerifyUpload,
    job: Job,
    *,
    evidence: EvidenceStore,
    blobs: Blobs,
    arrivals: Arrivals,
    abandoned: Abandoned,
) -> Verified | Recognised | Unsupported:
    """Make a file evidence of its case, unless it is unreadable in kind or there already.

    A machine that comes again finds its own evidence. Evidence of an upload that was cancelled or
    removed passes to the one that brings the bytes anew.

    Raises:
        Permanent: The bytes are gone, the topic is no case's, or the parent is of another case.
        Temporary: The same bytes are just being deleted.
    """
    case = case_of(effect.topic)
    if not case:
        raise Permanent(f"evidence belongs to a case, and “{effect.topic}” is none")
    # Before the arrival is noted: its parent may become that of evidence found there, too.
    if effect.parent and not await _is_of_case(evidence, effect.parent, case):
        raise Permanent(NOT_HERE)
    try:
        await arrivals.arrive(Arriving(job.machine, case, effect.parent, effect.filename), effect.sha256)
        path = await asyncio.to_thread(blobs.path, effect.sha256)
    except BlobMissing as error:
        raise Permanent("the uploaded bytes are gone; upload the file again") from error
    except Departed as error:
        raise Permanent(str(error)) from error
    kind = await asyncio.to_thread(look, path, effect.filename)
    if kind.reason:
        return Unsupported(effect=job.id, reason=kind.reason, media_type=kind.media_type)
    await job.check()
    new = NewEvidence(
        case_id=case,
        sha256=effect.sha256,
        upload=job.machine,
        filename=effect.filename,
        title=PurePath(effect.filename.replace("\\", "/")).name or effect.filename,
        bytes=effect.bytes,
        media_type=kind.media_type,
        uploaded_by=effect.actor,
        parent_id=effect.parent or None,
    )
    there = await _registered(new, evidence, abandoned)
    if there.upload != job.machine:
        if not await arrivals.spare(job.machine, effect.sha256):
            raise Temporary(JUST_LEAVING)
        return Recognised(effect=job.id, evidence=there.id, title=there.title)
    return Verified(effect=job.id, evidence=there.id, media_type=kind.media_type, title=there.title)


async def _registered(new: NewEvidence, evidence: EvidenceStore, abandoned: Abandoned) -> Registered:
    try:
        there = await evidence.register(new)
        if there.upload != new.upload and await abandoned(there.upload):
            await evidence.take_over(there.id, new, instead_of=there.upload)
            there = await evidence.register(new)
    except Departed as error:
        if error.upload == new.upload:
            raise Permanent(str(error)) from error
        raise Temporary(JUST_LEAVING) from error
    except UnknownEvidence as error:
        raise Permanent(NOT_HERE) from error
    return there


async def _is_of_case(evidence: EvidenceStore, parent: int, case: str) -> bool:
    try:
        return (await evidence.get(parent)).case_id == case
    except UnknownEvidence:
        return False
