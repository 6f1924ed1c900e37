"""A reader of server-sent events that follows the rules of the HTML standard, and nothing of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.patience import PATIENCE_S
from tests.server.live import Person


@dataclass
class Dispatched:
    """One event; `last_id` is what the reader would resume with after it."""

    name: str
    data: dict[str, Any]
    last_id: str


@dataclass
class Reader:
    """One open stream."""

    response: httpx.Response
    last_id: str = ""
    retry_ms: int | None = None
    comments: list[str] = field(default_factory=list)
    events: list[Dispatched] = field(default_factory=list)
    _lines: AsyncIterator[str] | None = None

    async def next(self) -> Dispatched | None:
        """The next event; None when the stream has ended."""
        self._lines = self._lines or self.response.aiter_lines()
        name, data = "message", []
        async with asyncio.timeout(PATIENCE_S):
            async for line in self._lines:
                key, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if not line and data:
                    event = Dispatched(name, json.loads("\n".join(data)), self.last_id)
                    self.events.append(event)
                    return event
                elif not line:
                    name = "message"
                elif not key:
                    self.comments.append(value)
                elif key == "event":
                    name = value
                elif key == "data":
                    data.append(value)
                elif key == "id":
                    self.last_id = value
                elif key == "retry":
                    self.retry_ms = int(value)
        return None

    async def until(self, name: str) -> Dispatched:
        """The next event of a name."""
        while (event := await self.next()) is not None:
            if event.name == name:
                return event
        raise AssertionError(f"the stream ended before an event “{name}”")


@asynccontextmanager
async def stream(person: Person, topic: str, *, last_id: str = "", **query: str) -> AsyncIterator[Reader]:
    """A person's stream of a topic, as a browser would open it again after `last_id`."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
    async with person.http.stream("GET", f"/streams/{topic}", params=query, headers=headers) as response:
        yield Reader(response, last_id=last_id)
