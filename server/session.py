"""One person's websocket without the socket: text in, frames out.

Rights are looked up at every request, for every frame that goes out, and whenever they may have
changed; a role is believed for at most a second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import orjson
from pydantic import ValidationError

from machines.event import Role
from server.admission import Admission
from server.auth import Visitor, require_writing
from server.bodies import refuse_nul
from server.engine import Engine
from server.errors import Close, Closing, Fault, Invalid, Missing, TooLarge, fault_of
from server.hub import Hub, Since
from server.messages import REQUEST, Ping, Send, Spawn, Subscribe, Unsubscribe
from server.outgoing import Outgoing
from server.published import encode, for_role, pushed
from server.rights import Rights
from server.subscription import Slow, Subscription
from server.views import outcome_view

logger = logging.getLogger(__name__)

FRAME_BYTES = 256 * 1024
BAD_FRAMES = 5
"""So many in a row, and the socket is closed."""
MOST_TOPICS = 100
RENEW_S = 60.0

AnyRequest = Subscribe | Unsubscribe | Spawn | Send | Ping


class _Followed:
    """A topic that the socket follows, as `role` sees it."""

    def __init__(self, subscription: Subscription, role: Role) -> None:
        self.subscription = subscription
        self.role = role
        self.pump: asyncio.Task[None] | None = None


class Session:
    """What one logged-in person's socket may do, and what it follows.

    Whoever runs it takes frames from `outgoing`, and watches `broken`, which ends with `Closing`
    when a topic cannot be followed on this socket any more.
    """

    def __init__(
        self, visitor: Visitor, *, engine: Engine, hub: Hub, rights: Rights, admission: Admission
    ) -> None:
        self.outgoing = Outgoing()
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._visitor = visitor
        self._person = visitor.person
        self._engine = engine
        self._hub = hub
        self._rights = rights
        self._admission = admission
        self._topics: dict[str, _Followed] = {}
        self._turn = asyncio.Lock()
        self._bad = 0
        self._renewed = time.monotonic()

    async def receive(self, frame: str | bytes) -> None:
        """Do what one frame asks, and put the reply among the outgoing frames.

        Raises:
            Closing: Too many frames in a row were no requests.
        """
        try:
            request = _request(frame)
        except Invalid as error:
            await self._reply_error(_id_in(frame), fault_of(error))
            self._bad += 1
            if self._bad >= BAD_FRAMES:
                raise Closing(Close.BAD_FRAMES) from error
            return
        self._bad = 0
        try:
            async with self._turn:
                await self._renew()
                await self._do(request)
        except Closing:
            raise
        except Exception as error:  # noqa: BLE001 - the connection outlives a failed request
            await self._reply_error(request.id, self._told(error, request))

    async def recheck(self) -> None:
        """Look again at what the person may do: end topics without a right, renew those with another.

        Raises:
            Closing: The login has ended.
        """
        async with self._turn:
            if not await self._admission.lasts(self._visitor):
                raise Closing(Close.UNAUTHENTICATED)
            for topic, followed in list(self._topics.items()):
                role = await self._rights.role_for(self._visitor, topic)
                if role is None:
                    await self._end(topic)
                elif role != followed.role:
                    # The events that are allowed have changed in every machine.
                    await self._leave(topic)
                    subscription = await self._hub.subscribe(topic)
                    await self.outgoing.put(encode(pushed(subscription.first), role))
                    self._follow(topic, subscription, role)

    async def close(self) -> None:
        """Follow nothing any more."""
        for topic in list(self._topics):
            await self._leave(topic)
        self.broken.cancel()

    async def _do(self, request: AnyRequest) -> None:
        match request:
            case Subscribe():
                await self._subscribe(request)
            case Unsubscribe():
                await self._leave(request.topic)
                await self._reply(request, {"topic": request.topic})
            case Spawn():
                await self._spawn(request)
            case Send():
                await self._send(request)
            case Ping():
                await self._reply(request, {})

    async def _subscribe(self, request: Subscribe) -> None:
        role = await self._role(request.topic, "topic")
        await self._leave(request.topic)
        if len(self._topics) >= MOST_TOPICS:
            raise Invalid(f"one connection follows at most {MOST_TOPICS} topics", code="topic.too_many")
        since = Since(request.since.epoch, request.since.offset) if request.since else None
        subscription = await self._hub.subscribe(request.topic, since)
        await self._reply(request, for_role(subscription.first, role))
        self._follow(request.topic, subscription, role)

    async def _spawn(self, request: Spawn) -> None:
        require_writing(self._visitor)
        role = await self._role(request.topic, "topic")
        outcome = await self._engine.spawn(
            request.kind,
            request.topic,
            request.data,
            source="client",
            actor=self._person.id,
            role=role,
            event_id=self._event_id(request.event_id),
        )
        await self._reply(request, outcome_view(outcome, role))

    async def _send(self, request: Send) -> None:
        require_writing(self._visitor)
        snapshot = await self._engine.load(request.machine)
        if snapshot is None:
            raise Missing("there is no such machine")
        role = await self._role(snapshot.topic, "machine")
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
        await self._reply(request, outcome_view(outcome, role))

    def _event_id(self, given: str | None) -> str | None:
        # Its own name space: an event id that a handler or a timer will use cannot be used up first.
        return None if given is None else f"client:{self._person.id}:{given}"

    async def _role(self, topic: str, what: str) -> Role:
        role = await self._rights.role_for(self._visitor, topic)
        if role is None:
            raise Missing(f"there is no such {what}")
        return role

    def _follow(self, topic: str, subscription: Subscription, role: Role) -> None:
        followed = self._topics[topic] = _Followed(subscription, role)
        # The pump may be waiting for the socket, and would find out too late.
        subscription.on_slow = lambda: self._break(Close.SLOW)
        followed.pump = asyncio.create_task(self._pump(topic, followed))

    async def _leave(self, topic: str) -> None:
        followed = self._topics.pop(topic, None)
        if followed is None:
            return
        followed.subscription.close()
        if followed.pump is not None and followed.pump is not asyncio.current_task():
            followed.pump.cancel()
            await asyncio.gather(followed.pump, return_exceptions=True)

    async def _end(self, topic: str) -> None:
        await self._leave(topic)
        await self.outgoing.put(orjson.dumps({"type": "closed", "topic": topic, "code": "access.ended"}))

    async def _pump(self, topic: str, followed: _Followed) -> None:
        """Hand on what comes, as long as the person may see it."""
        try:
            async for message in followed.subscription:
                role = await self._rights.role_for(self._visitor, topic)
                if role is None:
                    await self._end(topic)
                    return
                await self.outgoing.put(encode(message, role))
        except Slow:
            self._break(Close.SLOW)
        except Exception as error:
            logger.warning(
                "A topic could not be followed any further.",
                exc_info=fault_of(error).status == 500,
                extra={"action": "session.broken", "topic": topic, "error": type(error).__name__},
            )
            self._break(Close.INSUFFICIENT)
        else:
            if self._topics.get(topic) is followed:
                self._break(Close.INSUFFICIENT)  # the hub gave the subscription up

    def _break(self, code: Close) -> None:
        if not self.broken.done():
            self.broken.set_exception(Closing(code))

    async def _renew(self) -> None:
        if time.monotonic() - self._renewed >= RENEW_S:
            self._renewed = time.monotonic()
            await self._admission.renew(self._visitor)

    async def _reply(self, request: AnyRequest, result: dict[str, Any]) -> None:
        await self.outgoing.put(orjson.dumps({"type": "ok", "id": request.id, **result}))

    async def _reply_error(self, request_id: int | str | None, fault: Fault) -> None:
        reply: dict[str, Any] = {
            "type": "error",
            "id": request_id,
            "code": fault.code,
            "message": fault.detail,
            "temporary": fault.temporary,
        }
        if fault.allowed is not None:
            reply["allowed"] = fault.allowed
        await self.outgoing.put(orjson.dumps(reply))

    def _told(self, error: Exception, request: AnyRequest) -> Fault:
        fault = fault_of(error)
        if not fault.expected:
            logger.error(
                "A request over a websocket failed.",
                exc_info=error if fault.status == 500 else None,
                extra={"action": "session.failed", "request": request.type, "code": fault.code},
            )
        return fault


def _request(frame: str | bytes) -> AnyRequest:
    if isinstance(frame, bytes):
        raise Invalid("frames must be text", code="frame.not_text")
    if len(frame) > FRAME_BYTES or len(frame.encode()) > FRAME_BYTES:
        raise TooLarge(f"a frame holds at most {FRAME_BYTES} bytes", code="frame.too_large")
    try:
        request = REQUEST.validate_json(frame)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        code = "frame.not_json" if fault["type"] == "json_invalid" else "frame.invalid"
        raise Invalid(str(Invalid.of(error)), code=code) from error
    if isinstance(request, (Spawn, Send)):
        refuse_nul(request.data)
    return request


def _id_in(frame: str | bytes) -> int | str | None:
    """The id of a frame that is not a request, so that its sender knows which one was meant."""
    if isinstance(frame, bytes) or len(frame) > FRAME_BYTES:
        return None
    try:
        value = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return None
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, (int, str)) and not isinstance(found, bool) else None
