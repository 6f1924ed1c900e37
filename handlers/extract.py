"""From a file to stored text, pages and chunks; what is attached starts uploads of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path, PurePath
from typing import Any, Protocol

from handlers.adopt import Finding
from handlers.chunking import cut
from handlers.job import Job, Permanent
from handlers.parsing.parsed import Attachment, Parsed, PasswordNeeded, Unreadable
from machines.upload_events import Extracted, ExtractText, NeedsPassword
from storage.blobs import BlobMissing, Blobs
from storage.evidence import EvidenceRow, EvidenceStore, UnknownEvidence

MAX_NESTING = 8
"""Levels of evidence within evidence; what lies deeper stays where it is, and the user is told."""

Adopt = Callable[[Finding], Awaitable[str]]
Password = Callable[[str], Awaitable[str]]
"""The password stored under a secret; "" once it has expired."""


class Reader(Protocol):
    """Reads untrusted files; see `handlers.sandbox.Sandbox.read`."""

    async def read(
        self,
        path: Path,
        media_type: str,
        password: str,
        *,
        progress: Callable[[int, int], Awaitable[None]],
        check: Callable[[], Awaitable[None]],
    ) -> Parsed: ...


async def extract_text(
    effect: ExtractText,
    job: Job,
    *,
    evidence: EvidenceStore,
    blobs: Blobs,
    reader: Reader,
    password: Password,
    adopt: Adopt,
) -> Extracted | NeedsPassword:
    """Read the file, store its text and chunks, adopt its attachments.

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

    async def progress(done: int, total: int) -> None:
        await job.progress(done, total, "pages")

    secret = await password(effect.secret) if effect.secret else ""
    try:
        parsed = await reader.read(path, row.media_type, secret, progress=progress, check=job.check)
    except Unreadable as error:
        raise Permanent(str(error)) from error
    except PasswordNeeded as error:
        expired = effect.secret and not secret
        return NeedsPassword(
            effect=job.id, reason="the password has expired; give it again" if expired else str(error)
        )
    chunks = await asyncio.to_thread(cut, parsed.text, parsed.pages, parsed.lines)
    await job.check()
    attachments, meta = await _adoptable(row, parsed, evidence)
    title = parsed.title or PurePath(row.filename.replace("\\", "/")).stem or row.filename
    try:
        await evidence.store_text(
            row.id, title=title, text=parsed.text, pages=parsed.pages, meta=meta, chunks=chunks
        )
    except UnknownEvidence as error:
        raise Permanent(str(error)) from error
    for i, attachment in enumerate(attachments):
        await job.progress(i, len(attachments), "attachments")
        await adopt(
            Finding(
                key=f"{job.machine}:{row.id}:attachment:{i}",
                filename=attachment.filename,
                content=attachment.content,
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
        children=len(attachments),
        title=title,
    )


async def _adoptable(
    row: EvidenceRow, parsed: Parsed, evidence: EvidenceStore
) -> tuple[list[Attachment], dict[str, Any]]:
    """The attachments that are not nested too deeply, and the facts with a notice about the others."""
    if not parsed.attachments or await evidence.depth(row.id) + 1 < MAX_NESTING:
        return parsed.attachments, parsed.meta
    said = f"{len(parsed.attachments)} attachments lie more than {MAX_NESTING} levels deep and were not read"
    notices = [notice for notice in (parsed.meta.get("notice"), said) if notice]
    return [], parsed.meta | {"notice": "; ".join(notices)}
