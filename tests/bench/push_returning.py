"""A crowd that comes back at once: each socket shakes hands, subscribes from where it was, and is done."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from typing import cast

import orjson

from tests.bench.push_crowd import text_frame

AT_A_TIME = 3_000
"""Connections being made; the kernel lets no more than 4,096 wait to be accepted."""


@dataclass
class Returned:
    """How they fared."""

    recovered: int = 0
    snapshots: int = 0
    refused: int = 0
    entries: int = 0
    wrong: list[str] = field(default_factory=list)


class Visitor(asyncio.Protocol):
    """One socket."""

    def __init__(self, request: bytes, topic: str, epoch: str, offset: int, into: Returned) -> None:
        since = {"epoch": epoch, "offset": offset}
        self._request = request
        self._subscribe = {"type": "subscribe", "id": 1, "topic": topic, "since": since}
        self._offset = offset
        self._into = into
        self._heard = b""
        self._greeted = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.done.done():
            return
        self._heard += data
        if not self._greeted:
            head, found, rest = self._heard.partition(b"\r\n\r\n")
            if not found:
                return
            self._greeted, self._heard = True, rest
            if b" 101 " not in head.split(b"\r\n")[0]:
                self._into.wrong.append(head.decode(errors="replace"))
                self._end(refused=True)
                return
            assert self.transport is not None
            self.transport.write(text_frame(orjson.dumps(self._subscribe)))
        if len(self._heard) < 4:
            return
        start, size = 2, self._heard[1]
        if size == 126:
            start, size = 4, struct.unpack("!H", self._heard[2:4])[0]
        elif size == 127:
            if len(self._heard) < 10:
                return
            start, size = 10, struct.unpack("!Q", self._heard[2:10])[0]
        if len(self._heard) >= start + size:
            self._take(self._heard[0] & 15, self._heard[start : start + size])

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode != 1:
            self._into.wrong.append(f"closed with {int.from_bytes(payload[:2], 'big')}")
            self._end(refused=True)
            return
        answer = orjson.loads(payload)
        if answer.get("recovered"):
            offsets = [entry["offset"] for entry in answer["entries"]]
            self._into.recovered += 1
            self._into.entries += len(offsets)
            if offsets != list(range(self._offset + 1, answer["offset"] + 1)):
                self._into.wrong.append(f"{offsets} after {self._offset}")
        elif answer["type"] == "ok":
            self._into.snapshots += 1
        else:
            self._into.refused += 1
            self._into.wrong.append(str(answer))
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._end(refused=True)

    def _end(self, *, refused: bool = False) -> None:
        self._into.refused += refused
        self._heard = b""
        self.done.set_result(None)


async def come_back(
    port: int, visits: list[tuple[bytes, str, str, int]]
) -> tuple[Returned, list[asyncio.Transport]]:
    """Everybody connects at once and waits for what was missed: request, topic, epoch and offset of each.

    The connections stay open.
    """
    loop = asyncio.get_running_loop()
    into = Returned()
    gate = asyncio.Semaphore(AT_A_TIME)
    transports: list[asyncio.Transport] = []

    async def one(visit: tuple[bytes, str, str, int]) -> None:
        async with gate:
            transport, visitor = await loop.create_connection(
                lambda: Visitor(*visit, into), "127.0.0.1", port
            )
            transports.append(transport)
        await visitor.done

    await asyncio.gather(*(one(visit) for visit in visits))
    return into, transports
