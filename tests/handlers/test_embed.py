"""Embedding takes no more memory than it was lent, and says why it cannot go on."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from gpu import Leases
from handlers import awaited, embed
from handlers.embed import embed_chunks, encode_lent
from handlers.job import Cancelled, GaveWay, GiveWay, Permanent, Temporary
from handlers.models import Refused
from handlers.terms import terms
from machines.upload_events import EmbedChunks, Embedded
from storage.evidence import EvidenceStore
from storage.vectors_pgvector import PgVectors
from storage.words import Words
from tests.case_rows import QuietJob, new_case, store, unit
from tests.handlers.agreeing import models
from tests.patience import PATIENCE_S

TEXTS = ["a" * length for length in range(1, 12)]


class Encoder:
    """Vectors that depend on a text's length; fails for more than `fits` texts at once."""

    def __init__(self, leases: Leases, fits: int = 99) -> None:
        self.leases, self.fits = leases, fits
        self.sizes: list[int] = []
        self.lendable: list[int] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.lendable.append(self.leases.lendable_bytes())
        if len(texts) > self.fits:
            raise MemoryError("full")
        self.sizes.append(len(texts))
        return np.stack([unit(1, len(text)) for text in texts])

    def required_bytes(self, texts: int) -> int:
        return 50 + 100 * texts


def leases_of(folder: Path, capacity: int) -> Leases:
    return Leases("device", lambda: (capacity, capacity), folder=folder, reserve_bytes=0)


async def embedded(rows: AsyncEngine, evidence: int, encoder: Encoder, **more: Any) -> Embedded:
    """The chunks of a piece of evidence, with the stores of the tests."""
    return await embed_chunks(
        EmbedChunks(evidence),
        QuietJob(),
        evidence=EvidenceStore(rows),
        words=Words(rows),
        vectors=PgVectors(rows),
        encoder=encoder,
        leases=encoder.leases,
        **more,
    )


@pytest.mark.parametrize(("capacity", "sizes"), [(5000, [11]), (550, [5, 5, 1]), (150, [1] * 11)])
async def test_batches_are_as_large_as_the_memory_lent(
    tmp_path: Path, capacity: int, sizes: list[int]
) -> None:
    leases = leases_of(tmp_path, capacity)
    encoder = Encoder(leases)
    found = await encode_lent(TEXTS, QuietJob(), encoder=encoder, leases=leases)
    np.testing.assert_array_equal(found, np.stack([unit(1, len(text)) for text in TEXTS]))
    assert encoder.sizes == sizes
    assert set(encoder.lendable) == {capacity - encoder.required_bytes(sizes[0])}
    assert leases.lendable_bytes() == capacity


async def test_a_batch_that_does_not_fit_after_all_is_halved_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leases = leases_of(tmp_path, 5000)
    encoder = Encoder(leases, fits=3)
    with caplog.at_level(logging.WARNING):
        found = await encode_lent(TEXTS, QuietJob(), encoder=encoder, leases=leases)
    assert len(found) == len(TEXTS)
    assert encoder.sizes == [2, 2, 2, 2, 2, 1]
    told = [(record.action, record.texts, record.next_texts) for record in caplog.records]  # type: ignore[attr-defined]
    assert told == [("embed.halved", 11, 5), ("embed.halved", 5, 2)]


async def test_memory_that_others_keep_is_a_reason_to_try_again(tmp_path: Path) -> None:
    leases = leases_of(tmp_path, 5000)
    with leases.lease(4900), pytest.raises(Temporary, match="not free in time"):
        await encode_lent(TEXTS, QuietJob(), encoder=Encoder(leases), leases=leases, wait_s=0.01)


async def test_memory_that_runs_out_for_one_text_is_a_reason_to_try_again(tmp_path: Path) -> None:
    leases = leases_of(tmp_path, 5000)
    with pytest.raises(Temporary, match="one item alone: full"):
        await encode_lent(TEXTS, QuietJob(), encoder=Encoder(leases, fits=0), leases=leases)


async def test_embedding_gives_way_after_a_batch_and_goes_on_where_it_stopped(
    tmp_path: Path, rows: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "BATCH", 1)
    text = "\n\n".join(f"Page {i}. " + "The ferry left before the fog came in. " * 25 for i in range(3))
    evidence = await store(rows, await new_case(rows), "log", text)
    count = len(await EvidenceStore(rows).chunks(evidence))
    assert count > 2
    encoder = Encoder(leases_of(tmp_path, 1 << 20))

    async def somebody_asks() -> bool:
        return True

    async def run(give_way: GiveWay) -> Embedded:
        return await embedded(rows, evidence, encoder, give_way=give_way)

    for left in range(count - 1, 0, -1):
        with pytest.raises(GaveWay):
            await run(somebody_asks)
        assert len(await PgVectors(rows).missing(evidence)) == left
    assert (await run(somebody_asks)).chunks == count
    assert encoder.sizes == [1] * count


async def test_what_may_not_be_embedded_is_found_by_its_words(tmp_path: Path, rows: AsyncEngine) -> None:
    case = await new_case(rows)
    evidence = await store(rows, case, "log", "The ferry left before the fog came in.")
    encoder = Encoder(leases_of(tmp_path, 1 << 20))
    with pytest.raises(Refused, match=r"may go to models\.example\.com"):
        await embedded(
            rows, evidence, encoder, may_embed=partial(models().let_embed, host="models.example.com")
        )
    assert encoder.sizes == []
    [(found, _)] = await Words(rows).search(case, terms("ferry in the fog"), 5)
    assert found in {chunk.id for chunk in await EvidenceStore(rows).chunks(evidence)}


async def test_a_device_too_small_for_one_text_is_an_end(tmp_path: Path) -> None:
    leases = leases_of(tmp_path, 149)
    with pytest.raises(Permanent, match="One item takes 150 bytes, there are 149"):
        await encode_lent(TEXTS, QuietJob(), encoder=Encoder(leases), leases=leases)


async def test_memory_is_returned_only_once_the_thread_that_fills_it_has_ended(tmp_path: Path) -> None:
    leases = leases_of(tmp_path, 5000)
    encoder = Encoder(leases)
    begun, go_on = threading.Event(), threading.Event()
    whole = encoder.encode

    def slowly(texts: Sequence[str]) -> np.ndarray:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        return whole(texts)

    encoder.encode = slowly  # type: ignore[method-assign]
    running = asyncio.create_task(encode_lent(TEXTS, QuietJob(), encoder=encoder, leases=leases))
    assert await asyncio.to_thread(begun.wait, PATIENCE_S)
    for _ in range(2):
        running.cancel()
        await asyncio.sleep(0.01)
    assert leases.lendable_bytes() < 5000
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert leases.lendable_bytes() == 5000


async def test_nobody_waits_for_memory_that_nobody_needs_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(awaited, "LOOK_S", 0.01)
    leases = leases_of(tmp_path, 5000)
    with leases.lease(4900):
        with pytest.raises(Cancelled):
            await encode_lent(TEXTS, QuietJob(looks_left=2), encoder=Encoder(leases), leases=leases)
        assert leases.lendable_bytes() == 100
    assert leases.lendable_bytes() == 5000
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
