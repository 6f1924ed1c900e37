"""A real server of its own for a benchmark or a browser: started, logged in to, ended."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from server.client import Client

EMAIL = "bench@casewire.example"
PASSWORD = secrets.token_urlsafe(12)
"""Of this run; the account ends with the data folder."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`casewire serve` on a data folder and a port that stay the same when it is started again.

    Args:
        module: What is run with the argument `serve`.
    """

    def __init__(self, folder: str, environment: dict[str, str], *, module: str = "server.cli") -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._module = module
        self._environment = os.environ | {
            "CASEWIRE_DATA": folder,
            "CASEWIRE_PORT": str(self.port),
            "CASEWIRE_LOG_LEVEL": "error",
            **environment,
        }
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start and wait until it is healthy.

        Raises:
            RuntimeError: It did not become healthy within two minutes; its output is above.
        """
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._module, "serve", env=self._environment, cwd=Path(__file__).parents[2]
        )
        deadline = time.monotonic() + 120
        async with httpx.AsyncClient() as http:
            while time.monotonic() < deadline and self.process.returncode is None:
                try:
                    if (await http.get(f"{self.url}/healthz")).status_code == 200:
                        return
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
        raise RuntimeError(f"the server did not become healthy (status {self.process.returncode})")

    async def stop(self) -> None:
        """End it as an administrator would; kill it where that does not help."""
        if self.process is None:
            return
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(40):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    async def kill(self) -> None:
        """`kill -9`, nothing said."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def server(**environment: str) -> AsyncIterator[Server]:
    """A server that can be stopped and started, on a fresh data folder."""
    with tempfile.TemporaryDirectory(prefix="casewire-") as folder:
        running = Server(folder, environment)
        try:
            await running.start()
            yield running
        finally:
            await running.stop()


@asynccontextmanager
async def serving(**environment: str) -> AsyncIterator[str]:
    """The address of a server on a fresh data folder."""
    async with server(**environment) as running:
        yield running.url


@asynccontextmanager
async def investigator(url: str, email: str = EMAIL) -> AsyncIterator[Client]:
    """A registered and connected client."""
    async with Client(url, timeout_s=120) as client:
        await client.register(email, "Bench", PASSWORD)
        await client.connect()
        await client.subscribe(f"user:{client.user['id']}")
        yield client


async def open_case(client: Client, title: str) -> str:
    """A new case, followed."""
    case = await client.request("POST", "/api/cases", {"title": title})
    await client.subscribe(f"case:{case['id']}")
    return str(case["id"])
