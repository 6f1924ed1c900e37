"""A site on a free loopback port, with answers by path and a record of what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answer = tuple[int, dict[str, str], bytes]

FEED = b"""<?xml version="1.0"?>
<rss version="2.0"><channel><title>Harbour News</title>
<item><title>Blast at the quarry</title><link>https://news.example.org/blast</link>
<pubDate>Mon, 16 May 2033 08:00:00 GMT</pubDate>
<description>&lt;p&gt;The blast of bench nine was heard in the whole valley.&lt;/p&gt;</description></item>
<item><title>Fish on Friday</title><link>javascript:alert(1)</link>
<description>Cod again.</description></item>
</channel></rss>"""


@dataclass
class Site:
    """Paths and their answers; what is not there is 404. `asked` holds path and headers of each request."""

    pages: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    host: str = ""

    def put(self, path: str, content: bytes, kind: str = "text/html", status: int = 200, **more: str) -> None:
        headers = {"Content-Type": kind} | {name.replace("_", "-"): value for name, value in more.items()}
        self.pages[path] = (status, headers, content)

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        path = first.split(" ")[1]
        headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in lines)}
        self.asked.append((path, headers))
        status, told, content = self.pages.get(path, (404, {}, b""))
        if told.get("ETag") and headers.get("if-none-match") == told["ETag"]:
            status, content = 304, b""
        told = told | {"Content-Length": str(len(content)), "Connection": "close"}
        answer = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        writer.write(f"HTTP/1.1 {status} Said\r\n{answer}\r\n".encode() + content)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """Serve until the block ends."""
    made = Site()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()[:2]
    made.host = f"{host}:{port}"
    async with listening:
        yield made
