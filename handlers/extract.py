"""From a file to stored text, pages and chunks; what is inside it starts uploads of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import PurePath
from typing import Any, Protocol

from handlers.adopt import Finding
from handlers.chunking import cut
from handlers.inside import Inside
from handlers.job import Job, Permanent, Temporary
from handlers.kinds import CONTAINERS
from handlers.near import NearLinks
from handlers.parsing.parsed import Parsed, PasswordNeeded, Source, Unreadable
from handlers.reading import Check, Progress, Room, Sink
from handlers.sandbox import NOTHING_INSIDE
from machines.upload_events import Extracted, ExtractText, NeedsPassword
from storage.arrivals import Arrivals, Arriving
from storage.blobs import BlobMissing, Blobs
from storage.departed import Departed
from storage.evidence import EvidenceRow, EvidenceStore, UnknownEvidence

MAX_NESTING = 8
"""Levels of evidence within evidence; what lies deeper stays where it is, and the user is told."""

ROOM = Room(files=100_000, bytes=64 << 30)
"""Most that may come out of one upload, with all that is inside what is inside."""

UNFOLDS_AT_MOST = 250
"""So many times its own size may come out of a file that unfolds to more than `UNFOLDS_FREELY` bytes."""
UNFOLDS_FREELY = 256 << 20

Adopt = Callable[[Finding], Awaitable[str]]
Password = Callable[[str], Awaitable[str]]
"""The password stored under a secret; "" once it has expired."""


class Reader(Protocol):
    """Reads untrusted files; see `handlers.sandbox.Sandbox.read`."""

    async def read(
        self, source: Source, *, progress: Progress, check: Check, sink: Sink, room: Room
    ) -> Parsed: ...


async def extract_text(
    effect: ExtractText,
    job: Job,
    *,
    evidence: EvidenceStore,
    blobs: Blobs,
    arrivals: Arrivals,
    reader: Reader,
    password: Password,
    adopt: Adopt,
    near: NearLinks,
    room: Room = ROOM,
) -> Extracted | NeedsPassword:
    """Read the file, store its text and chunks, adopt what is inside.

    Raises:
        Permanent: The file cannot be read, or is gone; the reason names what is wrong with it.
        Temporary: The reader was killed from outside.
    """
    try:
        row = await evidence.get(effect.evidence)
        path = await asyncio.to_thread(blobs.path, row.sha256)
    except UnknownEvidence as error:
        raise Permanent(str(error)) from error
    except BlobMissing as error:
        raise Permanent("the uploaded bytes are gone; upload the file again") from error

    secret = await password(effect.secret) if effect.secret else ""
    source = Source(path, row.media_type, secret, row.filename)
    room = await _room(row, evidence, room)

    async def need(sha256: str) -> None:
        await arrivals.arrive(Arriving(job.machine, row.case_id, row.id), sha256)

    inside = Inside(blobs, need)
    try:
        parsed = await reader.read(source, progress=job.progress, check=job.check, sink=inside, room=room)
    except Unreadable as error:
        raise Permanent(str(error)) from error
    except Departed as error:
        raise Permanent(str(error)) from error
    except BlobMissing as error:
        raise Temporary("what was found inside was just being deleted elsewhere") from error
    except PasswordNeeded as error:
        expired = effect.secret and not secret
        return NeedsPassword(
            effect=job.id, reason="the password has expired; give it again" if expired else str(error)
        )
    finally:
        await inside.close()
    chunks = await asyncio.to_thread(cut, parsed.text, parsed.pages, parsed.lines)
    await job.check()
    meta = _facts(parsed, inside, too_deep=room == NOTHING_INSIDE)
    title = parsed.title or PurePath(row.filename.replace("\\", "/")).stem or row.filename
    try:
        await evidence.store_text(
            row.id, title=title, text=parsed.text, pages=parsed.pages, meta=meta, chunks=chunks
        )
        if not chunks:  # it will not be indexed, where near copies are linked otherwise
            await near.link(row.id)
    except UnknownEvidence as error:
        raise Permanent(str(error)) from error
    for i, stored in enumerate(inside.stored):
        await job.progress(i, len(inside.stored), "attachments")
        await adopt(
            Finding(
                key=f"{job.machine}:{row.id}:attachment:{i}",
                filename=stored.filename,
                sha256=stored.sha256,
                bytes=stored.bytes,
                topic=job.topic,
                parent=row.id,
                owner=effect.actor,
            )
        )
    return Extracted(
        effect=job.id,
        pages=len(parsed.pages),
        characters=len(parsed.text),
        chunks=len(chunks),
        children=len(inside.stored),
        title=title,
        ocr_pages=len(meta.get("ocr", {}).get("pages", ())),
        notice=str(meta.get("notice", ""))[:1000],
    )


async def _room(row: EvidenceRow, evidence: EvidenceStore, room: Room) -> Room:
    """What may come out of a file: nothing too deep, no more than the rest of its upload leaves, and not
    much more than its size lets one expect."""
    if await evidence.depth(row.id) + 1 >= MAX_NESTING:
        return NOTHING_INSIDE
    expected = max(UNFOLDS_FREELY, UNFOLDS_AT_MOST * row.bytes)
    if row.parent_id is None or row.media_type not in CONTAINERS:
        return Room(room.files, min(room.bytes, expected))
    files, size = await evidence.unpacked(row.id)
    return Room(max(0, room.files - files), max(1, min(room.bytes - size, expected)))


def _facts(parsed: Parsed, inside: Inside, *, too_deep: bool) -> dict[str, Any]:
    """The facts that the reader tells, and those about what was inside."""
    meta = dict(parsed.meta)
    if inside.stored:
        meta["unpacked"] = {"files": len(inside.stored), "bytes": sum(one.bytes for one in inside.stored)}
    if inside.derived:
        meta["derived"] = [derived._asdict() for derived in inside.derived]
    if inside.refused:
        why = f"lie more than {MAX_NESTING} levels deep" if too_deep else "are more than an upload may hold"
        said = f"{inside.refused} attachments {why} and were not read"
        meta["notice"] = "; ".join(notice for notice in (meta.get("notice"), said) if notice)
    return meta
