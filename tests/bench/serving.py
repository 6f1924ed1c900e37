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


@asynccontextmanager
async def serving(**environment: str) -> AsyncIterator[str]:
    """Run `casewire serve` on a fresh data folder and give its address.

    Raises:
        RuntimeError: It did not become healthy within a minute; its output is above.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="casewire-") as folder:
        variables = os.environ | {
            "CASEWIRE_DATA": folder,
            "CASEWIRE_PORT": str(port),
            "CASEWIRE_LOG_LEVEL": "warning",
        }
        server = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "server.cli",
            "serve",
            env=variables | environment,
            cwd=Path(__file__).parents[2],
        )
        try:
            url = f"http://127.0.0.1:{port}"
            await _healthy(url, server)
            yield url
        finally:
            if server.returncode is None:
                server.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(40):
                    await server.wait()
            except TimeoutError:
                server.kill()
                await server.wait()


async def _healthy(url: str, server: asyncio.subprocess.Process) -> None:
    deadline = time.monotonic() + 60
    async with httpx.AsyncClient() as http:
        while time.monotonic() < deadline and server.returncode is None:
            try:
                if (await http.get(f"{url}/healthz")).status_code == 200:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.1)
    raise RuntimeError(f"the server did not become healthy (status {server.returncode})")


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
