"""A Redis Cluster of three masters on loopback, made without any tool of Redis but the server."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as LostConnection

from storage.embedded_redis import find_binary
from tests.patience import PATIENCE_S

MASTERS = 3
SLOTS = 16_384
_BUS = 10_000
"""What Redis adds to a port for the bus between the servers."""


def free_port() -> int:
    """A loopback port whose bus port is free as well; no outgoing connection gets either of them."""
    while True:
        port = 20_000 + secrets.randbelow(2_500)
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + _BUS))
            return port


@asynccontextmanager
async def redis_cluster(folder: Path) -> AsyncIterator[str]:
    """Serve until the block ends; yields the URL of one of the masters."""
    async with contextlib.AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(_master(folder / f"{n}")) for n in range(MASTERS)]
        clients: list[Any] = [Redis(port=port, retry=Retry(ConstantBackoff(0.02), 5000)) for port in ports]
        for client in clients:
            stack.push_async_callback(client.aclose)
        for number, client in enumerate(clients):
            slots = range(number * SLOTS // MASTERS, (number + 1) * SLOTS // MASTERS)
            await client.execute_command("CLUSTER", "ADDSLOTS", *slots)
            await client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for port in ports[1:]:
            await clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)
        async with asyncio.timeout(PATIENCE_S):
            for client in clients:
                while not await _whole(client):  # noqa: ASYNC110 - the servers find each other
                    await asyncio.sleep(0.05)
        yield f"redis://127.0.0.1:{ports[0]}"


async def _whole(client: Any) -> bool:
    told = await client.execute_command("CLUSTER", "INFO")
    state = told if isinstance(told, dict) else dict(line.split(":") for line in told.decode().split())
    return state["cluster_state"] == "ok" and int(state["cluster_known_nodes"]) == MASTERS


@asynccontextmanager
async def _master(folder: Path) -> AsyncIterator[int]:
    folder.mkdir(parents=True)
    async with asyncio.timeout(PATIENCE_S):
        while (started := await _started(folder)) is None:
            pass  # another process was faster to take the port
    process, port = started
    try:
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _started(folder: Path) -> tuple[asyncio.subprocess.Process, int] | None:
    """A server that answers and its port; None where it could not have the port."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        find_binary().path,
        *("--port", f"{port}", "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""),
        *("--cluster-enabled", "yes", "--cluster-node-timeout", "120000", "--appendonly", "yes"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    async with Redis(port=port) as client:
        while process.returncode is None:
            with contextlib.suppress(LostConnection):
                if (await client.info("server"))["process_id"] == process.pid:
                    return process, port
            await asyncio.sleep(0.02)
    return None
