"""Servers that do nothing but broadcast, to compare with: `python -m tests.bench.push_peers NAME PORT`.

A message on `/control` has each of them send the same text to every socket on `/`. `json PORT VALUE …`
answers requests instead.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import uvloop

TEXT = orjson.dumps(
    {
        "type": "passing",
        "topic": "case:0123456789abcdef0123",
        "machine": "upload-1-0123456789abcdef0123",
        "what": "progress",
        "data": {"done": 17, "total": 4711, "note": "x" * 130},
    }
)
"""About 300 bytes, as long as what Casewire is given to send."""


def starlette(port: int) -> None:
    """uvicorn and Starlette as their guides show it."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect

    sockets: set[WebSocket] = set()
    text = TEXT.decode()

    async def listen(websocket: WebSocket) -> None:
        await websocket.accept()
        sockets.add(websocket)
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            sockets.discard(websocket)

    async def control(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.receive_text()
                for each in list(sockets):
                    await each.send_text(text)
        except WebSocketDisconnect:
            return

    routes = [WebSocketRoute("/", listen), WebSocketRoute("/control", control)]
    uvicorn.run(
        Starlette(routes=routes),
        host="127.0.0.1",
        port=port,
        log_level="error",
        backlog=4096,
        ws_ping_interval=None,
    )


def json(port: int, *values: str) -> None:
    """uvicorn, Starlette and orjson: `/0` answers the first value, encoded each time, `/1` the second."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    def answering(value: Any) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return Response(orjson.dumps(value), media_type="application/json")

        return endpoint

    routes = [Route(f"/{n}", answering(orjson.loads(value))) for n, value in enumerate(values)]
    uvicorn.run(
        Starlette(routes=routes),
        host="127.0.0.1",
        port=port,
        log_level="error",
        access_log=False,
    )


def pubsub(port: int, redis_url: str) -> None:
    """uvicorn, Starlette and redis-py: what is published goes to each socket."""
    import uvicorn
    from redis.asyncio import Redis
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    async def listen(websocket: WebSocket) -> None:
        async with Redis.from_url(redis_url) as redis, redis.pubsub() as channel:
            await channel.subscribe("forwarded")
            await websocket.accept()
            async for message in channel.listen():
                if message["type"] == "message":
                    await websocket.send_text(message["data"].decode())

    app = Starlette(routes=[WebSocketRoute("/", listen)])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", ws_ping_interval=None)


def websockets(port: int) -> None:
    """The library `websockets` alone, on uvloop, with its own `broadcast`."""
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    sockets: set[ServerConnection] = set()
    text = TEXT.decode()

    async def handler(connection: ServerConnection) -> None:
        request: Any = connection.request
        if request.path == "/control":
            async for _ in connection:
                broadcast(sockets, text)
            return
        sockets.add(connection)
        await connection.wait_closed()
        sockets.discard(connection)

    async def main() -> None:
        async with serve(handler, "127.0.0.1", port, compression=None, ping_interval=None, backlog=4096):
            await asyncio.get_running_loop().create_future()

    uvloop.run(main())


def socketify(port: int) -> None:
    """uWebSockets with its own publish and subscribe."""
    from socketify import App, CompressOptions, OpCode

    app = App()
    text = TEXT.decode()

    def opened(ws: Any) -> None:
        ws.subscribe("all")

    def control(ws: Any, message: Any, opcode: Any) -> None:
        app.publish("all", text, OpCode.TEXT)

    quiet = {"compression": CompressOptions.DISABLED, "idle_timeout": 120}
    app.ws("/", quiet | {"open": opened, "message": lambda ws, message, opcode: None})
    app.ws("/control", quiet | {"message": control})
    app.listen({"port": port, "host": "127.0.0.1"}, lambda config: None)
    app.run()


if __name__ == "__main__":
    peers: dict[str, Callable[..., None]] = {
        "starlette": starlette,
        "websockets": websockets,
        "socketify": socketify,
        "pubsub": pubsub,
        "json": json,
    }
    peers[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
