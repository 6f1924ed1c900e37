"""A receiver of webhooks on a real port, which checks signatures by its own means."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.patience import PATIENCE_S

HANG = -1
"""Instead of a status: never answer."""


@dataclass
class Request:
    """What arrived."""

    headers: dict[str, str]
    body: bytes
    path: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def offset(self) -> int:
        return int(self.json["data"]["offset"])

    def signed_by(self, secret: str) -> bool:
        """As the convention has it: one of the signatures fits."""
        content = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        digest = hmac.new(base64.b64decode(secret.split("_", 1)[1]), content, hashlib.sha256).digest()
        wanted = b"v1," + base64.b64encode(digest)
        return any(each.encode() == wanted for each in self.headers["webhook-signature"].split(" "))


@dataclass
class Receiver:
    """Answers 200 unless `plan` has something else, which is used up from the front."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    taken: list[Request] = field(default_factory=list)
    plan: list[int] = field(default_factory=list)
    always: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    on_request: Callable[[Request], Awaitable[None]] | None = None
    under_way: int = 0
    most_under_way: int = 0
    port: int = 0
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def until(self, count: int) -> list[Request]:
        """Wait until so many requests were taken."""
        await self.wait(lambda: len(self.taken) >= count)
        return self.taken

    async def wait(self, ready: Callable[[], bool]) -> None:
        """Wait for something that requests bring about."""
        async with asyncio.timeout(PATIENCE_S):
            while not ready():  # noqa: ASYNC110 - told by nothing
                await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")[:-2]
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                await self._answer(Request(headers, body, first.split(" ")[1]), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.on_request is not None:
                await self.on_request(request)
            status = self.plan.pop(0) if self.plan else self.always
            if status == HANG:
                await asyncio.Event().wait()
            if 200 <= status < 300:
                self.taken.append(request)
            extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n{extra}\r\nok".encode())
            await writer.drain()
        finally:
            self.under_way -= 1


@asynccontextmanager
async def receiving(receiver: Receiver | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a free port, or one again on the port that it had."""
    receiver = receiver or Receiver()
    server = await asyncio.start_server(receiver._serve, "127.0.0.1", receiver.port)
    receiver.port = server.sockets[0].getsockname()[1]
    receiver.url = f"http://127.0.0.1:{receiver.port}/hook"
    try:
        yield receiver
    finally:
        server.close()
        for writer in list(receiver.open):
            writer.close()
