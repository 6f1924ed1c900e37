"""`GET /streams/{topic}`: a topic's log as server-sent events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from server.auth import Visitor, require_role
from server.bodies import query, refuse_nul
from server.errors import Close, TooMany
from server.operations import operation
from server.parts import Parts, parts_of
from server.sse import EventStream, Over, closed, resume, since_of

logger = logging.getLogger(__name__)

MEDIA_TYPE = "text/event-stream"
LAST_S = 2.0
"""How long a reader may take to let the last frame through."""

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Wanted(BaseModel):
    """From where on, and whether with passing messages; the header `Last-Event-ID` goes before `since`."""

    model_config = ConfigDict(extra="forbid")
    since: Annotated[str, Field(max_length=300)] = ""
    passing: Literal["0", "1"] = "0"


@operation("viewer", query=Wanted, answer=str, media=MEDIA_TYPE, errors=(429,))
async def stream(request: Request) -> Response:
    """Follow a topic: what was missed or a snapshot, then every entry as it comes, as CloudEvents."""
    topic = request.path_params["topic"]
    visitor, role = await require_role(request, topic, "viewer", "topic")
    wanted = query(request, Wanted)
    last = request.headers.get("last-event-id", "")
    refuse_nul(last)
    since = since_of(last or wanted.since)
    if request.method == "HEAD":
        return Response(headers=_HEADERS, media_type=MEDIA_TYPE)
    parts = parts_of(request)
    if not parts.sockets.has_room(visitor.person.id):
        raise TooMany("you have too many connections open; close some", retry_after_s=60)
    events = EventStream(parts, visitor, topic, role, passing=wanted.passing == "1")
    await events.open(since)
    return StreamResponse(events, parts, visitor, topic)


class StreamResponse(Response):
    """Runs an `EventStream` on a connection until one side ends it."""

    media_type = MEDIA_TYPE

    def __init__(self, events: EventStream, parts: Parts, visitor: Visitor, topic: str) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(_HEADERS)
        self._events = events
        self._parts = parts
        self._visitor = visitor
        self._topic = topic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what comes, and at the end the frame that says why."""
        changed = asyncio.Event()
        person = self._visitor.person.id
        logger.info("A stream was opened.", extra={"action": "sse.open", "user": person})
        with self._parts.sockets.stream(person) as end, self._parts.rights.watching(person, changed.set):
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            over = await self._run(receive, send, end, changed)
            if over is not None:
                await self._finish(send, over)
        code = over and over.last["code"]
        logger.info("A stream was closed.", extra={"action": "sse.close", "user": person, "code": code})

    async def _run(
        self, receive: Receive, send: Send, end: asyncio.Future[Close], changed: asyncio.Event
    ) -> Over | None:
        tasks = [
            asyncio.ensure_future(part)
            for part in (
                self._events.pump(),
                self._events.watch(changed),
                self._events.keep_alive(),
                self._events.too_slow(),
                self._write(send),
                _gone(receive),
                self._shutdown(end),
            )
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._events.close()
        return self._why([task.exception() for task in done])

    def _why(self, errors: list[BaseException | None]) -> Over | None:
        for error in errors:
            if error is None or isinstance(error, OSError):
                return None
            if not isinstance(error, Over):
                logger.error("A stream failed.", exc_info=error, extra={"action": "sse.failed"})
        # A right that has ended goes before whatever else ended at the same moment.
        overs = [error for error in errors if isinstance(error, Over)]
        overs.sort(key=lambda over: over.last["type"] != "closed")
        return overs[0] if overs else resume(self._topic, "insufficient")

    async def _write(self, send: Send) -> None:
        while True:
            frame = await self._events.outgoing.get()
            await send({"type": "http.response.body", "body": frame, "more_body": True})

    async def _shutdown(self, end: Awaitable[Close]) -> None:
        code = await end
        stop = code is Close.UNAUTHENTICATED
        raise closed(self._topic, "auth.required") if stop else resume(self._topic, code.name.lower())

    async def _finish(self, send: Send, over: Over) -> None:
        """Nothing that still waits is sent: a right may have ended, and resuming brings the rest."""
        try:
            async with asyncio.timeout(LAST_S):
                body = self._events.last_frame(over)
                await send({"type": "http.response.body", "body": body, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            # It reads nothing: the server closes the connection, and the reader resumes without being told.
            logger.info("A stream was cut off.", extra={"action": "sse.cut", "topic": self._topic})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


routes = [Route("/streams/{topic}", stream, methods=["GET"])]
