"""Removed evidence does not exist to members who could not restore it, at whatever door they knock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text

from server.openapi import described
from server.routes import ROUTES
from server.services import Services
from tests.server.live import Person
from tests.server.test_matrix import ASKS, Ask
from tests.server.visitors import World, everybody_anew

DOORS = {f"{one.method} {one.path}": one for one in described(ROUTES) if "{evidence}" in one.path}
"""Every route that names evidence, from the router's own table."""
NOWHERE = 10**12


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(services: Services, _migrated: str) -> AsyncIterator[World]:
    """A case whose evidence is removed, and everybody at its door."""
    async with everybody_anew(services, _migrated) as made:
        live = made.live
        ids = made.contents.ids
        row = await live.parts.evidence.get(ids["evidence"])
        assert await live.parts.evidence.hide(row.id, row.upload, hidden=True)
        yield made


async def asked(person: Person, label: str, ids: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    one, ask = DOORS[label], ASKS.get(label, Ask())
    answer = await person.call(one.method, one.path.format(**ids), ask.body, headers=ask.headers)
    json = answer.headers["content-type"].endswith("json") if answer.content else False
    return answer.status_code, answer.json() if json and not answer.is_success else {}


def test_there_are_as_many_doors_as_are_known_and_perhaps_more() -> None:
    assert len(DOORS) >= 13


@pytest.mark.parametrize("label", DOORS)
async def test_a_viewer_is_told_the_same_as_of_evidence_that_never_was(world: World, label: str) -> None:
    ids, viewer = world.contents.ids, world.people["viewer"]
    status, problem = await asked(viewer, label, ids)
    assert (status, problem.get("code")) == (404, "not_found")
    assert (status, problem) == await asked(viewer, label, ids | {"evidence": NOWHERE})
    assert (status, problem) == await asked(world.people["stranger"], label, ids)


@pytest.mark.parametrize("label", DOORS)
@pytest.mark.parametrize("member", ["editor", "owner"])
async def test_whoever_can_restore_it_is_let_in(world: World, label: str, member: str) -> None:
    known = ASKS.get(label, Ask()).refused
    status, problem = await asked(world.people[member], label, world.contents.ids)
    if known is None and label.startswith("GET") and "{picture}" not in label:
        assert status == 200
    else:  # there is no such picture, or somebody edited it before: said to those alone who know of it
        assert status == 200 or problem.get("detail") != "there is no such evidence"


async def test_lists_of_removed_evidence_are_for_those_who_can_restore_it(world: World) -> None:
    path = f"/api/cases/{world.contents.ids['case']}/removed"
    seen = {
        name: len((await world.people[name].http.get(path)).json()["removed"])
        for name in ("viewer", "editor", "owner")
    }
    assert seen == {"viewer": 0, "editor": 1, "owner": 1}


async def test_what_is_listed_and_noted_by_case_tells_nothing_of_it(world: World) -> None:
    ids, viewer = world.contents.ids, world.people["viewer"]
    case = f"/api/cases/{ids['case']}"
    for path in (
        "/evidence",
        f"/near?evidence={ids['evidence']}",
        "/tags",
        f"/evidence?parent={ids['evidence']}",
    ):
        assert (await viewer.http.get(case + path)).json() == [], path
    assert ids["evidence"] not in [
        node["node"] for node in (await viewer.http.get(case + "/standing")).json()
    ]
    for node in (ids["evidence"], NOWHERE):
        noted = await viewer.call("POST", case + "/attention", {"what": "view", "node": node})
        assert noted.status_code == 404


async def test_a_custody_report_names_removed_files_inside_to_those_alone_who_can_restore_them(
    world: World,
) -> None:
    ids = world.contents.ids
    async with world.live.parts.database.begin() as connection:
        whole = await connection.scalar(
            text(
                "INSERT INTO evidence (case_id, upload, filename, title, sha256, bytes, media_type, meta, "
                "text, pages, summary, tags, edited, uploaded_by) SELECT case_id, 'upload-0-whole', 'b.zip', "
                "'b', repeat('b', 64), 1, media_type, meta, '', pages, summary, tags, edited, uploaded_by "
                "FROM evidence WHERE id = :id RETURNING id"
            ),
            {"id": ids["evidence"]},
        )
        inside = {"id": ids["evidence"], "whole": whole}
        await connection.execute(text("UPDATE evidence SET parent_id = :whole WHERE id = :id"), inside)
    told = {
        name: (await world.people[name].http.get(f"/api/evidence/{whole}/custody")).json()["file"]["children"]
        for name in ("viewer", "editor")
    }
    assert told["viewer"] == []
    assert [child["evidence"] for child in told["editor"]] == [ids["evidence"]]
