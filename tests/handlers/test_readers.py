"""What the sandbox promises to readers: files from inside and pictures come through, within limits."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from handlers.inside import Inside
from handlers.parsing.parsed import Parsed, Source, Unreadable
from handlers.parsing.readers import READERS, reader
from handlers.reading import Progress, Room, Sink
from handlers.sandbox import Sandbox
from storage.blobs_disk import DiskBlobs
from tests.handlers import files
from tests.handlers.outlet import Sunk
from tests.patience import PATIENCE_S

ROOM = Room(100, 1 << 30)
ODD = {"text/odd": "tests.handlers.odd_reader"}


@pytest_asyncio.fixture(loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(
        memory_bytes=128 << 20,
        time_s=PATIENCE_S,
        output_bytes=100_000,
        readers=ODD,
        tools={"language": "eng"},
    )
    yield sandbox
    await sandbox.aclose()


async def ignore(*_: object) -> None:
    return


async def do(
    sandbox: Sandbox,
    folder: Path,
    *commands: str,
    sink: Sink | None = None,
    room: Room = ROOM,
    progress: Progress = ignore,
) -> Parsed:
    (folder / "file").write_text("\n".join(commands), "utf-8")
    source = Source(folder / "file", "text/odd", filename="odd.txt", tools={"more": "yes"})
    return await sandbox.read(source, progress=progress, check=ignore, sink=sink or Sunk(), room=room)


@pytest.mark.parametrize("media_type", sorted(READERS))
def test_every_reader_can_be_imported_and_is_one(media_type: str) -> None:
    assert callable(reader(READERS[media_type]))
    assert importlib.import_module(READERS[media_type]).__doc__


async def unless_starved(work: Callable[[], Awaitable[str]]) -> str:
    """What a reader does in time, in one of many tries: it may have had no time of a busy machine."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with suppress(Unreadable):
                return await work()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["page", "file"])
async def test_a_long_file_is_read_as_long_as_its_reader_gets_on(tmp_path: Path, how: str) -> None:
    sandbox = Sandbox(memory_bytes=128 << 20, time_s=3, total_s=600, readers=ODD)

    async def work() -> str:
        return (await do(sandbox, tmp_path, f"work 20 0.2 {how}")).text

    try:
        assert await unless_starved(work) == "worked"
        with pytest.raises(Unreadable, match="got no further for 3 seconds"):
            await do(sandbox, tmp_path, "work 100 0.2 silently")
    finally:
        await sandbox.aclose()


async def test_a_file_is_not_read_for_ever_however_far_it_gets(tmp_path: Path) -> None:
    sandbox = Sandbox(memory_bytes=128 << 20, time_s=600, total_s=1.5, readers=ODD)
    try:
        with pytest.raises(Unreadable, match=r"takes longer than 1\.5 seconds"):
            await do(sandbox, tmp_path, "work 1000 0.02 page")
    finally:
        await sandbox.aclose()


async def test_time_that_storing_takes_is_not_the_readers(tmp_path: Path) -> None:
    class Slow(Sunk):
        async def end(self) -> None:
            await asyncio.sleep(3.3)
            await super().end()

    sandbox = Sandbox(memory_bytes=128 << 20, time_s=3, total_s=600, readers=ODD)

    async def attach() -> str:
        return (await do(sandbox, tmp_path, "attach a 1 10", sink=Slow())).text

    try:
        assert await unless_starved(attach) == "attached"
    finally:
        await sandbox.aclose()


async def test_a_reader_is_told_the_name_and_the_tools(sandbox: Sandbox, tmp_path: Path) -> None:
    parsed = await do(sandbox, tmp_path)
    assert parsed.meta == {"filename": "odd.txt", "tools": {"language": "eng", "more": "yes"}}


async def test_progress_has_a_unit(sandbox: Sandbox, tmp_path: Path) -> None:
    told = []

    async def progress(done: int, total: int, unit: str) -> None:
        told.append((done, total, unit))

    await do(sandbox, tmp_path, "progress mails", progress=progress)
    assert told == [(7, 7, "mails")]


async def test_files_from_inside_come_in_blocks_and_in_order(sandbox: Sandbox, tmp_path: Path) -> None:
    sunk = Sunk()
    await do(sandbox, tmp_path, "attach a 1 5", "attach empty 0 0", "attach b 2 3000000", sink=sunk)
    expected = [("a", b"\0" * 5), ("empty", b""), ("b", b"\0" * 3_000_000 + b"\1" * 3_000_000)]
    assert sunk.attached == expected
    assert sunk.largest_block == 1 << 20


