"""A right that ends is felt as soon as it is announced, also on a socket that another process holds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import func

from server import tokens
from server.errors import Close
from server.rights import KNOWN_S
from server.services import Services
from storage.tokens import TOKENS
from tests.bench.serving import Server
from tests.patience import PATIENCE_S
from tests.server.live import TRUSTED, Live, Person, Wire
from tests.server.visitors import secret


@pytest_asyncio.fixture(loop_scope="session")
async def elsewhere(live: Live, services: Services, tmp_path: Path) -> AsyncIterator[Live]:
    """A second server, a process of its own, on the same Redis and PostgreSQL.

    Its sockets hear of the end of a right by announcement or not at all.
    """
    server = Server(
        str(tmp_path),
        {
            "REDIS_URL": services.redis_url,
            "CASEWIRE_QUEUE_URL": services.queue_url,
            "DATABASE_URL": services.database_url,
            "CASEWIRE_CPU_WORKERS": "0",
            "CASEWIRE_GPU_WORKERS": "0",
        },
        module="tests.server.unpolled_server",
    )
    try:
        await server.start()
        yield Live(server.url, live.parts)
    finally:
        await server.stop()


@asynccontextmanager
async def moved(person: Person, live: Live) -> AsyncIterator[Person]:
    """The same browser at another server: the cookie counts there, too."""
    async with httpx.AsyncClient(
        base_url=live.url, verify=TRUSTED, cookies=dict(person.http.cookies), timeout=PATIENCE_S
    ) as http:
        yield Person(live, http, person.email, person.name, person.id, person.csrf)


async def felt(end: Callable[[], Awaitable[httpx.Response]], notice: Callable[[], Awaitable[Any]]) -> Any:
    """End a right at one server, and see it noticed at the other."""
    assert (await end()).is_success
    return await notice()


def until(wire: Wire, kind: str) -> Callable[[], Awaitable[dict[str, Any]]]:
    return lambda: wire.until(lambda message: message["type"] == kind)


async def test_the_end_of_a_right_is_felt_on_the_sockets_of_another_process(
    live: Live, elsewhere: Live
) -> None:
    async with (
        live.person("ann") as ann,
        live.person("bob") as bob,
        moved(bob, elsewhere) as there,
        there.socket() as browser,
        there.socket(headers={"Cookie": "", "Authorization": f"Bearer {await token(bob)}"}) as program,
    ):
        case = await ann.case()
        topic, members = f"case:{case['id']}", f"/api/cases/{case['id']}/members"
        await ann.invite(case, bob, "editor")
        for wire in (browser, program):
            assert (await wire.ask("subscribe", topic=topic))["type"] == "ok"

        lowered = {"email": bob.email, "role": "viewer"}
        snapshot = await felt(lambda: ann.call("PUT", members, lowered), until(browser, "snapshot"))
        assert [machine["allowed"] for machine in snapshot["machines"]] == [[]]
        refused = await browser.ask("send", machine=case["machine"], event="hold", data={})
        assert refused["code"] == "event.forbidden"

        closed = await felt(lambda: ann.call("DELETE", f"{members}/{bob.id}"), until(browser, "closed"))
        assert (closed["topic"], closed["code"]) == (topic, "access.ended")
        assert (await program.ask("subscribe", topic=topic))["code"] == "not_found"

        made = (await bob.http.get("/api/tokens")).json()[0]["id"]
        code = await felt(lambda: bob.call("DELETE", f"/api/tokens/{made}"), program.close_code)
        assert code == Close.UNAUTHENTICATED
        assert (await browser.ask("ping"))["type"] == "ok"

        code = await felt(lambda: bob.call("POST", "/api/logout"), browser.close_code)
        assert code == Close.UNAUTHENTICATED


async def test_a_token_that_expires_is_shown_nothing_more(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live.person() as ann:
        case = await ann.case()
        made = await ann.call(
            "POST",
            "/api/tokens",
            {
                "name": "brief",
                "scopes": ["read"],
                "expires_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
            },
        )
        bearer = {"Authorization": f"Bearer {made.json()['secret']}", "Cookie": ""}
        async with ann.socket(headers=bearer) as wire:
            assert (await wire.ask("subscribe", topic=f"case:{case['id']}"))["type"] == "ok"
            # Its hour is over: for this process by the clock, for the database by the row.
            later = time.time() + 3601
            monkeypatch.setattr(tokens, "time", SimpleNamespace(time=lambda: later))
            async with live.parts.database.begin() as connection:
                await connection.execute(TOKENS.update().values(expires_at=func.now()))
            await asyncio.sleep(KNOWN_S)
            await ann.call("POST", f"/api/cases/{case['id']}/pois", {"name": "Ada Example"})
            assert await wire.close_code() == Close.UNAUTHENTICATED
            assert {message["type"] for message in wire.seen} == {"ok"}


async def token(person: Person) -> str:
    return await secret(person, frozenset({"read"}))
