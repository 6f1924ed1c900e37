"""Every chunk gets its vector, batch by batch; an interrupted run goes on where it stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from handlers.job import Job, Permanent
from machines.upload_events import EmbedChunks, Embedded
from storage.evidence import EvidenceStore, UnknownEvidence
from storage.vectors import Vectors

BATCH = 32
"""Chunks between two looks at cancellation: about two seconds on a processor core."""


class Encoder(Protocol):
    """Texts in, unit vectors of shape (texts, 384) out; blocks, and may be called from any thread."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


async def embed_chunks(
    effect: EmbedChunks, job: Job, *, evidence: EvidenceStore, vectors: Vectors, encoder: Encoder
) -> Embedded:
    """Encode the chunks that have no vector yet.

    Raises:
        Permanent: The evidence is gone.
    """
    try:
        row = await evidence.get(effect.evidence)
    except UnknownEvidence as error:
        raise Permanent(str(error)) from error
    chunks = await evidence.chunks(row.id)
    missing = set(await vectors.missing(row.id))
    waiting = [chunk for chunk in chunks if chunk.id in missing]
    done = len(chunks) - len(waiting)
    for i in range(0, len(waiting), BATCH):
        await job.progress(done + i, len(chunks), "chunks")
        batch = waiting[i : i + BATCH]
        found = await asyncio.to_thread(encoder.encode, [chunk.text for chunk in batch])
        await vectors.put(row.case_id, {chunk.id: vector for chunk, vector in zip(batch, found, strict=True)})
    await job.progress(len(chunks), len(chunks), "chunks")
    return Embedded(effect=job.id, chunks=len(chunks))
