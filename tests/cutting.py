"""A proxy in front of Redis that cuts connections where a test wants it to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

Cut = Callable[[bytes, bytes], int | None]
"""Given what was asked since the last reply and the reply: how much of it to let through, None for all."""


@dataclass
class CuttingProxy:
    """Passes everything on, and cuts a connection after Redis has answered and before that is told.

    Attributes:
        url: Where clients connect to.
        cut: May be set anew at any time.
        cuts: How often it was so.
    """

    url: str
    cut: Cut = field(default=lambda asked, reply: None)
    cuts: int = 0

    async def pass_on(
        self, upstream: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(upstream)
        asked = bytearray()

        async def forth() -> None:
            while request := await reader.read(2**16):
                asked.extend(request)
                up_writer.write(request)
                await up_writer.drain()

        async def back() -> None:
            while reply := await up_reader.read(2**16):
                through = self.cut(bytes(asked), reply)
                asked.clear()
                writer.write(reply[:through])
                await writer.drain()
                if through is not None:
                    self.cuts += 1
                    return

        ways = [asyncio.ensure_future(forth()), asyncio.ensure_future(back())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, up_writer):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()


@asynccontextmanager
async def cutting_proxy(redis_url: str, folder: Path) -> AsyncIterator[CuttingProxy]:
    """A proxy in front of the Redis on a Unix socket, until the block ends."""
    upstream = redis_url.removeprefix("unix://").partition("?")[0]
    socket = folder / "cutting.sock"
    proxy = CuttingProxy(f"unix://{socket}")
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(proxy.pass_on(upstream, reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_unix_server(accept, socket)
    try:
        yield proxy
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        socket.unlink(missing_ok=True)
