"""Uploads through tus against a bare streaming upload and a plain copy, and the memory that they take.

Run with `python -m tests.bench.bench_upload`; prints two Markdown tables. All send the same file from
the page cache over loopback with `sendfile`, in turns; both servers run uvicorn with uvloop and httptools
in a process of their own. Ours answers when the bytes are on the disk for good; of the bare one there are
two, one that does the same and one that leaves them to the system. What a worker does after parts is a row
of its own.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from server.client import Client
from tests.bench.serving import Server, free_port, investigator, open_case, server

MIB = 1 << 20
SIZE = int(os.environ.get("BENCH_UPLOAD_MIB", "256")) * MIB
CHUNK = 8 * MIB
PARTS = 4
ROUNDS = 5
COPY = "copy-"
MEMORY = 16 * MIB
"""Of the first of three sizes, ten times larger each."""


class Line:
    """One kept-alive connection; requests in bytes, bodies from a file."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host = f"{address.hostname}:{address.port}"
        self._socket = socket.create_connection((address.hostname or "", address.port or 80))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(
        self, method: str, path: str, headers: dict[str, str], body: tuple[Path, int, int] | None = None
    ) -> dict[str, str]:
        """The answer's headers, with its status as `:status`."""
        length = body[2] if body else 0
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", f"Content-Length: {length}"]
        lines += [f"{key}: {value}" for key, value in headers.items()]
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        if body:
            with body[0].open("rb") as file:
                self._socket.sendfile(file, body[1], length)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._socket.recv(65_536)
        head, _, rest = answer.partition(b"\r\n\r\n")
        first, *more = head.decode().split("\r\n")
        told = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in more)}
        missing = int(told.get("content-length", 0)) - len(rest)
        while missing > 0:
            missing -= len(self._socket.recv(65_536))
        told[":status"] = first.split()[1]
        if not told[":status"].startswith("2"):
            raise RuntimeError(f"{method} {path} was answered by {first}")
        return told

    def close(self) -> None:
        self._socket.close()


class Tus:
    """Sends a file to a case in several ways."""

    def __init__(self, url: str, token: str, case: str) -> None:
        self.url = url
        self.case = f"/api/cases/{case}/tus"
        self._headers = {"Tus-Resumable": "1.0.0", "Authorization": f"Bearer {token}"}
        self.machine = ""

    def _patch(self, line: Line, url: str, file: Path, offset: int, start: int, length: int) -> None:
        body = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        line.ask("PATCH", url, self._headers | body, (file, start, length))

    def _create(self, line: Line, **headers: str) -> str:
        name = base64.b64encode(os.urandom(8).hex().encode()).decode()
        told = line.ask("POST", self.case, self._headers | {"Upload-Metadata": f"filename {name}"} | headers)
        self.machine = told.get("casewire-machine", "")
        return told["location"]

    def at_once(self, file: Path, size: int, chunk: int = 0) -> None:
        """One PATCH, or several of `chunk` bytes."""
        line = Line(self.url)
        url = self._create(line, **{"Upload-Length": str(size)})
        for offset in range(0, size, chunk or size):
            self._patch(line, url, file, offset, offset, min(chunk or size, size - offset))
        line.close()

    def in_parts(self, file: Path, size: int) -> None:
        """Side by side on connections of their own, joined at the end."""
        with ThreadPoolExecutor(PARTS) as pool:
            urls = list(pool.map(lambda part: self._part(file, size, part), range(PARTS)))
        line = Line(self.url)
        self._create(line, **{"Upload-Concat": "final;" + " ".join(urls)})
        line.close()

    def _part(self, file: Path, size: int, part: int) -> str:
        start, end = size * part // PARTS, size * (part + 1) // PARTS
        line = Line(self.url)
        url = self._create(line, **{"Upload-Length": str(end - start), "Upload-Concat": "partial"})
        self._patch(line, url, file, 0, start, end - start)
        line.close()
        return url


