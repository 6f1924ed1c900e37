"""A client of the public wire: what a browser does, for programs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import orjson

from server.client_topics import Behind, Message, Refused, Topic
from server.client_upload import Progress, upload_file
from server.client_wire import Wire

__all__ = ["Behind", "Client", "Message", "Refused", "Topic"]

_LEAVE_S = 2.0


class Client:
    """One user's connection: HTTP for rows and files, one websocket for machines.

    Use as `async with Client("http://127.0.0.1:8040", token="…") as client`, or without a token
    and then `login` or `register`; then `connect`. A lost websocket comes again by itself: topics
    go on where they stood, and requests without an answer are asked again, each done once.

    Args:
        token: An API token, in place of a login.
        timeout_s: How long a request may take, in seconds, lost connections included.
    """

    def __init__(self, url: str, *, token: str = "", timeout_s: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self.timeout_s = timeout_s
        self.user: Message = {}
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._csrf = ""
        self.http = httpx.AsyncClient(
            base_url=self.url, timeout=timeout_s, headers={"Origin": self.url} | self._headers
        )
        self._wire = Wire(self.url)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()
        await self.http.aclose()

    @property
    def topics(self) -> dict[str, Topic]:
        """What is followed, as it stands."""
        return self._wire.topics

    @property
    def listeners(self) -> list[Callable[[Message], None]]:
        """Called with every message of the websocket."""
        return self._wire.listeners

    async def request(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """One HTTP request with JSON in and out.

        Raises:
            Refused: The answer was an error; its code and sentence are the server's.
            ConnectionError: There was no answer.
        """
        if body is not None:
            options["content"] = orjson.dumps(body)
        headers = {"X-CSRF-Token": self._csrf, "Content-Type": "application/json"} | options.pop(
            "headers", {}
        )
        try:
            response = await self.http.request(method, path, headers=headers, **options)
        except httpx.TransportError as error:
            raise ConnectionError(f"{self.url} does not answer: {error or type(error).__name__}") from error
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
        self._csrf = self.http.headers["X-CSRF-Token"] = answer["csrf"]
        self.user = answer["user"]
        return self.user

    async def upload(self, case: str, filename: str, content: bytes | AsyncIterator[bytes], size: int) -> str:
        """Upload one file and return its machine's id; the analysis goes on without this call."""
        path = f"/api/cases/{case}/uploads"
        machine = str((await self.request("POST", path, {"filename": filename, "bytes": size}))["machine"])
        headers = {"Content-Type": "application/octet-stream"}
        await self.request("PUT", f"/api/uploads/{machine}/content", content=content, headers=headers)
        return machine

    async def upload_file(self, case: str, path: Path, progress: Progress | None = None) -> str:
        """Upload a file from the disk, resumed where it broke off; returns its machine's id.

        Raises:
            Refused, FileChanged, ConnectionError, OSError: See `client_upload.upload_file`.
        """
        return await upload_file(self.http, case, path, progress=progress)

    async def connect(self) -> None:
        """Open the websocket; topics known from before are resumed from where they stood.

        Raises:
            ConnectionError: The server cannot be reached.
        """
        cookies = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        await self._wire.open(self._headers | ({"Cookie": cookies} if cookies else {}))

    async def disconnect(self) -> None:
        """Close the websocket; topics keep what they know."""
        await self._wire.close()

    async def subscribe(self, name: str) -> Topic:
        """Follow a topic, from where this client left it if it knew it before."""
        topic = self.topics.get(name)
        request: Message = {"type": "subscribe", "topic": name}
        if topic:
            request["since"] = {"epoch": topic.epoch, "offset": topic.offset}
        await self.call(request)
        return self.topics[name]

    async def follow(self, topic: str, *, since: tuple[str, int] | None = None) -> AsyncIterator[Message]:
        """Every entry of a topic once and in order, over lost connections and restarts of the server.

        What comes first is a `snapshot` message, or with `since` (epoch and offset of the last
        entry that was read) the entries after it. A later snapshot takes the place of entries that
        the server no longer has. `connect` must have been called.

        Raises:
            Refused: There is no right to follow it, or it has ended.
            Behind: This reader is more than 10,000 entries behind.
            ConnectionError: The server does not let this client come again.
        """
        if topic not in self.topics and since is not None:
            self.topics[topic] = Topic(topic, *since)
        elif topic in self.topics:
            raise ValueError(f"{topic} is followed already")
        with self._wire.reading(topic) as reader:
            try:
                await self.subscribe(topic)
                while True:
                    yield await reader.next()
            finally:
                if self.topics.pop(topic, None) is not None and not self._wire.ended:
                    with contextlib.suppress(Refused, TimeoutError, ConnectionError):
                        await self._wire.call({"type": "unsubscribe", "topic": topic}, _LEAVE_S)

    async def spawn(self, kind: str, topic: str, data: Message, event_id: str | None = None) -> Message:
        """Start a machine, once for an event id."""
        request: Message = {"type": "spawn", "kind": kind, "topic": topic, "data": data}
        return await self.call(request | ({"event_id": event_id} if event_id else {}))

    async def send(
        self,
        machine: str,
        event: str,
        data: Message | None = None,
        event_id: str | None = None,
        if_revision: int | None = None,
    ) -> Message:
        """Send an event to a machine, once for an event id; only at a revision, where one is given."""
        request: Message = {"type": "send", "machine": machine, "event": event, "data": data or {}}
        if event_id:
            request["event_id"] = event_id
        if if_revision is not None:
            request["if_revision"] = if_revision
        return await self.call(request)

    async def call(self, request: Message) -> Message:
        """One request over the websocket and its reply; see `Wire.call` for what it raises."""
        return await self._wire.call(request, self.timeout_s)

    async def wait_for(self, ready: Callable[[], Any], timeout_s: float = 120.0) -> Any:
        """Wait until `ready()` gives something true, looking after every message, and return it.

        Raises:
            TimeoutError: It did not within `timeout_s` seconds.
            ConnectionError: No further message will come.
        """
        changed = self._wire.changed
        async with asyncio.timeout(timeout_s):
            while not (result := ready()):
                if self._wire.ended:
                    raise ConnectionError("the connection ended while waiting")
                changed.clear()
                await changed.wait()
            return result

    def machine(self, machine: str) -> Message | None:
        """The machine as known from the topics followed."""
        return next((t.machines[machine] for t in self.topics.values() if machine in t.machines), None)


def _refusal(response: httpx.Response) -> Refused:
    try:
        problem = response.json()
        return Refused(
            problem["code"], problem["detail"], bool(problem.get("temporary")), problem.get("allowed")
        )
    except (ValueError, KeyError):
        return Refused(f"http.{response.status_code}", response.text[:300] or response.reason_phrase)