async def test_a_file_that_breaks_off_is_dropped_and_the_others_follow(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sunk = Sunk()
    parsed = await do(sandbox, tmp_path, "break-off bad", "attach good 1 5", sink=sunk)
    assert parsed.text == "dropped: checksum\nattached"
    assert ([name for name, _ in sunk.attached], sunk.dropped) == (["good"], ["bad"])


async def test_a_reader_is_told_when_no_more_is_accepted(sandbox: Sandbox, tmp_path: Path) -> None:
    sunk = Sunk()
    commands = ("attach a 1 5", "attach b 1 5", "attach c 1 5")
    parsed = await do(sandbox, tmp_path, *commands, sink=sunk, room=Room(2, 100))
    assert parsed.text.splitlines()[1:] == ["attached", "too much: more than 2 files are inside"]
    assert len(sunk.attached) == 2

    sunk = Sunk()
    commands = ("attach a 1 5", "attach b 3 1000000", "attach c 1 5")
    parsed = await do(sandbox, tmp_path, *commands, sink=sunk, room=Room(9, 2 << 20))
    too_much = "too much: what is inside takes more than 2 MiB"
    assert parsed.text.splitlines() == ["attached", too_much, too_much]
    assert [name for name, _ in sunk.attached] == ["a"]
    assert sunk.dropped == ["b", "c"]


async def test_without_room_nothing_is_taken_up_and_all_is_named(sandbox: Sandbox, tmp_path: Path) -> None:
    sunk = Sunk()
    await do(sandbox, tmp_path, "attach a 1 5", "break-off b", sink=sunk, room=Room(0, 0))
    assert (sunk.attached, sunk.refused) == ([], ["a", "b"])


async def test_what_is_made_of_a_file_is_limited_apart_from_what_is_inside(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    assert len((await do(sandbox, tmp_path, "attach a 10 1000000", "say 90000")).text) > 90_000
    with pytest.raises(Unreadable, match="what is read from it takes more"):
        await do(sandbox, tmp_path, "say 200000")


async def test_derived_pictures_become_blobs(sandbox: Sandbox, tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path / "blobs")
    needed = []

    async def need(sha256: str) -> None:
        needed.append(sha256)

    inside = Inside(blobs, need)
    await do(sandbox, tmp_path, "derive still-1.png", "attach a 2 2000000", "break-off b", sink=inside)
    await inside.close()
    (derived,) = inside.derived
    assert (derived.name, derived.media_type, derived.bytes) == ("still-1.png", "image/png", 7)
    assert blobs.read(derived.sha256) == b"picture"
    (stored,) = inside.stored
    assert blobs.read(stored.sha256) == b"\0" * 2_000_000 + b"\1" * 2_000_000
    assert sorted(needed) == sorted([derived.sha256, stored.sha256])
    assert list(blobs.unfinished.iterdir()) == []


async def test_a_file_hundreds_of_times_larger_takes_no_more_memory(sandbox: Sandbox, tmp_path: Path) -> None:
    class Nowhere(Sunk):
        async def write(self, block: bytes) -> None:
            self.largest_block += len(block)

    await do(sandbox, tmp_path, "attach a 1 1000000", sink=Nowhere())
    ours = psutil.Process()
    assert sandbox._child is not None
    child = psutil.Process(sandbox._child.process.pid)
    before = ours.memory_info().rss, child.memory_info().rss
    nowhere = Nowhere()
    await do(sandbox, tmp_path, "attach a 500 1000000", sink=nowhere)
    assert nowhere.largest_block == 500_000_000
    after = ours.memory_info().rss, child.memory_info().rss
    assert all(now - then < 30 << 20 for now, then in zip(after, before, strict=True))


async def test_a_kind_without_a_reader_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(Unreadable, match="no reader"):
        await sandbox.read(Source(tmp_path / "a", "text/plain"), progress=ignore, check=ignore, sink=Sunk())


async def test_a_library_is_loaded_outside_the_memory_of_the_file(tmp_path: Path) -> None:
    sandbox = Sandbox(memory_bytes=48 << 20, time_s=PATIENCE_S, readers=READERS)
    (tmp_path / "a").write_text("few words", "utf-8")
    files.pdf(tmp_path / "b", ["Printed words."])
    for name, media_type in (("a", "text/plain"), ("b", "application/pdf")):
        source = Source(tmp_path / name, media_type)
        assert "words" in (await sandbox.read(source, progress=ignore, check=ignore, sink=Sunk())).text
    await sandbox.aclose()