def bare(port: int, folder: str) -> None:
    """Serve the least that takes in a file."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def put(request: Request) -> Response:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=COPY, delete=False) as file:
            async for block in request.stream():
                file.write(block)
            file.flush()
            if request.path_params["synced"] == "synced":
                await asyncio.to_thread(os.fdatasync, file.fileno())
        return Response(status_code=204)

    app = Starlette(routes=[Route("/{synced}", put, methods=["PUT"])])
    uvicorn.run(app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", log_level="error")


@contextmanager
def bare_server(folder: str) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.bench_upload", "bare", str(port), folder]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def copy(file: Path, folder: str, size: int) -> None:
    """As `cp` and `sync` of the first bytes, in blocks of a MiB."""
    with (
        file.open("rb") as source,
        tempfile.NamedTemporaryFile(dir=folder, prefix=COPY, delete=False) as target,
    ):
        for _ in range(size // MIB):
            target.write(source.read(MIB))
        target.flush()
        os.fdatasync(target.fileno())


def stamp(file: Path) -> None:
    """Make it another file: what is stored already would not be stored again."""
    with file.open("r+b") as source:
        source.seek(2)
        source.write(os.urandom(16))


def put(url: str, path: str, file: Path, size: int) -> None:
    line = Line(url)
    line.ask("PUT", path, {}, (file, 0, size))
    line.close()


async def joined_s(client: Client, machine: str) -> float:
    """How long a worker took to put an upload together and to hash it."""

    def look() -> object:
        work = (client.machine(machine) or {}).get("context", {}).get("work", {}).get("assembling", {})
        return work if work.get("status") == "done" else None

    work = await client.wait_for(look)
    return float(work["ended"] - work["since"])


class Peak:
    """Resident memory of a process, looked at a hundred times a second."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self.bytes = 0
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.01):
            self.bytes = max(self.bytes, self._process.memory_info().rss)


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="casewire-upload-") as folder:
        file = Path(folder) / "file"
        with file.open("wb") as source:
            block = bytearray(b"\x00\x01" + os.urandom(MIB - 2))
            for number in range(max(SIZE, 100 * MEMORY) // MIB):
                block[8:16] = number.to_bytes(8, "big")
                source.write(block)
        async with (
            server(CASEWIRE_CPU_WORKERS="1", CASEWIRE_GPU_WORKERS="0") as running,
            investigator(running.url) as client,
        ):
            with bare_server(folder) as plain:
                await race(running, client, plain, file, folder)
            await memory(running, await tus_of(running, client), file)


async def tus_of(running: Server, client: Client) -> Tus:
    case = await open_case(client, "Uploads")
    token = await client.request("POST", "/api/tokens", {"name": "bench", "scopes": ["write"]})
    return Tus(running.url, token["secret"], case)


async def race(running: Server, client: Client, plain: str, file: Path, folder: str) -> None:
    tus = await tus_of(running, client)
    calls: dict[str, Callable[[], None]] = {
        "tus, one PATCH": lambda: tus.at_once(file, SIZE),
        "tus, PATCHes of 8 MiB": lambda: tus.at_once(file, SIZE, CHUNK),
        "tus, 4 parts side by side": lambda: tus.in_parts(file, SIZE),
        "bare, synced": lambda: put(plain, "/synced", file, SIZE),
        "bare, left to the system": lambda: put(plain, "/left", file, SIZE),
        "copy, synced": lambda: copy(file, folder, SIZE),
    }
    taken: dict[str, list[float]] = {name: [] for name in calls}
    joined = []
    for turn in range(ROUNDS + 1):  # the first is not counted
        for name, call in calls.items():
            stamp(file)
            began = time.perf_counter()
            await asyncio.to_thread(call)
            taken[name].append(time.perf_counter() - began)
            if name == "tus, 4 parts side by side":
                joined.append(await joined_s(client, tus.machine))
            # Of the next one's time nothing goes into what this one has left to write and to free.
            for left in Path(folder).glob(f"{COPY}*"):
                left.unlink()
            await asyncio.to_thread(os.sync)
        if not turn:
            taken = {name: [] for name in calls}
            joined.clear()
    rates = {name: SIZE / MIB / statistics.median(times) for name, times in taken.items()}
    rates["a worker joins and hashes 4 parts"] = SIZE / MIB / statistics.median(joined)
    print(f"{SIZE >> 20} MiB, median of {ROUNDS}, in turns\n")
    print("| way | MiB/s | of bare, synced | of a copy |\n|---|---:|---:|---:|")
    for name, rate in rates.items():
        of_bare, of_copy = rate / rates["bare, synced"], rate / rates["copy, synced"]
        print(f"| {name} | {rate:.0f} | {of_bare:.2f} | {of_copy:.2f} |")


async def memory(running: Server, tus: Tus, file: Path) -> None:
    assert running.process is not None
    await asyncio.to_thread(tus.at_once, file, MEMORY)
    print("\n| size, MiB | peak resident memory of the server, MiB |\n|---:|---:|")
    for times in (1, 10, 100):
        stamp(file)
        with Peak(running.process.pid) as peak:
            await asyncio.to_thread(tus.at_once, file, times * MEMORY)
        print(f"| {times * MEMORY >> 20} | {peak.bytes / MIB:.0f} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        bare(int(sys.argv[2]), sys.argv[3])
    else:
        asyncio.run(main())
