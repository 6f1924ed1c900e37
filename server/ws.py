"""The websocket endpoint: a loop around a `Session`."""

from __future__ import annotations

import asyncio
import logging

from starlette.websockets import WebSocket, WebSocketDisconnect

from server.auth import Visitor, check_origin, visitor_of
from server.errors import Close, Closing, Denied, Invalid, fault_of
from server.messages import SUBPROTOCOL
from server.parts import Parts, parts_of
from server.problems import problem
from server.session import Session
from storage.outage import is_outage

logger = logging.getLogger(__name__)

RECHECK_S = 30.0
"""Rights are announced at once; this is for announcements that were lost."""


async def websocket_endpoint(websocket: WebSocket) -> None:
    """Accept, run the session until one side ends it, and close with a code that says what to do."""
    if SUBPROTOCOL not in websocket.scope["subprotocols"]:
        refusal = Invalid(f"offer the subprotocol {SUBPROTOCOL}", code="subprotocol.missing")
        await websocket.send_denial_response(problem(fault_of(refusal)))
        return
    # Accepted even where it is then closed: a browser sees a close code, but no HTTP status.
    await websocket.accept(SUBPROTOCOL)
    try:
        check_origin(websocket)
    except Denied:
        await websocket.close(Close.FORBIDDEN_ORIGIN)
        return
    try:
        visitor = await visitor_of(websocket)
    except Exception as error:
        fault = fault_of(error)
        logger.error(
            "A websocket could not be given to anybody.",
            exc_info=error if fault.status == 500 else None,
            extra={"action": "ws.nobody", "code": fault.code},
        )
        await websocket.close(Close.INSUFFICIENT)
        return
    if visitor is None:
        await websocket.close(Close.UNAUTHENTICATED)
        return
    logger.info("A websocket was opened.", extra={"action": "ws.open", "user": visitor.person.id})
    code = await _run(websocket, parts_of(websocket), visitor)
    if code is not None:
        await _close(websocket, code)
    logger.info(
        "A websocket was closed.",
        extra={"action": "ws.close", "user": visitor.person.id, "code": code and int(code)},
    )


async def _run(websocket: WebSocket, parts: Parts, visitor: Visitor) -> Close | None:
    """Serve until something ends it; the code to close with, None where the client has gone."""
    session = Session(
        visitor, engine=parts.engine, hub=parts.hub, rights=parts.rights, admission=parts.admission
    )
    changed = asyncio.Event()
    with parts.sockets.open() as end, parts.rights.watching(visitor.person.id, changed.set):
        tasks = [
            asyncio.create_task(part)
            for part in (
                _read(websocket, session),
                _write(websocket, session),
                _watch(session, changed),
                _wait(session.broken),
                _end(end),
            )
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await session.close()
    return _code_of([task.exception() for task in done])


def _code_of(errors: list[BaseException | None]) -> Close | None:
    for error in errors:
        if isinstance(error, Closing):
            return error.code
        if isinstance(error, WebSocketDisconnect):
            return None
        if error is not None and is_outage(error):
            logger.warning(
                "A websocket is closed, as a service does not answer.",
                extra={"action": "ws.outage", "error": type(error).__name__},
            )
        elif error is not None:
            logger.error("A websocket failed.", exc_info=error, extra={"action": "ws.failed"})
    return Close.INSUFFICIENT


async def _read(websocket: WebSocket, session: Session) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text = message.get("text")
        await session.receive(text if text is not None else message["bytes"])


async def _write(websocket: WebSocket, session: Session) -> None:
    while True:
        frame = await session.outgoing.get()
        await websocket.send({"type": "websocket.send", "text": frame.decode()})


async def _watch(session: Session, changed: asyncio.Event) -> None:
    while True:
        try:
            async with asyncio.timeout(RECHECK_S):
                await changed.wait()
        except TimeoutError:
            pass
        changed.clear()
        await session.recheck()


async def _wait(broken: asyncio.Future[None]) -> None:
    await broken


async def _end(end: asyncio.Future[Close]) -> None:
    raise Closing(await end)


async def _close(websocket: WebSocket, code: Close) -> None:
    try:
        await websocket.close(code, code.name.lower())
    except (RuntimeError, WebSocketDisconnect):
        return  # the client closed at the same moment
