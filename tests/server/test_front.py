"""Answers given before the application are those of the application, for nobody else and not for longer."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from redis.exceptions import ConnectionError as LostConnection

from server import front
from server.front import FOR_VISITORS, PUBLIC
from server.metrics import tally
from server.rights import KNOWN_S
from tests.server.live import Live, Person

ORDINARY = "?active="
"""With a query, even one that asks for nothing, a request is not answered in front."""


def told(response: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """All of an answer but the time of day."""
    headers = [header for header in response.headers.raw if header[0].lower() != b"date"]
    return response.status_code, headers, response.content


async def both(person: Person, path: str, **options: Any) -> tuple[httpx.Response, httpx.Response]:
    """The answer in front, where there is one, and the ordinary one."""
    in_front = await person.http.get(path, **options)
    return in_front, await person.http.get(f"{path}{ORDINARY}", **options)


@pytest.fixture
def deaf(live: Live, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make every look at a login fail, so that only what is believed can be answered."""

    async def silent(*_: object) -> None:
        raise LostConnection("no Redis")

    return lambda: monkeypatch.setattr(live.parts.sessions, "find", silent)


async def test_every_answer_in_front_is_the_ordinary_one_to_the_byte(live: Live) -> None:
    async with live.person() as ann:
        for path in (*PUBLIC, *FOR_VISITORS):
            for _ in range(2):
                in_front, ordinary = await both(ann, path)
                assert told(in_front) == told(ordinary), path
                assert in_front.status_code == 200, path


async def test_strangers_and_wrong_logins_are_refused_in_the_ordinary_words(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob", login=False) as stranger:
        for path in FOR_VISITORS:
            await ann.http.get(path)
            for headers in ({}, {"Cookie": "casewire_session=wrong"}, {"Authorization": "Bearer wrong"}):
                in_front, ordinary = await both(stranger, path, headers=headers)
                assert told(in_front) == told(ordinary), path
                assert in_front.status_code == 401, path
        for path in PUBLIC:
            assert (await stranger.http.get(path)).status_code == 200


async def test_whoever_was_let_in_is_believed_without_another_look(
    live: Live, deaf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "KNOWN_S", 600.0)
    async with live.person() as ann:
        assert (await ann.http.get("/api/charts")).status_code == 200
        deaf()
        assert (await ann.http.get("/api/charts")).status_code == 200
        assert (await ann.http.get("/api/charts/case.dot")).status_code == 503  # nobody has asked for it yet


async def test_a_proof_of_one_kind_is_none_of_another(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob", login=False) as stranger:
        assert (await ann.http.get("/api/charts")).status_code == 200
        cookie = f"casewire_session={ann.http.cookies['casewire_session']}"
        refused = await stranger.http.get("/api/charts", headers={"Authorization": cookie})
        assert refused.status_code == 401


async def test_a_logout_is_felt_at_once(live: Live) -> None:
    async with live.person() as ann:
        cookie = {"Cookie": f"casewire_session={ann.http.cookies['casewire_session']}"}
        assert (await ann.http.get("/api/charts")).status_code == 200
        await ann.call("POST", "/api/logout")
        assert (await ann.http.get("/api/charts", headers=cookie)).status_code == 401


async def test_what_is_announced_while_somebody_is_let_in_leaves_no_belief(
    live: Live, deaf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live.person() as ann:
        find = live.parts.sessions.find

        async def announced(token: str) -> Any:
            found = await find(token)
            await live.parts.rights.announce(ann.id)
            return found

        monkeypatch.setattr(live.parts.sessions, "find", announced)
        assert (await ann.http.get("/api/charts")).status_code == 200
        deaf()
        assert (await ann.http.get("/api/charts")).status_code == 503


async def test_a_login_that_ends_unannounced_is_believed_for_a_second_at_most(live: Live) -> None:
    async with live.person() as ann:
        assert (await ann.http.get("/api/charts")).status_code == 200
        login = await live.parts.sessions.find(ann.http.cookies["casewire_session"])
        assert login is not None
        await live.parts.sessions.end(login)
        await asyncio.sleep(KNOWN_S)
        assert (await ann.http.get("/api/charts")).status_code == 401


async def test_what_is_answered_in_front_is_counted_by_its_route(live: Live) -> None:
    series = ("casewire_http_requests", "GET", "/api/charts/{name}", "200")
    async with live.person() as ann:
        before = tally.sums.get(series, 0.0)
        for _ in range(3):
            await ann.http.get("/api/charts/case.dot")
        assert tally.sums[series] == before + 3


async def test_other_methods_and_queries_go_the_ordinary_way(live: Live) -> None:
    async with live.person() as ann:
        await ann.http.get("/api/charts/case.dot")
        lit = await ann.http.get("/api/charts/case.dot", params={"active": "open"})
        assert lit.content != (await ann.http.get("/api/charts/case.dot")).content
        assert (await ann.call("POST", "/api/charts")).status_code == 405
        head = await ann.http.head("/api/charts")
        assert (head.status_code, head.content) == (200, b"")
