"""Recommendations, suggestions and “did you mean” over HTTP, each as far as the visitor may see."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import text

from server.preparing import Preparing, preparing_of
from storage.near_copies import Likeness, NearCopies
from storage.pois import Pois
from tests.case_rows import store
from tests.patience import PATIENCE_S
from tests.server.live import Live, Person


async def eventually(read: Callable[[], Awaitable[Any]], good: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if good(found := await read()):
                return found
            await asyncio.sleep(0.05)


async def read(person: Person, path: str) -> Any:
    answer = await person.http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def filled(live: Live, case: str) -> list[int]:
    database = live.parts.database
    ids = [
        await store(database, case, f"d{i}", f"Passage {i}: Marit Solheim at the quarry.") for i in range(2)
    ]
    copies = NearCopies(database)
    for one in ids:
        await copies.put_text(case, one, 20, bytes(8), [1])
    alike = Likeness(ids[1], 0.9, 1.0, True, bytes(8))
    assert await copies.link_texts(case, ids[0], bytes(8), [alike]) == 1
    await Pois(database).add(case, "Marit Solheim", [], "")
    return ids


async def test_what_is_read_leads_to_a_recommendation_that_can_be_put_aside(live: Live) -> None:
    async with live.person() as ann, live.person("bo") as bo:
        case = (await ann.case())["id"]
        first, second = await filled(live, case)
        here = f"/api/cases/{case}"
        noted = await ann.call("POST", here + "/attention", {"what": "read", "node": first})
        assert noted.status_code == 204
        rows = await eventually(lambda: read(ann, here + "/recommended"), bool)
        assert [(row["evidence"], row["reason"]) for row in rows] == [
            (second, "nearly the same as “d0”, which you read")
        ]
        assert (await bo.http.get(here + "/recommended")).status_code == 404
        assert (await bo.call("DELETE", f"/api/evidence/{second}/recommended")).status_code == 404
        assert (await ann.call("DELETE", f"/api/evidence/{second}/recommended")).status_code == 204
        assert await read(ann, here + "/recommended") == []
        async with live.parts.database.connect() as connection:
            row = (
                await connection.execute(
                    text("SELECT node, value FROM attention WHERE what = 'dismissed' AND user_id = :id"),
                    {"id": ann.id},
                )
            ).one()
        assert tuple(row) == (second, -1.0)


async def test_what_is_opened_is_recommended_no_more_at_once(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case())["id"]
        first, second = await filled(live, case)
        here = f"/api/cases/{case}"
        await ann.call("POST", here + "/attention", {"what": "read", "node": first})
        await eventually(lambda: read(ann, here + "/recommended"), bool)
        await ann.call("POST", here + "/attention", {"what": "view", "node": second})
        assert await read(ann, here + "/recommended") == []


async def test_a_slip_is_told_and_what_the_case_has_is_not(live: Live) -> None:
    async with live.person() as ann, live.person("bo") as bo:
        case = (await ann.case())["id"]
        await filled(live, case)
        here = f"/api/cases/{case}/suggest"
        told = await read(ann, here + "?q=What did Marit Slohiem say?")
        assert told["question"] == "What did Marit Solheim say?"
        assert told["slips"] == [{"written": "Slohiem", "start": 15, "end": 22, "meant": ["Solheim"]}]
        assert await read(ann, here + "?q=What did marit solheim say?") == {"question": "", "slips": []}
        assert (await bo.http.get(here + "?q=Slohiem")).status_code == 404
        assert await read(ann, here) == {"question": "", "slips": []}


async def test_a_new_name_is_known_soon_after_the_case_has_changed(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case())["id"]
        await filled(live, case)
        here = f"/api/cases/{case}"
        assert (await read(ann, here + "/suggest?q=Who is Quibblewroth?"))["slips"] == []
        poi = {"name": "Zoe Quibbleworth", "aliases": [], "note": ""}
        assert (await ann.call("POST", here + "/pois", poi)).status_code == 201
        await eventually(
            lambda: read(ann, here + "/suggest?q=Who is Quibblewroth?"),
            lambda told: told["question"] == "Who is Quibbleworth?",
        )


async def test_questions_are_suggested_without_being_waited_for(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case())["id"]
        for name in ("a", "b", "c", "d"):
            await store(live.parts.database, case, name, "The quarry was closed.")
        async with live.parts.database.begin() as connection:
            await connection.execute(
                text(
                    "UPDATE evidence SET meta = jsonb_build_object('date', CAST(:day AS text)) "
                    "WHERE case_id = :case"
                ),
                {"case": case, "day": "2033-06-04T10:00:00"},
            )
        found = await eventually(lambda: read(ann, f"/api/cases/{case}/suggestions"), bool)
        assert found == [{"text": "What happened in June 2033?", "why": "topic"}]


async def test_a_case_is_prepared_once_it_is_quiet_and_not_again_before_it_changes(live: Live) -> None:
    parts = live.parts
    async with live.person() as ann:
        case = (await ann.case())["id"]
        one: Preparing = preparing_of(
            parts.store, parts.redis, parts.database, parts.settings.shards, holder="test"
        )
        one._quiet_s = 0.0
        assert await one.look() >= 1
        assert await one.look() == 0

        async def wanted() -> int:
            await parts.prepared.want(case)  # again, since the server that runs may take it first
            return await one.look()

        assert await eventually(wanted, bool) == 1
