"""A server on loopback that speaks the part of Ollama's HTTP interface that answers use."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class OllamaServer:
    """Answers every chat with `pieces`, one line each; `status` other than 200 refuses.

    With `breaks_off` the connection ends before the last line, which tells `done_reason`.
    """

    pieces: Sequence[str] = ()
    status: int = 200
    breaks_off: bool = False
    done_reason: str = "stop"
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        path = head.split(" ")[1]
        self.requests.append({"path": path, **json.loads(await reader.readexactly(length))})
        if self.status != 200:
            body = json.dumps({"error": f"model '{self.requests[-1]['model']}' not found"}).encode()
            writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        else:
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            lines = [{"message": {"role": "assistant", "content": p}, "done": False} for p in self.pieces]
            last = {"role": "assistant", "content": ""}
            lines.append({"message": last, "done": True, "done_reason": self.done_reason})
            for line in lines[: -1 if self.breaks_off else None]:
                data = json.dumps({"model": self.requests[-1]["model"], **line}).encode() + b"\n"
                writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                await writer.drain()
            if not self.breaks_off:
                writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()


@asynccontextmanager
async def ollama(server: OllamaServer) -> AsyncIterator[OllamaServer]:
    """Serve on a free port."""
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()[:2]
    server.url = f"http://{host}:{port}"
    async with listening:
        yield server
