"""Every chunk gets its vector, batch by batch; an interrupted run goes on where it stopped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import numpy as np
from numpy.typing import NDArray

from gpu import DeadlinePassed, Halved, Leases, batch_items, in_batches
from handlers.awaited import while_awaited
from handlers.embedder import Embedder
from handlers.index import index_words
from handlers.job import GaveWay, GiveWay, Job, Permanent, Temporary, never
from handlers.models import MayEmbed, Refused, always
from machines.upload_events import EmbedChunks, Embedded
from storage.evidence import EvidenceStore, UnknownEvidence
from storage.vectors import Vectors
from storage.words import Words

logger = logging.getLogger(__name__)

BATCH = 32
"""Chunks between two looks at cancellation: about two seconds on a processor core."""

MEMORY_WAIT_S = 30.0
"""How long a batch waits for memory that other processes hold before the attempt is given up."""


async def embed_chunks(
    effect: EmbedChunks,
    job: Job,
    *,
    evidence: EvidenceStore,
    vectors: Vectors,
    words: Words,
    encoder: Embedder,
    leases: Leases,
    may_embed: MayEmbed = always,
    give_way: GiveWay = never,
) -> Embedded:
    """Encode the chunks that have no vector yet, within memory lent for each batch.

    At least one batch is done before the job gives way, so that it comes to its end however many
    questions are asked.

    Raises:
        Permanent: The evidence is gone, or the device is too small for one text.
        Refused: The texts may not go to where they would be embedded; they are findable by their words.
        Temporary: The memory was not free in time, or ran out.
        GaveWay: A question waits; what is embedded is stored.
    """
    try:
        row = await evidence.get(effect.evidence)
    except UnknownEvidence as error:
        raise Permanent(str(error)) from error
    chunks = await evidence.chunks(row.id)
    try:
        await may_embed(row.case_id)
    except Refused:
        for i in range(0, len(chunks), BATCH):
            await index_words(row.case_id, chunks[i : i + BATCH], words=words)
        raise
    missing = set(await vectors.missing(row.id))
    waiting = [chunk for chunk in chunks if chunk.id in missing]
    done = len(chunks) - len(waiting)
    for i in range(0, len(waiting), BATCH):
        await job.progress(done + i, len(chunks), "chunks")
        if i and await give_way():
            raise GaveWay
        batch = waiting[i : i + BATCH]
        found = await encode_lent([chunk.text for chunk in batch], job, encoder=encoder, leases=leases)
        await vectors.put(row.case_id, {chunk.id: vector for chunk, vector in zip(batch, found, strict=True)})
    await job.progress(len(chunks), len(chunks), "chunks")
    return Embedded(effect=job.id, chunks=len(chunks))


async def encode_lent(
    texts: Sequence[str], job: Job, *, encoder: Embedder, leases: Leases, wait_s: float = MEMORY_WAIT_S
) -> NDArray[np.float32]:
    """One vector a text, computed in batches for which `leases` lends the memory.

    Raises:
        Permanent, Temporary: As `embed_chunks`.
        Cancelled: The effect is awaited no more; looked at while the memory is waited for.
    """

    def encode() -> list[NDArray[np.float32]]:
        parts = in_batches(
            encoder.encode,
            texts,
            required_bytes=encoder.required_bytes,
            leased_bytes=leased_bytes,
            on_halved=_tell,
        )
        return list(parts)

    try:
        size = batch_items(encoder.required_bytes, leases.most_bytes(), len(texts))
    except ValueError as error:
        raise Permanent(f"{leases.device} has too little memory for embeddings: {error}") from error
    leased_bytes = encoder.required_bytes(size)
    try:
        async with AsyncExitStack() as lent:
            await while_awaited(job, lent.enter_async_context(leases.lease(leased_bytes, deadline_s=wait_s)))
            return np.concatenate(await _to_its_end(encode))
    except DeadlinePassed as error:
        raise Temporary(f"the memory for embeddings was not free in time: {error}") from error
    except MemoryError as error:
        raise Temporary(f"the memory for embeddings ran out: {error}") from error


async def _to_its_end(encode: Callable[[], list[NDArray[np.float32]]]) -> list[NDArray[np.float32]]:
    """What `encode` returns from a thread, which a cancelled caller awaits: it still fills the memory."""
    encoding = asyncio.create_task(asyncio.to_thread(encode))
    cancelled = False
    while not encoding.done():
        try:
            await asyncio.wait({encoding})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    return encoding.result()


def _tell(halved: Halved) -> None:
    logger.warning(
        "Memory ran out, so smaller batches are embedded.",
        extra={
            "action": "embed.halved",
            "texts": halved.items,
            "next_texts": halved.next_items,
            "problem": halved.problem,
        },
    )
