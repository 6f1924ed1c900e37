"""Long lists by page: every row once, in order, wherever it is kept."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from machines.snapshot import Snapshot
from server.errors import Invalid
from server.pages import cursor_of, values_of
from storage.archive import archive
from tests.server.live import Live, Person


async def pages(person: Person, path: str) -> list[list[dict[str, Any]]]:
    """All pages, by following the links."""
    found: list[list[dict[str, Any]]] = []
    next_path: str | None = path
    while next_path is not None and len(found) < 50:
        response = await person.http.get(next_path)
        assert response.status_code == 200, response.text
        found.append(response.json())
        next_path = response.links.get("next", {}).get("url")
    return found


def finished(number: int, topic: str, at: float) -> Snapshot:
    """A question that was cancelled long ago."""
    return Snapshot(
        id=f"query-0-{number:020x}",
        kind="query",
        chart_version=1,
        chart_hash="of an earlier release",
        topic=topic,
        revision=2,
        configuration=["cancelled"],
        history={},
        context={"question": f"Question {number}"},
        awaiting={},
        timers={},
        terminated=True,
        updated_at=at,
    )


async def test_machines_of_a_topic_come_once_each_from_redis_and_the_archive(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        case = await ann.case()
        topic = f"case:{case['id']}"
        machines = [case["machine"]]
        for number in range(3):
            made = await wire.ask("spawn", kind="query", topic=topic, data={"question": f"Live {number}"})
            machines.append(made["machine"])
        await wire.ask("send", machine=machines[1], event="cancel", data={})
        ended = await live.parts.engine.load(machines[1])
        assert ended is not None
        # Two of the old ones changed at the same moment; the one that ended just now is in both stores.
        old = [finished(number, topic, 1000.0 + number // 2) for number in range(7)]
        async with live.parts.database.begin() as connection:
            await archive(connection, [*old, ended, finished(99, "case:another", 5000.0)])
        found = await pages(ann, f"/api/topics/{topic}/machines?limit=4")
        listed = [machine for page in found for machine in page]
        assert [len(page) for page in found] == [4, 4, 3]
        assert {machine["machine"] for machine in listed} == {*machines, *(one.id for one in old)}
        assert len(listed) == 11
        places = [(machine["updated_at"], machine["machine"]) for machine in listed]
        assert places == sorted(places, reverse=True)
        whole = (await ann.http.get(f"/api/topics/{topic}/machines")).json()
        assert whole == listed


async def test_a_machine_evicted_between_two_pages_is_on_one_of_them(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        case = await ann.case()
        topic = f"case:{case['id']}"
        for number in range(4):
            made = await wire.ask("spawn", kind="query", topic=topic, data={"question": f"Number {number}"})
            await wire.ask("send", machine=made["machine"], event="cancel", data={})
        first = await ann.http.get(f"/api/topics/{topic}/machines?limit=2")
        state = await live.parts.store.read_topic(topic)
        async with live.parts.database.begin() as connection:
            await archive(connection, [machine for machine in state.machines if machine.terminated])
        for machine in state.machines:
            await live.parts.store.evict(machine.id)
        second = await pages(ann, first.links["next"]["url"])
        listed = [machine["machine"] for page in (first.json(), *second) for machine in page]
        assert sorted(listed) == sorted(machine.id for machine in state.machines)


async def test_entities_come_by_page_in_one_order(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case())["id"]
        async with live.parts.database.begin() as connection:
            for number in range(7):
                await connection.execute(
                    text(
                        "INSERT INTO entities (case_id, kind, key, name, status)"
                        " VALUES (:case, 'person', :key, :name, 'suggested')"
                    ),
                    {"case": case, "key": str(number), "name": f"Person {number // 3} “é”"},
                )
        path = f"/api/cases/{case}/entities"
        whole = (await ann.http.get(path)).json()
        found = await pages(ann, f"{path}?limit=3&kind=person")
        assert [len(page) for page in found] == [3, 3, 1]
        assert [row for page in found for row in page] == whole


def test_a_cursor_gives_back_what_it_was_made_of() -> None:
    assert values_of(cursor_of(3, "é~b", 2.5), int, str, float) == (3, "é~b", 2.5)


@pytest.mark.parametrize(
    "wrong", ["", "x", "é", "bnVsbA", cursor_of(1), cursor_of("a", 1), cursor_of(1, "\0")]
)
def test_what_is_no_cursor_of_the_list_is_refused(wrong: str) -> None:
    with pytest.raises(Invalid):
        values_of(wrong, int, str)
