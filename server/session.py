"""One person's websocket without the socket: frames in, frames out over a line.

Rights are looked up at every request, and whenever they may have changed; a role is believed for at
most a second. A quiet session has no task: one runs while requests wait, one while rights are looked
up anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import orjson

from machines.event import Role
from server import tracing
from server.admission import Admission
from server.auth import Visitor, require_staying, require_writing
from server.engine import Engine
from server.errors import Close, Closing, Invalid, Missing
from server.faults import Fault, fault_of
from server.following import Following
from server.frames import AnyRequest, id_in, request_in
from server.hub import Hub, Since
from server.inbox import Inbox, ReadLine
from server.messages import Ping, Send, Spawn, Subscribe, Unsubscribe
from server.outside import require_sources
from server.published import reply
from server.rights import Rights
from server.views import outcome_view

logger = logging.getLogger(__name__)

BAD_FRAMES = 5
"""So many in a row, and the socket is closed."""
RENEW_S = 60.0


class Session:
    """What one logged-in person's socket may do, and what it follows.

    The line calls `hear` for every frame, `stalled` and `flowing` when it begins and ends to be
    blocked, `look` now and then, and `ended` once, when it is closed by whichever side. `outside` tells
    whether questions may be put to sources.
    """

    def __init__(
        self,
        visitor: Visitor,
        line: ReadLine,
        *,
        engine: Engine,
        hub: Hub,
        rights: Rights,
        admission: Admission,
        outside: bool = False,
    ) -> None:
        self._line = line
        self._visitor = visitor
        self._person = visitor.person
        self._engine = engine
        self._rights = rights
        self._admission = admission
        self._outside = outside
        self._following = Following(
            line, visitor.person, hub=hub, rights=rights, role_on=self._role_on, look=self.look
        )
        self._inbox = Inbox(line)
        self._turn: asyncio.Lock | None = None
        self._work: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._look_again = False
        self._over = False
        self._bad = 0
        self._renewed = time.monotonic()
        rights.watch(self._person.id, self._following.doubt)

    def hear(self, frame: str | bytes) -> None:
        """Take a frame; it is answered after those before it."""
        if self._over:
            return
        try:
            self._inbox.put(frame)
        except Closing as error:
            self._line.end(error.code)
        self._work_on()

    def stalled(self) -> None:
        """The line is blocked."""
        self._following.stalled()

    def flowing(self) -> None:
        """The line takes bytes again."""
        self._following.flowing()
        self._work_on()

    def look(self) -> None:
        """Have `recheck` run soon, and once more if it runs already."""
        self._look_again = True
        if self._looking is None and not self._over:
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(self._looked)

    def ended(self) -> None:
        """The line is closed: follow nothing, answer nothing more."""
        if self._over:
            return
        self._over = True
        self._rights.unwatch(self._person.id, self._following.doubt)
        self._following.end()
        self._inbox.clear()
        current = asyncio.current_task()
        for task in (self._work, self._looking):
            if task is not None and task is not current:
                task.cancel()

    async def receive(self, frame: str | bytes) -> None:
        """Do what one frame asks, and send the reply.

        Raises:
            Closing: Too many frames in a row were no requests.
        """
        try:
            request = request_in(frame)
        except Invalid as error:
            self._reply_error(id_in(frame), fault_of(error))
            self._bad += 1
            if self._bad >= BAD_FRAMES:
                raise Closing(Close.BAD_FRAMES) from error
            return
        self._bad = 0
        try:
            with tracing.entering(request.trace):
                async with self._lock():
                    await self._renew()
                    await self._do(request)
        except Exception as error:  # noqa: BLE001 - the connection outlives a failed request
            self._reply_error(request.id, self._told(error, request))

    async def recheck(self) -> None:
        """Look again at what the person may do.

        Raises:
            Closing: The login has ended, or a topic cannot be followed on this socket any more.
        """
        async with self._lock():
            if not await self._admission.lasts(self._visitor):
                raise Closing(Close.UNAUTHENTICATED)
            await self._following.recheck()

    def _work_on(self) -> None:
        if self._work is None and self._inbox.can_work and not self._over:
            self._work = asyncio.create_task(self._inbox.work(self.receive))
            self._work.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._work = None
        self._settle(task)
        self._work_on()

    async def _look(self) -> None:
        while self._look_again:
            self._look_again = False
            await self.recheck()

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        self._settle(task)
        if self._look_again:
            self.look()

    def _settle(self, task: asyncio.Task[None]) -> None:
        """A task has ended; one that failed ends the socket."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, Closing):
            self._line.end(error.code)
            return
        broken = not isinstance(error, Exception) or fault_of(error).status == 500
        logger.warning(
            "A websocket cannot go on.",
            exc_info=error if broken else None,
            extra={"action": "session.broken", "error": type(error).__name__},
        )
        self._line.end(Close.INSUFFICIENT)

    def _lock(self) -> asyncio.Lock:
        if self._turn is None:
            self._turn = asyncio.Lock()
        return self._turn

    async def _do(self, request: AnyRequest) -> None:
        match request:
            case Subscribe():
                since = Since(request.since.epoch, request.since.offset) if request.since else None
                await self._following.subscribe(request.id, request.topic, since)
            case Unsubscribe():
                self._following.leave(request.topic)
                self._reply(request, {"topic": request.topic})
            case Spawn():
                await self._spawn(request)
            case Send():
                await self._send(request)
            case Ping():
                self._reply(request, {})

    async def _spawn(self, request: Spawn) -> None:
        require_writing(self._visitor)
        role = await self._role(request.topic, "topic")
        await require_staying(self._rights, request.topic)
        require_sources(request.kind, request.data, configured=self._outside)
        outcome = await self._engine.spawn(
            request.kind,
            request.topic,
            request.data,
            source="client",
            actor=self._person.id,
            role=role,
            event_id=self._event_id(request.event_id),
        )
        self._reply(request, outcome_view(outcome, role))

    async def _send(self, request: Send) -> None:
        require_writing(self._visitor)
        topic = await self._engine.topic_of(request.machine)
        if topic is None:
            raise Missing("there is no such machine")
        role = await self._role(topic, "machine")
        if not request.machine.startswith("case-"):  # which alone can bring the case back
            await require_staying(self._rights, topic)
        outcome = await self._engine.send(
            request.machine,
            request.event,
            request.data,
            source="client",
            actor=self._person.id,
            role=role,
            event_id=self._event_id(request.event_id),
            if_revision=request.if_revision,
        )
        self._reply(request, outcome_view(outcome, role))

    def _event_id(self, given: str | None) -> str | None:
        # Its own name space: an event id that a handler or a timer will use cannot be used up first.
        return None if given is None else f"client:{self._person.id}:{given}"

    async def _role_on(self, topic: str) -> Role | None:
        """What the visitor may do on a topic; every right of this socket is asked for here."""
        return await self._rights.role_for(self._visitor, topic)

    async def _role(self, topic: str, what: str) -> Role:
        role = await self._role_on(topic)
        if role is None:
            raise Missing(f"there is no such {what}")
        return role

    async def _renew(self) -> None:
        if time.monotonic() - self._renewed >= RENEW_S:
            self._renewed = time.monotonic()
            await self._admission.renew(self._visitor)

    def _reply(self, request: AnyRequest, result: dict[str, Any]) -> None:
        self._line.say(reply(request.id, orjson.dumps(result)))

    def _reply_error(self, request_id: int | str | None, fault: Fault) -> None:
        answer: dict[str, Any] = {
            "type": "error",
            "id": request_id,
            "code": fault.code,
            "message": fault.detail,
            "temporary": fault.temporary,
        }
        if fault.allowed is not None:
            answer["allowed"] = fault.allowed
        self._line.say(orjson.dumps(answer))

    def _told(self, error: Exception, request: AnyRequest) -> Fault:
        fault = fault_of(error)
        if not fault.expected:
            logger.error(
                "A request over a websocket failed.",
                exc_info=error if fault.status == 500 else None,
                extra={"action": "session.failed", "request": request.type, "code": fault.code},
            )
        return fault
