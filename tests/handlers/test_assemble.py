"""What came in parts becomes one content; what is not wanted any more is dropped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.assemble import assemble_upload, drop_parts
from handlers.job import Cancelled, Permanent, Temporary
from machines.upload_events import Assembled, AssembleUpload, DropParts, Mismatched
from storage.arrivals import Arrivals
from storage.blobs_disk import DiskBlobs
from storage.database import create_engine
from storage.parts import NoRoom
from storage.parts_disk import DiskParts, DiskPartWriter
from storage.transfers import Quotas, Transfers
from tests.case_rows import QuietJob
from tests.transfer_rows import case_and_person, sent, transfer

MACHINE = "upload-0-a"
CONTENT = b"one two three"
ADDRESS = sha256(CONTENT).hexdigest()


async def always(_: str) -> bool:
    return True


async def never(_: str) -> bool:
    return False


class Yard:
    """Stores with an upload in parts."""

    def __init__(self, engine: AsyncEngine, folder: Path) -> None:
        self.transfers = Transfers(engine, Quotas())
        self.parts = DiskParts(folder / "parts")
        self.blobs = DiskBlobs(folder / "blobs")
        self.arrivals = Arrivals(engine, self.blobs)

    async def joined(self, *contents: bytes, expected: str = "") -> AssembleUpload:
        """An upload of these parts that waits to be put together."""
        for number, content in enumerate(contents):
            piece = transfer(f"p{number}", len(content), kind="partial", machine=MACHINE)
            await sent(self.transfers, self.parts, piece, content)
        pieces = [f"p{number}" for number in range(len(contents))]
        final = transfer("f", None, kind="final", machine=MACHINE, pieces=pieces, sha256=expected)
        await self.transfers.join(final)
        await self.transfers.take("f")
        return AssembleUpload("f", sum(len(content) for content in contents))

    async def assemble(self, effect: AssembleUpload, job: QuietJob | None = None) -> Assembled | Mismatched:
        return await assemble_upload(
            effect,
            job or QuietJob(),
            transfers=self.transfers,
            parts=self.parts,
            blobs=self.blobs,
            arrivals=self.arrivals,
        )


@pytest_asyncio.fixture(loop_scope="session")
async def yard(database: str, tmp_path: Path) -> AsyncIterator[Yard]:
    engine = create_engine(database)
    await case_and_person(engine)
    yield Yard(engine, tmp_path)
    await engine.dispose()


async def test_parts_become_one_content_and_are_gone(yard: Yard) -> None:
    effect, job = await yard.joined(b"one ", b"two ", b"three"), QuietJob()
    done = await yard.assemble(effect, job)
    assert done == Assembled(effect=job.id, sha256=ADDRESS, bytes=13)
    assert yard.blobs.read(ADDRESS) == CONTENT
    assert yard.parts.received(MACHINE) == 0
    assert job.told[-1] == (13, 13, "bytes")
    assert await yard.assemble(effect) == done  # its answer was lost


async def test_a_file_in_one_piece_is_hashed_and_renamed(yard: Yard) -> None:
    await sent(yard.transfers, yard.parts, transfer("w", 13, machine=MACHINE), CONTENT)
    inode = yard.parts.path(transfer("w", machine=MACHINE).place).stat().st_ino
    assert await yard.assemble(AssembleUpload("w", 13)) == Assembled(
        effect="upload-0-a:1:0", sha256=ADDRESS, bytes=13
    )
    assert yard.blobs.path(ADDRESS).stat().st_ino == inode


async def test_content_that_is_stored_already_is_not_stored_twice(yard: Yard) -> None:
    writer = yard.blobs.open_writer()
    writer.write(CONTENT)
    writer.commit()
    effect = await yard.joined(b"one ", b"two three")
    assert isinstance(await yard.assemble(effect), Assembled)
    assert yard.parts.received(MACHINE) == 0


async def test_a_worker_that_died_after_the_second_part_is_repeated_from_the_first(yard: Yard) -> None:
    effect = await yard.joined(b"one ", b"two ", b"three")
    with pytest.raises(Cancelled):
        await yard.assemble(effect, QuietJob(looks_left=2))
    assert yard.parts.received(MACHINE) > 13
    assert isinstance(await yard.assemble(effect), Assembled)
    assert yard.blobs.read(ADDRESS) == CONTENT


async def test_a_file_that_is_not_the_one_announced_is_told_with_both_hashes(yard: Yard) -> None:
    expected = sha256(b"another").hexdigest()
    told = await yard.assemble(await yard.joined(b"one ", b"two three", expected=expected))
    assert isinstance(told, Mismatched)
    assert ADDRESS in told.reason
    assert expected in told.reason
    assert not yard.blobs.exists(ADDRESS)


async def test_bytes_that_were_lost_are_told_as_lost(yard: Yard) -> None:
    effect = await yard.joined(b"one ", b"two three")
    yard.parts.delete(transfer("p1", machine=MACHINE).place)
    with pytest.raises(Permanent, match="upload the file again"):
        await yard.assemble(effect)
    with pytest.raises(Permanent, match="upload the file again"):
        await yard.assemble(AssembleUpload("nobody's", 3))


async def test_two_workers_do_not_put_the_same_file_together(yard: Yard) -> None:
    effect = await yard.joined(b"one ", b"two three")
    writer = yard.parts.open(transfer("p0", machine=MACHINE).place)
    with pytest.raises(Temporary, match="another worker"):
        await yard.assemble(effect)
    writer.close()
    assert isinstance(await yard.assemble(effect), Assembled)


async def test_a_full_disk_is_waited_for(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    effect = await yard.joined(b"one ", b"two three")

    def full(self: DiskPartWriter, block: bytes) -> None:
        raise NoRoom

    with monkeypatch.context() as patch:
        patch.setattr(DiskPartWriter, "write", full)
        with pytest.raises(Temporary, match="full"):
            await yard.assemble(effect)
    assert isinstance(await yard.assemble(effect), Assembled)


async def test_what_is_not_wanted_any_more_is_dropped_with_all_its_parts(yard: Yard) -> None:
    await yard.joined(b"one ", b"two ")
    alone = transfer("alone", 3, kind="partial")
    await sent(yard.transfers, yard.parts, alone, b"abc")
    await yard.transfers.join(transfer("f2", None, kind="final", pieces=["alone"], machine=MACHINE))

    await drop_parts(
        DropParts(MACHINE, "f"), QuietJob(), transfers=yard.transfers, parts=yard.parts,
        arrivals=yard.arrivals, waits=never, ended=always,
    )  # fmt: skip
    assert yard.parts.received(MACHINE) == yard.parts.size(alone.place) == 0
    states = {(await yard.transfers.get(name)).state for name in ("p0", "p1", "f", "alone", "f2")}
    assert states == {"gone"}


async def test_bytes_that_got_their_address_while_they_were_cancelled_go_as_well(yard: Yard) -> None:
    effect = await yard.joined(b"one ", b"two ", b"three")
    await yard.assemble(effect)
    assert yard.blobs.exists(ADDRESS)
    dropped = DropParts(MACHINE, "f")
    stores = {"transfers": yard.transfers, "parts": yard.parts, "arrivals": yard.arrivals}
    await drop_parts(dropped, QuietJob(), **stores, waits=never, ended=never)
    assert yard.blobs.exists(ADDRESS)
    await drop_parts(dropped, QuietJob(), **stores, waits=never, ended=always)
    assert not yard.blobs.exists(ADDRESS)


async def test_what_is_expected_anew_is_not_dropped_by_its_earlier_failure(yard: Yard) -> None:
    await sent(yard.transfers, yard.parts, transfer("w", 3, machine=MACHINE), b"abc")

    await drop_parts(
        DropParts(MACHINE, ""), QuietJob(), transfers=yard.transfers, parts=yard.parts,
        arrivals=yard.arrivals, waits=always, ended=never,
    )  # fmt: skip
    assert yard.parts.received(MACHINE) == 3
    assert (await yard.transfers.get("w")).state == "open"
