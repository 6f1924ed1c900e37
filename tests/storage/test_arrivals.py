"""A content that somebody needs is there, whoever deletes it at the same time, and however slowly."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from storage import arrivals as module
from storage.arrivals import Arrivals, Arriving
from storage.blobs import BlobMissing, BlobsUnavailable
from storage.blobs_disk import DiskBlobs
from storage.database import create_engine
from storage.evidence import EvidenceStore
from tests.case_rows import new_case, new_evidence
from tests.patience import PATIENCE_S


class SlowBlobs(DiskBlobs):
    """A disk that takes its time between being asked and doing it."""

    def __init__(self, root: Path, *, deletes_in_s: float = 0.0, chance: random.Random | None = None) -> None:
        super().__init__(root)
        self.deleting = threading.Event()
        self._deletes_in_s = deletes_in_s
        self._chance = chance

    def delete(self, sha256: str) -> bool:
        self.deleting.set()
        time.sleep(self._deletes_in_s)
        self._dawdle(10)
        return super().delete(sha256)

    def holds(self, sha256: str, size: int) -> bool:
        held = super().holds(sha256, size)
        self._dawdle()
        return held

    def exists(self, sha256: str) -> bool:
        self._dawdle()
        return super().exists(sha256)

    def put(self, content: bytes) -> str:
        writer = self.open_writer()
        writer.write(content)
        return writer.commit()[0]

    def _dawdle(self, times: int = 1) -> None:
        if self._chance is not None:
            time.sleep(self._chance.random() * 0.006 * times)


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database, pool_size=8)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture(loop_scope="session")
async def impatient(database: str) -> AsyncIterator[AsyncEngine]:
    """A pool whose transactions are ended when they have rested for a fifth of a second."""
    engine = create_engine(database, idle_s=0.2)
    yield engine
    await engine.dispose()


async def begun(blobs: SlowBlobs) -> None:
    assert await asyncio.to_thread(blobs.deleting.wait, PATIENCE_S)


async def test_a_slow_deletion_is_waited_for_by_whoever_needs_the_same_bytes(
    engine: AsyncEngine, impatient: AsyncEngine, tmp_path: Path
) -> None:
    case, blobs = await new_case(engine), SlowBlobs(tmp_path, deletes_in_s=0.8)
    sha256 = blobs.put(b"bytes")

    async def clear() -> bool:
        while True:
            try:
                return await Arrivals(impatient, blobs).clear(sha256)
            except DBAPIError:  # this process starved before it could say how long it may rest
                if blobs.deleting.is_set():
                    raise

    clearing = asyncio.create_task(clear())
    await begun(blobs)
    await Arrivals(engine, blobs).expect(Arriving("upload-0-a", case), sha256)
    await asyncio.to_thread(blobs.put, b"bytes")
    assert await clearing
    assert blobs.exists(sha256)


async def test_a_deletion_that_is_cancelled_ends_before_anybody_else_goes_on(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    case, blobs = await new_case(engine), SlowBlobs(tmp_path, deletes_in_s=0.5)
    arrivals, sha256 = Arrivals(engine, blobs), blobs.put(b"bytes")
    clearing = asyncio.create_task(arrivals.clear(sha256))
    await begun(blobs)
    for _ in range(2):
        clearing.cancel()
        await asyncio.sleep(0.01)
    await arrivals.expect(Arriving("upload-0-a", case), sha256)
    await asyncio.to_thread(blobs.put, b"bytes")
    with pytest.raises(asyncio.CancelledError):
        await clearing
    await asyncio.sleep(0.6)
    assert blobs.exists(sha256)


async def test_a_deletion_that_waited_too_long_for_a_thread_does_not_begin(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEGIN_WITHIN_S", -1.0)
    blobs = SlowBlobs(tmp_path)
    sha256 = blobs.put(b"bytes")
    with pytest.raises(BlobsUnavailable, match="too busy"):
        await Arrivals(engine, blobs).clear(sha256)
    assert blobs.exists(sha256)


@pytest.mark.parametrize("seed", range(12))
async def test_in_any_order_of_comings_goings_and_cancellations_needed_bytes_are_there(
    engine: AsyncEngine, tmp_path: Path, seed: int
) -> None:
    """Two cases bring and forget the same few contents, by all the ways there are, under slow disks."""
    chance = random.Random(seed)
    cases = [await new_case(engine, name) for name in ("case1", "case2")]
    blobs = SlowBlobs(tmp_path, chance=chance)
    arrivals, evidence = Arrivals(engine, blobs), EvidenceStore(engine)
    contents = [b"one", b"two"]
    hashes = [await asyncio.to_thread(blobs.put, content) for content in contents]

    async def bring(upload: str, case: str, which: int) -> None:
        """As an upload, or as what is found inside: with the need noted before or after."""
        arriving = Arriving(upload, case, 0, "a.txt")
        if chance.random() < 0.5:
            await arrivals.expect(arriving, hashes[which])
            await asyncio.to_thread(blobs.put, contents[which])
        else:
            await asyncio.to_thread(blobs.put, contents[which])
            await arrivals.arrive(arriving, hashes[which])
        await evidence.register(new_evidence(case, hashes[which], upload=upload))

    async def forget(upload: str, which: int) -> None:
        """As a deletion does it: rows first, then the bytes, twice, as after a kill."""
        async with engine.begin() as connection:
            for table in ("evidence", "arrivals"):
                await connection.execute(text(f"DELETE FROM {table} WHERE upload = :u"), {"u": upload})
        for _ in range(2):
            await arrivals.clear(hashes[which])

    async def cut(work: asyncio.Task[None]) -> None:
        await asyncio.sleep(chance.random() * 0.05)
        work.cancel()

    brought: list[tuple[str, int]] = []
    for number in range(6):
        leaving, brought = brought, []
        works = [asyncio.create_task(forget(*one)) for one in leaving if chance.random() < 0.8]
        for one in range(4):
            upload, which = f"upload-0-{number}-{one}", chance.randrange(2)
            works.append(asyncio.create_task(bring(upload, chance.choice(cases), which)))
            brought.append((upload, which))
        cutting = [asyncio.create_task(cut(work)) for work in works if chance.random() < 0.3]
        ended = await asyncio.gather(*works, return_exceptions=True)
        await asyncio.gather(*cutting)
        unforeseen = [one for one in ended if isinstance(one, Exception) and not isinstance(one, BlobMissing)]
        assert unforeseen == []
        async with engine.connect() as connection:
            needed = set((await connection.execute(text("SELECT sha256 FROM evidence"))).scalars())
        assert {sha256 for sha256 in needed if not blobs.exists(sha256)} == set()


async def test_an_upload_that_became_evidence_does_not_leave_by_the_back_door(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    case, blobs = await new_case(engine), SlowBlobs(tmp_path)
    arrivals, main, still = Arrivals(engine, blobs), blobs.put(b"video"), blobs.put(b"still")
    await arrivals.arrive(Arriving("upload-0-a", case, 0, "a.mp4"), main, still)
    await EvidenceStore(engine).register(new_evidence(case, main))
    await arrivals.leave("upload-0-a")
    assert blobs.exists(main)
    assert blobs.exists(still)


async def test_bytes_are_spare_only_while_the_case_has_them(engine: AsyncEngine, tmp_path: Path) -> None:
    case, blobs = await new_case(engine), SlowBlobs(tmp_path)
    arrivals, sha256 = Arrivals(engine, blobs), blobs.put(b"bytes")
    await arrivals.arrive(Arriving("upload-0-b", case, 0, "b.txt"), sha256)
    assert not await arrivals.spare("upload-0-b", sha256)
    await EvidenceStore(engine).register(new_evidence(case, sha256))
    assert await arrivals.spare("upload-0-b", sha256)
