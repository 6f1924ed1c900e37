"""A whole server on a free loopback port, and people who use it through HTTP and websockets."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from handlers.certificates import trusted
from server.app import create_app
from server.errors import Close
from server.parts import Parts
from server.services import Services
from server.serving import server_of
from server.settings import Settings
from tests.patience import PATIENCE_S

PASSWORD = "a long enough password"
TRUSTED = trusted()
"""Nothing here is encrypted, but every client would read all certificates again."""


@dataclass
class Live:
    """A running server."""

    url: str
    parts: Parts

    def stop_sockets(self) -> Awaitable[None]:
        return self.parts.sockets.close_all(Close.SHUTDOWN, within_s=2.0)

    @asynccontextmanager
    async def person(self, name: str = "ann", *, login: bool = True) -> AsyncIterator[Person]:
        """Somebody with a browser of their own; registered and logged in unless told."""
        options: dict[str, Any] = {"headers": {"Origin": self.url}, "timeout": PATIENCE_S, "verify": TRUSTED}
        async with httpx.AsyncClient(base_url=self.url, **options) as http:
            person = Person(self, http, f"{name}@example.org", name.title())
            if login:
                await person.register()
            yield person


@dataclass
class Person:
    """A browser with one person in front of it."""

    live: Live
    http: httpx.AsyncClient
    email: str
    name: str
    id: str = ""
    csrf: str = ""

    async def register(self) -> httpx.Response:
        body = {"email": self.email, "name": self.name, "password": PASSWORD}
        return self._note(await self.http.post("/api/register", json=body))

    async def login(self, password: str = PASSWORD) -> httpx.Response:
        body = {"email": self.email, "password": password}
        return self._note(await self.http.post("/api/login", json=body))

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        headers = {"X-CSRF-Token": self.csrf} | options.pop("headers", {})
        if body is not None:
            options["json"] = body
        return await self.http.request(method, path, headers=headers, **options)

    async def case(self, title: str = "A bridge") -> dict[str, Any]:
        response = await self.call("POST", "/api/cases", {"title": title})
        assert response.status_code == 201, response.text
        case: dict[str, Any] = response.json()
        return case

    async def invite(self, case: dict[str, Any], other: Person, role: str) -> None:
        path = f"/api/cases/{case['id']}/members"
        response = await self.call("PUT", path, {"email": other.email, "role": role})
        assert response.status_code == 200, response.text

    @asynccontextmanager
    async def socket(self, **options: Any) -> AsyncIterator[Wire]:
        cookies = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        headers = {"Cookie": cookies} | options.pop("headers", {})
        given = {
            "origin": Origin(self.live.url),
            "subprotocols": [Subprotocol("casewire.v1.json")],
            "open_timeout": PATIENCE_S,
        } | options
        url = self.live.url.replace("http", "ws", 1) + "/ws"
        async with connect(url, additional_headers=headers, max_size=None, **given) as socket:
            yield Wire(socket)

    def _note(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            self.id, self.csrf = response.json()["user"]["id"], response.json()["csrf"]
        return response


@dataclass
class Wire:
    """One websocket; messages that a wait passed over stay in `seen`."""

    socket: ClientConnection
    seen: list[dict[str, Any]] = field(default_factory=list)
    _ids: Any = field(default_factory=lambda: itertools.count(1))

    async def read(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            message: dict[str, Any] = json.loads(await self.socket.recv())
        self.seen.append(message)
        return message

    async def ask(self, request: str, **fields: Any) -> dict[str, Any]:
        """One request and its reply."""
        number = next(self._ids)
        await self.socket.send(json.dumps({"type": request, "id": number, **fields}))
        return await self.until(lambda message: message.get("id") == number)

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while not wanted(message := await self.read()):
            pass
        return message

    async def close_code(self) -> int | None:
        """Read to the end, and tell the code that the server closed with."""
        async with asyncio.timeout(PATIENCE_S):
            await self.socket.wait_closed()
        return self.socket.close_code


@asynccontextmanager
async def running(settings: Settings, services: Services, **pings: float) -> AsyncIterator[Live]:
    """Serve on a free port, without workers, until the block ends."""
    # asyncio turns Nagle's algorithm off only where the protocol is named; each answer waited 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        mine = settings.model_copy(update={"port": port, "cpu_workers": 0, "gpu_workers": 0})
        app = create_app(mine, services)

        async def send_elsewhere() -> None:
            await app.state.parts.sockets.close_all(Close.SHUTDOWN, within_s=2.0)

        server = server_of(app, mine, send_elsewhere, **pings)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            if serving.done():
                await serving
            await asyncio.sleep(0.01)
        try:
            yield Live(f"http://127.0.0.1:{port}", app.state.parts)
        finally:
            server.should_exit = True
            await serving
