"""Chunks become findable by their words, and learn which chunks and which evidence are most like them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from handlers.job import Job, Permanent
from handlers.near import NearLinks
from handlers.terms import counts
from machines.upload_events import IndexChunks, Indexed
from storage.evidence import ChunkRow, EvidenceStore, UnknownEvidence
from storage.similarities import Similarities
from storage.vectors import Vectors
from storage.words import Words

BATCH = 64
NEIGHBOURS = 5
"""Similar chunks that each chunk is joined to."""
FLOOR = 0.5
"""Least cosine of a similarity."""


async def index_chunks(
    effect: IndexChunks,
    job: Job,
    *,
    evidence: EvidenceStore,
    words: Words,
    vectors: Vectors,
    similarities: Similarities,
    near: NearLinks,
) -> Indexed:
    """Store each chunk's terms and its nearest neighbours in the case, and link near copies.

    Raises:
        Permanent: The evidence is gone.
    """
    try:
        row = await evidence.get(effect.evidence)
    except UnknownEvidence as error:
        raise Permanent(str(error)) from error
    chunks = await evidence.chunks(row.id)
    for i in range(0, len(chunks), BATCH):
        await job.progress(i, len(chunks), "chunks")
        batch = chunks[i : i + BATCH]
        await index_words(row.case_id, batch, words=words)
        alike = await vectors.neighbours(row.case_id, [chunk.id for chunk in batch], NEIGHBOURS, FLOOR)
        await similarities.put(row.case_id, alike)
    await job.progress(len(chunks), len(chunks), "chunks")
    try:
        await near.link(row.id)
    except UnknownEvidence as error:
        raise Permanent(str(error)) from error
    return Indexed(effect=job.id, chunks=len(chunks))


async def index_words(case: str, chunks: Sequence[ChunkRow], *, words: Words) -> None:
    """Make chunks findable by their words; again for those that are already."""
    await words.index(case, await asyncio.to_thread(_counts, chunks))


def _counts(chunks: Sequence[ChunkRow]) -> Mapping[int, Mapping[str, int]]:
    return {chunk.id: counts(chunk.text) for chunk in chunks}
