"""A client of the public wire: what a browser does, for programs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

Message = dict[str, Any]

UPLOAD_BLOCK_BYTES = 1 << 20


class Refused(Exception):
    """The server answered with an error; `code` is stable, `temporary` says whether to try again."""

    def __init__(self, code: str, message: str, temporary: bool = False) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.temporary = temporary


@dataclass
class Topic:
    """A topic as this client knows it: a snapshot with every later entry applied."""

    name: str
    epoch: str = ""
    offset: int = 0
    machines: dict[str, Message] = field(default_factory=dict)

    def take(self, message: Message) -> None:
        """Apply a snapshot, a recovery or an entry, in the order in which they came."""
        if "machines" in message:
            self.machines = {machine["machine"]: machine for machine in message["machines"]}
        for entry in message.get("entries", ()):
            self._apply(entry)
        if message["type"] == "entry":
            self._apply(message)
        self.epoch, self.offset = message["epoch"], message["offset"]

    def _apply(self, entry: Message) -> None:
        if entry["gone"]:
            self.machines.pop(entry["machine"], None)
            return
        known = self.machines.get(entry["machine"], {"context": {}})
        context = {k: v for k, v in known["context"].items() if k not in entry["removed"]} | entry["context"]
        self.machines[entry["machine"]] = {
            "machine": entry["machine"],
            "kind": entry["kind"],
            "topic": self.name,
            "revision": entry["revision"],
            "configuration": entry["to"],
            "context": context,
            "allowed": entry["allowed"],
            "terminated": entry.get("terminated", False),
            "updated_at": entry["at"],
        }


class Client:
    """One user's connection: HTTP for rows and files, one websocket for machines.

    Use as `async with Client("http://127.0.0.1:8040") as client`, then `login` or `register`,
    then `connect`.
    """

    def __init__(self, url: str, *, timeout_s: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self.http = httpx.AsyncClient(base_url=self.url, timeout=timeout_s, headers={"Origin": self.url})
        self.timeout_s = timeout_s
        self.user: Message = {}
        self.topics: dict[str, Topic] = {}
        self.listeners: list[Callable[[Message], None]] = []
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._changed = asyncio.Condition()
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._csrf = ""

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()
        await self.http.aclose()

    async def request(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """One HTTP request with JSON in and out.

        Raises:
            Refused: The answer was an error; its code and sentence are the server's.
        """
        if body is not None:
            options["content"] = orjson.dumps(body)
        headers = {"X-CSRF-Token": self._csrf, "Content-Type": "application/json"} | options.pop(
            "headers", {}
        )
        response = await self.http.request(method, path, headers=headers, **options)
        if response.status_code >= 400:
            raise _refusal(response)
        return orjson.loads(response.content) if response.content else None

    async def register(self, email: str, name: str, password: str) -> Message:
        """Create an account and log in with it."""
        return self._logged_in(
            await self.request("POST", "/api/register", {"email": email, "name": name, "password": password})
        )

    async def login(self, email: str, password: str) -> Message:
        """Log in."""
        answer = await self.request("POST", "/api/login", {"email": email, "password": password})
        return self._logged_in(answer)

    def _logged_in(self, answer: Message) -> Message:
        self._csrf = answer["csrf"]
        self.user = answer["user"]
        return self.user

    async def upload(self, case: str, filename: str, content: bytes | AsyncIterator[bytes], size: int) -> str:
        """Upload one file and return its machine's id; the analysis goes on without this call."""
        path = f"/api/cases/{case}/uploads"
        machine = str((await self.request("POST", path, {"filename": filename, "bytes": size}))["machine"])
        headers = {"Content-Type": "application/octet-stream"}
        await self.request("PUT", f"/api/uploads/{machine}/content", content=content, headers=headers)
        return machine

    async def upload_file(self, case: str, path: Path) -> str:
        """Upload a file from the disk in constant memory and return its machine's id."""

        async def blocks() -> AsyncIterator[bytes]:
            with path.open("rb") as file:
                while block := await asyncio.to_thread(file.read, UPLOAD_BLOCK_BYTES):
                    yield block

        return await self.upload(case, path.name, blocks(), path.stat().st_size)

    async def connect(self) -> None:
        """Open the websocket; topics known from before are resumed from where they stood."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        self._socket = await connect(
            self.url.replace("http", "ws", 1) + "/ws",
            subprotocols=[Subprotocol("casewire.v1.json")],
            additional_headers={"Cookie": cookies},
            origin=self.url,  # type: ignore[arg-type]
            max_size=None,
        )
        self._reader = asyncio.create_task(self._read(self._socket))
        for topic in list(self.topics):
            await self.subscribe(topic)

    async def disconnect(self) -> None:
        """Close the websocket; topics keep what they know."""
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        self._socket = self._reader = None

    async def subscribe(self, name: str) -> Topic:
        """Follow a topic, from where this client left it if it knew it before."""
        topic = self.topics.get(name)
        since = {"epoch": topic.epoch, "offset": topic.offset} if topic else None
        request: Message = {"type": "subscribe", "topic": name}
        if since:
            request["since"] = since
        await self.call(request)
        return self.topics[name]

    async def spawn(self, kind: str, topic: str, data: Message, event_id: str | None = None) -> Message:
        """Start a machine."""
        event_id = event_id or uuid4().hex
        return await self.call(
            {"type": "spawn", "kind": kind, "topic": topic, "data": data, "event_id": event_id}
        )

    async def send(
        self, machine: str, event: str, data: Message | None = None, event_id: str | None = None
    ) -> Message:
        """Send an event to a machine."""
        event_id = event_id or uuid4().hex
        return await self.call(
            {"type": "send", "machine": machine, "event": event, "data": data or {}, "event_id": event_id}
        )

    async def call(self, request: Message) -> Message:
        """One request over the websocket and its reply.

        Raises:
            Refused: The reply was an error.
            TimeoutError: No reply came; sending again with the same event id is safe.
            ConnectionError: The websocket is closed.
        """
        if self._socket is None:
            raise ConnectionError("not connected; call connect() first")
        number = next(self._ids)
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        # Sending may fail at the same moment; then nobody asks this one what went wrong.
        reply.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        self._replies[number] = reply
        try:
            await self._socket.send(orjson.dumps(request | {"id": number}).decode())
            async with asyncio.timeout(self.timeout_s):
                answer = await reply
        except ConnectionClosed as closed:
            raise ConnectionError(f"the server closed the connection: {closed}") from closed
        finally:
            self._replies.pop(number, None)
        if answer["type"] == "error":
            raise Refused(answer["code"], answer["message"], bool(answer.get("temporary")))
        return answer

    async def wait_for(self, ready: Callable[[], Any], timeout_s: float = 120.0) -> Any:
        """Wait until `ready()` gives something true, looking after every message, and return it.

        Raises:
            TimeoutError: It did not within `timeout_s` seconds.
        """
        async with asyncio.timeout(timeout_s), self._changed:
            while not (result := ready()):
                if self._socket is None or self._reader is None or self._reader.done():
                    raise ConnectionError("the connection ended while waiting")
                await self._changed.wait()
            return result

    def machine(self, machine: str) -> Message | None:
        """The machine as known from the topics followed."""
        return next((t.machines[machine] for t in self.topics.values() if machine in t.machines), None)

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for frame in socket:
                message: Message = orjson.loads(frame)
                async with self._changed:
                    self._take(message)
                    self._changed.notify_all()
        except ConnectionClosed:
            pass
        finally:
            for reply in self._replies.values():
                if not reply.done():
                    reply.set_exception(ConnectionError("the connection ended before the reply"))
            async with self._changed:
                self._changed.notify_all()

    def _take(self, message: Message) -> None:
        kind = message["type"]
        if kind in ("entry", "snapshot") or (kind == "ok" and "epoch" in message):
            topic = self.topics.setdefault(message["topic"], Topic(message["topic"]))
            topic.take(message)
        if kind in ("ok", "error") and (reply := self._replies.get(message["id"])) and not reply.done():
            reply.set_result(message)
        for listener in self.listeners:
            listener(message)


def _refusal(response: httpx.Response) -> Refused:
    try:
        problem = response.json()
        return Refused(problem["code"], problem["detail"], bool(problem.get("temporary")))
    except (ValueError, KeyError):
        return Refused(f"http.{response.status_code}", response.text[:300] or response.reason_phrase)
