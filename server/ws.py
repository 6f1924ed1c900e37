"""The websocket endpoint: finds out who is there, and gives the connection to a `Session`."""

from __future__ import annotations

import logging
from functools import partial

from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from server import watching
from server.auth import check_origin, visitor_of
from server.errors import Close, Denied, Invalid
from server.faults import fault_of
from server.line import EXTENSION, SocketLine
from server.messages import SUBPROTOCOL
from server.parts import parts_of
from server.problems import problem
from server.session import Session
from server.sockets import PING_S, Sockets

logger = logging.getLogger(__name__)


class VisitorLine(SocketLine):
    """A connection that asks who is there without the application's router."""

    async def welcome(self, connection: HTTPConnection) -> None:
        """See `SocketLine`."""
        await _welcome(self, connection)


async def websocket_endpoint(websocket: WebSocket) -> None:
    """Accept a connection whose handshake went through the application."""
    if SUBPROTOCOL not in websocket.scope["subprotocols"]:
        refusal = Invalid(f"offer the subprotocol {SUBPROTOCOL}", code="subprotocol.missing")
        await websocket.send_denial_response(problem(fault_of(refusal)))
        return
    # Accepted even where it is then closed: a browser sees a close code, but no HTTP status.
    await websocket.accept(SUBPROTOCOL)
    await _welcome(websocket.scope["extensions"][EXTENSION], websocket)


async def _welcome(line: SocketLine, connection: HTTPConnection) -> None:
    """Attach a session, or close with a code that says what to do."""
    try:
        check_origin(connection)
    except Denied:
        line.end(Close.FORBIDDEN_ORIGIN)
        return
    try:
        visitor = await visitor_of(connection)
    except Exception as error:
        fault = fault_of(error)
        logger.log(
            logging.WARNING if fault.temporary else logging.ERROR,
            "A websocket could not be given to anybody.",
            exc_info=error if fault.status == 500 else None,
            extra={"action": "ws.nobody", "code": fault.code},
        )
        line.end(Close.INSUFFICIENT)
        return
    if visitor is None:
        line.end(Close.UNAUTHENTICATED)
        return
    parts, person = parts_of(connection), visitor.person.id
    if not parts.sockets.has_room(person):
        line.end(Close.TOO_MANY_SOCKETS)
        return
    session = Session(
        visitor,
        line,
        engine=parts.engine,
        hub=parts.hub,
        rights=parts.rights,
        admission=parts.admission,
        outside=parts.settings.sources is not None,
    )
    logger.info("A websocket was opened.", extra={"action": "ws.open", "user": person})
    parts.sockets.add(line, person, ping_s=line.ping_interval or PING_S)
    line.attach(session, partial(_closed, parts.sockets, line, person))


def _closed(sockets: Sockets, line: SocketLine, person: str, code: int | None) -> None:
    sockets.remove(line, person)
    watching.closed("client" if code is None else _name_of(code))
    logger.info("A websocket was closed.", extra={"action": "ws.close", "user": person, "code": code})


def _name_of(code: int) -> str:
    """The name of one of ours; a client may close with any number."""
    return next((close.name.lower() for close in Close if close == code), "other")
