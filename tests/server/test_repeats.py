"""A request that is sent again with the same key does nothing, and is answered as the first time."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from sqlalchemy import text

from tests.server.live import Live, Person


async def post(person: Person, path: str, body: Any, key: str) -> httpx.Response:
    return await person.call("POST", path, body, headers={"Idempotency-Key": key})


async def test_a_case_is_opened_once_however_often_it_is_asked_for(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        body = {"title": "A bridge", "description": "over the river"}
        first, second = await asyncio.gather(*(post(ann, "/api/cases", body, "k1") for _ in range(2)))
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json() == second.json()
        machine = first.json()["machine"]
        await wire.ask("send", machine=machine, event="rename", data={"title": "Two bridges"})
        assert (await post(ann, "/api/cases", body, "k1")).json() == first.json()
        assert len((await ann.http.get("/api/cases")).json()) == 1
        assert (await post(ann, "/api/cases", body, "k2")).json()["id"] != first.json()["id"]


async def test_a_person_of_interest_is_entered_once(live: Live) -> None:
    async with live.person() as ann:
        path = f"/api/cases/{(await ann.case())['id']}/pois"
        answers = await asyncio.gather(*(post(ann, path, {"name": "Ada Example"}, "k") for _ in range(4)))
        assert len({answer.text for answer in answers}) == 1
        assert len((await ann.http.get(path)).json()) == 1
        assert (await ann.call("DELETE", f"{path}/{answers[0].json()['id']}")).status_code == 204
        assert (await post(ann, path, {"name": "Ada Example"}, "k")).json() == answers[0].json()
        assert (await ann.http.get(path)).json() == []


async def test_an_upload_is_announced_once(live: Live) -> None:
    async with live.person() as ann:
        path = f"/api/cases/{(await ann.case())['id']}/uploads"
        first, second = [await post(ann, path, {"filename": "a.txt"}, "k") for _ in range(2)]
        assert (first.status_code, first.json()) == (201, second.json())
        assert (await post(ann, path, {"filename": "a.txt"}, "l")).json() != first.json()


async def test_a_key_stands_for_one_request_of_one_person(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        mine = (await post(ann, "/api/cases", {"title": "Mine"}, "k")).json()
        other = await post(ann, "/api/cases", {"title": "Another"}, "k")
        assert (other.status_code, other.json()["code"]) == (409, "idempotency.reused")
        elsewhere = await post(ann, f"/api/cases/{mine['id']}/pois", {"name": "Ada Example"}, "k")
        assert elsewhere.json()["code"] == "idempotency.reused"
        assert (await post(bob, "/api/cases", {"title": "Mine"}, "k")).json()["id"] != mine["id"]
        for wrong in ("", "x" * 201, "a\tb"):
            assert (await post(ann, "/api/cases", {"title": "Mine"}, wrong)).status_code == 422, wrong


async def test_a_request_that_failed_may_be_made_again_with_its_key(live: Live) -> None:
    async with live.person() as ann:
        path = f"/api/cases/{(await ann.case())['id']}/pois"
        assert (await post(ann, path, {"name": ""}, "k")).status_code == 422
        assert (await post(ann, path, {"name": "Ada Example"}, "k")).status_code == 201


async def test_keys_are_forgotten_after_a_day(live: Live) -> None:
    async with live.person() as ann:
        first = (await post(ann, "/api/cases", {"title": "A bridge"}, "k")).json()
        async with live.parts.database.begin() as connection:
            await connection.execute(text("UPDATE request_keys SET at = now() - interval '25 hours'"))
        assert (await post(ann, "/api/cases", {"title": "A bridge"}, "k")).json()["id"] != first["id"]
