"""A hostile file costs one failed reading; the sandbox and its owner go on."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from handlers.job import Cancelled, Temporary
from handlers.parsing.parsed import Parsed, PasswordNeeded, Source, Unreadable
from handlers.reading import Check, Room, Sink
from handlers.sandbox import Sandbox
from tests.handlers import files
from tests.handlers.outlet import Sunk
from tests.patience import PATIENCE_S
from tests.server.runtime_parts import until

ROOM = Room(1000, 1 << 30)


@pytest_asyncio.fixture(loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(memory_bytes=256 << 20, time_s=PATIENCE_S)
    yield sandbox
    await sandbox.aclose()


async def ignore(*_: object) -> None:
    return


async def read(
    sandbox: Sandbox,
    path: Path,
    media_type: str = "text/plain",
    password: str = "",
    *,
    check: Check = ignore,
    sink: Sink | None = None,
    room: Room = ROOM,
) -> Parsed:
    source = Source(path, media_type, password)
    return await sandbox.read(source, progress=ignore, check=check, sink=sink or Sunk(), room=room)


def pid_of(sandbox: Sandbox) -> int:
    assert sandbox._child is not None
    return sandbox._child.process.pid


async def test_one_child_reads_file_after_file(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Plain words.", encoding="utf-8")
    assert (await read(sandbox, tmp_path / "a.txt")).text == "Plain words."
    first = pid_of(sandbox)
    parsed = await read(sandbox, files.pdf(tmp_path / "a.pdf", ["Printed words."]), "application/pdf")
    assert (parsed.text, parsed.pages, parsed.lines[0].page) == ("Printed words.", [(0, 14)], 1)
    with pytest.raises(PasswordNeeded):
        await read(sandbox, files.pdf(tmp_path / "b.pdf", ["x"], password="p"), "application/pdf")
    assert pid_of(sandbox) == first


async def test_attachments_come_through_byte_by_byte(sandbox: Sandbox, tmp_path: Path) -> None:
    message = files.mail()
    contents = [os.urandom(300_000), b"second"]
    for content in contents:
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename="a.bin")
    (tmp_path / "a.eml").write_bytes(message.as_bytes())
    sunk = Sunk()
    await read(sandbox, tmp_path / "a.eml", "message/rfc822", sink=sunk)
    assert sunk.attached == [("a.bin", content) for content in contents]


async def test_a_file_that_needs_too_much_memory_fails_alone(tmp_path: Path) -> None:
    sandbox = Sandbox(memory_bytes=64 << 20, time_s=PATIENCE_S)
    (tmp_path / "big.txt").write_bytes(b"many words and more " * 4_000_000)
    (tmp_path / "small.txt").write_text("few", encoding="utf-8")
    with pytest.raises(Unreadable, match="64 MiB of memory"):
        await read(sandbox, tmp_path / "big.txt")
    assert (await read(sandbox, tmp_path / "small.txt")).text == "few"
    await sandbox.aclose()


async def test_a_file_that_takes_too_long_fails_alone(tmp_path: Path) -> None:
    sandbox = Sandbox(memory_bytes=1 << 30, time_s=1, total_s=600)
    os.mkfifo(tmp_path / "endless")
    (tmp_path / "small.txt").write_text("few", encoding="utf-8")
    with pytest.raises(Unreadable, match="no further for 1 seconds"):
        await read(sandbox, tmp_path / "endless")

    async def small() -> str:
        with suppress(Unreadable):  # it may have no second of a busy machine
            return (await read(sandbox, tmp_path / "small.txt")).text
        return ""

    assert await until(small) == "few"
    await sandbox.aclose()


async def test_a_killed_child_is_a_temporary_failure(sandbox: Sandbox, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless")
    (tmp_path / "small.txt").write_text("few", encoding="utf-8")
    await read(sandbox, tmp_path / "small.txt")
    pid = pid_of(sandbox)
    reading = asyncio.create_task(read(sandbox, tmp_path / "endless"))

    async def opened() -> int:
        with suppress(OSError):  # as long as nobody reads it
            return os.open(tmp_path / "endless", os.O_WRONLY | os.O_NONBLOCK)
        return 0

    writing = await until(opened)
    os.kill(pid, 9)
    with pytest.raises(Temporary, match="killed"):
        await reading
    os.close(writing)
    assert (await read(sandbox, tmp_path / "small.txt")).text == "few"


async def test_cancelling_ends_the_child_and_not_the_sandbox(sandbox: Sandbox, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless")
    (tmp_path / "small.txt").write_text("few", encoding="utf-8")

    async def cancelled() -> None:
        raise Cancelled

    await read(sandbox, tmp_path / "small.txt")
    pid = pid_of(sandbox)
    with pytest.raises(Cancelled):
        await read(sandbox, tmp_path / "endless", check=cancelled)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert (await read(sandbox, tmp_path / "small.txt")).text == "few"


async def test_a_child_is_replaced_after_some_files(tmp_path: Path) -> None:
    sandbox = Sandbox(memory_bytes=1 << 30, time_s=PATIENCE_S, recycle_after=2)
    (tmp_path / "a.txt").write_text("few", encoding="utf-8")
    await read(sandbox, tmp_path / "a.txt")
    pid = pid_of(sandbox)
    await read(sandbox, tmp_path / "a.txt")
    assert sandbox._child is None
    await read(sandbox, tmp_path / "a.txt")
    assert pid_of(sandbox) != pid
    await sandbox.aclose()


async def test_the_child_knows_nothing_of_its_parents_environment(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    (tmp_path / "a.txt").write_text("few", encoding="utf-8")
    await read(sandbox, tmp_path / "a.txt")
    environment = Path(f"/proc/{pid_of(sandbox)}/environ").read_bytes()
    assert b"PYTHONPATH" in environment
    assert b"secret" not in environment
