"""`kill -9` in the middle of an upload: of the whole server, and of the process that takes it in."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import pytest

from server.client import Client
from tests.bench.serving import Server, investigator, open_case, server

pytestmark = pytest.mark.timeout(600)

SIZE = 48 << 20


@asynccontextmanager
async def two_processes() -> AsyncIterator[tuple[Server, Client, str]]:
    """A server of two processes with one worker, somebody logged in, and their case."""
    two = {"CASEWIRE_PROCESSES": "2", "CASEWIRE_CPU_WORKERS": "1", "CASEWIRE_GPU_WORKERS": "0"}
    async with server(**two) as running, investigator(running.url) as client:
        yield running, client, await open_case(client, "A long night")


def file_of(path: Path, size: int) -> str:
    """A file that no reader takes, and its SHA-256."""
    block, said = b"\x00\x01" + os.urandom((1 << 20) - 2), sha256()
    with path.open("wb") as file:
        for number in range(size >> 20):
            some = number.to_bytes(8, "big") + block[8:]
            file.write(some)
            said.update(some)
    return said.hexdigest()


class At:
    """Does something once, when so much of a file was sent."""

    def __init__(self, part: float, do: Callable[[], None]) -> None:
        self._part = part
        self._do = do
        self.done_at = 0
        self.went_on_at = 0

    def progress(self, done: int, total: int) -> None:
        """Told by the client after each block."""
        if self.done_at and not self.went_on_at:
            self.went_on_at = done
        if not self.done_at and done >= self._part * total:
            self.done_at = done
            self._do()


async def ended(client: Client, machine: str) -> dict[str, Any]:
    def look() -> Any:
        known = client.machine(machine)
        return known if known and "failed" in known["configuration"] else None

    found: dict[str, Any] = await client.wait_for(look)
    return found


@pytest.mark.slow
async def test_an_upload_goes_on_after_the_server_was_killed_and_started_again(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    expected = await asyncio.to_thread(file_of, path, SIZE)
    async with two_processes() as (running, client, case):
        killed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def kill() -> None:
            assert running.process is not None
            os.kill(running.process.pid, signal.SIGKILL)
            loop.call_soon(killed.set)

        at = At(0.4, kill)
        sending = asyncio.create_task(client.upload_file(case, path, at.progress))
        await killed.wait()
        assert running.process is not None
        await running.process.wait()
        await running.start()
        machine = await sending
        assert at.went_on_at > 0.2 * SIZE
        found = await ended(client, machine)
        assert found["context"]["sha256"] == expected
        assert found["context"]["work"]["assembling"]["status"] == "done"


@pytest.mark.slow
async def test_an_upload_goes_on_at_the_other_process_when_one_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    expected = await asyncio.to_thread(file_of, path, SIZE)
    async with two_processes() as (running, client, case):
        assert running.process is not None
        owner = psutil.Process(running.process.pid)

        def kill() -> None:
            for child in owner.children():
                sockets = {c.laddr.port for c in child.net_connections("tcp") if c.status == "ESTABLISHED"}
                writing = any("/parts/" in opened.path for opened in child.open_files())
                if writing and running.port in sockets:
                    child.kill()
                    return
            raise AssertionError("no process is taking it in")

        at = At(0.5, kill)
        machine = await client.upload_file(case, path, at.progress)
        assert at.went_on_at > 0.2 * SIZE
        found = await ended(client, machine)
        assert found["context"]["sha256"] == expected
        assert running.process.returncode is None
