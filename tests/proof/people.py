"""People who never give up: they reconnect, send again with the same event id, and watch for gaps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar
from uuid import uuid4

import httpx
from websockets.exceptions import WebSocketException

from server.client import Client, Message, Refused
from tests.proof.ledger import Acknowledged, Ledger

PASSWORD = "a long enough password"
RESTING = frozenset({"ready", "duplicate", "failed", "cancelled", "locked", "answered"})
MOST_RETRIES = 8
"""How often a person asks again for work that failed."""
_ANSWER_S = 10.0
_PAUSE_S = 0.3

_NO_RESULTS = frozenset({"spawn", "received", "started", "rename", "changed"})

_GONE = (OSError, TimeoutError, WebSocketException, httpx.TransportError, ConnectionError)

T = TypeVar("T")


class Person:
    """One user with one connection at a time.

    Args:
        name: Also the local part of the address.
    """

    def __init__(self, url: str, name: str, ledger: Ledger) -> None:
        self.client = Client(url, timeout_s=_ANSWER_S)
        self.name = name
        self.ledger = ledger
        self.connections = 0
        self.recoveries = 0
        self.snapshots = 0
        self.entries = 0
        self.results = 0
        """Entries by which a job ended, well or not."""
        self.client.listeners.append(self._watch)
        self._keeper: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self._stand: dict[str, tuple[str, int]] = {}

    @property
    def email(self) -> str:
        return f"{self.name}@example.org"

    async def begin(self) -> None:
        """Register, and stay connected from now on."""
        try:
            await self._insist(lambda: self.client.register(self.email, self.name.title(), PASSWORD))
        except Refused as refused:
            if refused.code != "account.taken":
                raise
            await self._insist(lambda: self.client.login(self.email, PASSWORD))  # the answer was lost
        self._keeper = asyncio.create_task(self._stay_connected(), name=f"connection of {self.name}")
        await self._connected.wait()

    async def end(self) -> None:
        """Go away."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
            if not self._keeper.cancelled() and (error := self._keeper.exception()) is not None:
                self.ledger.faults.append(f"{self.name}: {type(error).__name__}: {error}")
        await self.client.disconnect()
        await self.client.http.aclose()

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """An HTTP request, sent until it is answered; only for what may be done twice."""
        return await self._insist(lambda: self.client.request(method, path, body))

    async def follow(self, topic: str) -> None:
        """Subscribe, and again after every reconnect."""
        await self._insist(lambda: self.client.subscribe(topic))

    async def spawn(self, kind: str, topic: str, data: Message, marker: str) -> str:
        """Start a machine; its id, once that was acknowledged."""
        event_id = uuid4().hex
        reply = await self._insist(lambda: self.client.spawn(kind, topic, data, event_id))
        return self._note(reply, "spawn", event_id, marker)

    async def send(self, machine: str, event: str, data: Message, marker: str) -> str:
        """Send an event until it is acknowledged."""
        event_id = uuid4().hex
        reply = await self._insist(lambda: self.client.send(machine, event, data, event_id))
        return self._note(reply, event, event_id, marker)

    async def give(self, machine: str, content: bytes) -> None:
        """Send the content of an upload until the server has it."""
        headers = {"Content-Type": "application/octet-stream"}
        while True:
            try:
                await self._insist(
                    lambda: self.client.request(
                        "PUT", f"/api/uploads/{machine}/content", content=content, headers=headers
                    )
                )
                return
            except Refused as refused:
                if refused.code == "upload.not_receiving":
                    return  # an earlier attempt arrived, only its answer did not
                if refused.code != "upload.busy":
                    raise
            await asyncio.sleep(1.0)  # the lock of a sender that a killed server had

    async def state_of(self, machine: str, wanted: frozenset[str] = RESTING) -> str:
        """Wait until a machine rests; ask again for work that failed."""
        tried = 0
        while True:
            known = self.client.machine(machine)
            state = known["configuration"][0] if known else ""
            if (
                state == "failed"
                and known is not None
                and "retry" in known["allowed"]
                and tried < MOST_RETRIES
            ):
                tried += 1
                with suppress(Refused):  # it had been asked already; its reply was lost
                    await self._insist(lambda: self.client.send(machine, "retry", {}, uuid4().hex))
                await asyncio.sleep(2.0)
                continue
            if state in wanted:
                return state
            await asyncio.sleep(0.3)

    async def fresh(self, topic: str, settle_s: float = 2.0) -> Message:
        """The machines of a topic as this person sees them without a past.

        The first answer may be a snapshot of a moment ago, which the entries since then follow.
        """
        async with self._second() as other:
            seen = await other.subscribe(topic)
            offset = -1
            while offset != seen.offset:
                offset = seen.offset
                await asyncio.sleep(settle_s)
            return dict(seen.machines)

    @asynccontextmanager
    async def _second(self) -> AsyncIterator[Client]:
        async with Client(self.client.url, timeout_s=120) as other:
            await other.login(self.email, PASSWORD)
            await other.connect()
            yield other

    def _note(self, reply: Message, event: str, event_id: str, marker: str) -> str:
        machine = str(reply["machine"])
        self.ledger.note(
            Acknowledged(event_id, machine, event, reply["revision"], marker), repeated=reply["repeated"]
        )
        return machine

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except Refused as refused:
                if not self._may_pass(refused):
                    raise
            except _GONE:
                pass
            self.ledger.resent += 1
            await asyncio.sleep(_PAUSE_S)

    async def _stay_connected(self) -> None:
        while True:
            try:
                await self.client.connect()
                self.connections += 1
                self._connected.set()
                await self.client.wait_for(lambda: False, timeout_s=86_400)
            except Refused as refused:
                if not self._may_pass(refused):
                    raise
            except _GONE:
                pass
            with suppress(*_GONE):
                await self.client.disconnect()
            await asyncio.sleep(_PAUSE_S)

    def _may_pass(self, refused: Refused) -> bool:
        """Whether to try again; a server that fails itself is a fault, but no reason to stop here."""
        if refused.code == "internal":
            self.ledger.faults.append(f"{self.name}: {refused}")
        return refused.temporary or refused.code == "internal"

    def _watch(self, message: Message) -> None:
        """Promise 4: every entry of a topic once, in order, or a whole snapshot."""
        topic = message.get("topic", "")
        if message["type"] == "snapshot" or "machines" in message:
            self.snapshots += 1
            self._stand[topic] = (message["epoch"], message["offset"])
            return
        entries = message.get("entries")
        if entries is not None and "epoch" in message:
            self.recoveries += 1
        elif message["type"] == "entry":
            entries = [message]
        for entry in entries or ():
            self.entries += 1
            self.results += entry["event"] not in _NO_RESULTS
            epoch, offset = self._stand.get(topic, ("", 0))
            if (entry["epoch"], entry["offset"]) != (epoch, offset + 1):
                self.ledger.faults.append(
                    f"{self.name}: {topic} went from {epoch}:{offset} to {entry['epoch']}:{entry['offset']}"
                )
            self._stand[topic] = (entry["epoch"], entry["offset"])
