"""One websocket that comes again by itself: topics go on where they stood, requests are asked again.

A request is sent again after a lost connection with the same `event_id`, so nothing is done twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Origin, Subprotocol

from server.client_topics import Message, Reader, Refused, Topic

_STOP = 3500
"""From this close code on, coming again has no use."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0
_OPEN_S = 10.0


@dataclass
class _Asked:
    """A request without an answer yet; `topic` where it only resumes a topic."""

    frame: str
    answer: asyncio.Future[Message] | None = None
    topic: str = ""


class Wire:
    """The websocket of one client.

    Attributes:
        topics: What is followed, as it stands.
        listeners: Called with every message that comes.
        changed: Set after every message and at the end; whoever waits for it clears it first.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._address = url.replace("http", "ws", 1) + "/ws"
        self.topics: dict[str, Topic] = {}
        self.listeners: list[Callable[[Message], None]] = []
        self.changed = asyncio.Event()
        self._ids = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._readers: list[Reader] = []
        self._socket: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether there is no connection and will be none."""
        return self._task is None or self._task.done()

    async def open(self, headers: Mapping[str, str]) -> None:
        """Connect; from here on a lost connection is renewed.

        Raises:
            ConnectionError: The server cannot be reached, or does not let this client in.
        """
        await self.close()
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep(dict(headers), opened))
        self._task.add_done_callback(self._end)
        try:
            await opened
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect; topics keep what they know."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._task = None

    async def call(self, request: Message, timeout_s: float) -> Message:
        """One request and its reply, over as many connections as it takes.

        Raises:
            Refused: The reply was an error.
            TimeoutError: No reply came; sending again with the same event id is safe.
            ConnectionError: There is no connection and will be none.
        """
        if self.ended:
            raise ConnectionError("not connected; call connect() first")
        if request["type"] in ("send", "spawn"):
            request = {"event_id": uuid4().hex} | request
        number = next(self._ids)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        asked = self._asked[number] = _Asked(orjson.dumps(request | {"id": number}).decode(), answer)
        try:
            async with asyncio.timeout(timeout_s):
                if self._socket is not None:
                    with contextlib.suppress(ConnectionClosed):  # it is sent when the next one is open
                        await self._socket.send(asked.frame)
                reply = await answer
        finally:
            self._asked.pop(number, None)
        if reply["type"] == "error":
            raise _refusal(reply)
        return reply

    @contextmanager
    def reading(self, topic: str) -> Iterator[Reader]:
        """Read along what comes of a topic."""
        reader = Reader(topic)
        self._readers.append(reader)
        try:
            yield reader
        finally:
            self._readers.remove(reader)

    async def _keep(self, headers: dict[str, str], opened: asyncio.Future[None]) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                async with connect(
                    self._address,
                    subprotocols=[Subprotocol("casewire.v1.json")],
                    additional_headers=headers,
                    origin=Origin(self.url),
                    open_timeout=_OPEN_S,
                    max_size=None,
                ) as socket:
                    await self._resume(socket)
                    if not opened.done():
                        opened.set_result(None)
                    async for frame in socket:
                        wait_s = _FIRST_WAIT_S
                        await self._take(orjson.loads(frame), socket)
                    lost = ConnectionError("the server closed the connection")
            except ConnectionClosed as closed:
                lost = ConnectionError(f"the server closed the connection: {closed}")
                if closed.rcvd is not None and closed.rcvd.code >= _STOP:
                    raise lost from closed
            except (OSError, InvalidHandshake, TimeoutError) as error:
                lost = ConnectionError(f"{self.url} does not answer: {error or type(error).__name__}")
            finally:
                self._socket = None
            if not opened.done():
                opened.set_exception(lost)
                raise lost
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(_LONGEST_WAIT_S, wait_s * 2)

    async def _resume(self, socket: ClientConnection) -> None:
        """Follow every topic from where it stands, then ask again what has no answer yet."""
        self._asked = {number: asked for number, asked in self._asked.items() if not asked.topic}
        waiting = list(self._asked.values())
        for topic in self.topics.values():
            number = next(self._ids)
            since = {"epoch": topic.epoch, "offset": topic.offset}
            request = {"type": "subscribe", "id": number, "topic": topic.name, "since": since}
            self._asked[number] = _Asked(orjson.dumps(request).decode(), topic=topic.name)
            await socket.send(self._asked[number].frame)
        self._socket = socket
        for asked in waiting:
            await socket.send(asked.frame)

    async def _take(self, message: Message, socket: ClientConnection) -> None:
        kind = message["type"]
        if kind in ("entry", "snapshot") or (kind == "ok" and "epoch" in message):
            self._apply(message)
        elif kind == "closed":
            self._leave(message["topic"], Refused(message["code"], "the right to follow it has ended"))
        if kind in ("ok", "error") and (asked := self._asked.get(message["id"])) is not None:
            if asked.answer is not None and not asked.answer.done():
                asked.answer.set_result(message)
            elif asked.topic:
                del self._asked[message["id"]]
                if kind == "error" and message["temporary"]:
                    await socket.close()
                elif kind == "error":
                    self._leave(asked.topic, _refusal(message))
        for listener in self.listeners:
            listener(message)
        self.changed.set()

    def _apply(self, message: Message) -> None:
        name = message["topic"]
        if message["type"] != "ok" and name not in self.topics:
            return  # it was left meanwhile
        topic = self.topics.setdefault(name, Topic(name))
        if message["type"] == "ok" and not message["recovered"]:
            message = {**message, "type": "snapshot"}
        new = message.get("entries", [message] if message["type"] == "entry" else [])
        new = [entry for entry in new if not topic.has(entry)]
        if message["type"] == "entry" and not new:
            return
        topic.take(message)
        for reader in self._readers:
            if reader.topic == topic.name:
                for each in [message] if message["type"] == "snapshot" else new:
                    reader.put(each)

    def _leave(self, topic: str, why: Exception) -> None:
        self.topics.pop(topic, None)
        for reader in self._readers:
            if reader.topic == topic:
                reader.end(why)

    def _end(self, task: asyncio.Task[None]) -> None:
        """Nothing more will come: tell everyone who waits."""
        why = None if task.cancelled() else task.exception()
        if not isinstance(why, Exception):
            why = ConnectionError("the connection was closed")
        for asked in self._asked.values():
            if asked.answer is not None and not asked.answer.done():
                asked.answer.set_exception(why)
                asked.answer.exception()  # sending may fail at the same moment, and nobody asks this one
        self._asked.clear()
        for reader in self._readers:
            reader.end(why)
        self.changed.set()


def _refusal(reply: Mapping[str, Any]) -> Refused:
    return Refused(reply["code"], reply["message"], bool(reply.get("temporary")), reply.get("allowed"))
