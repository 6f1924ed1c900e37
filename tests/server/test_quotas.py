"""What a page learns of quotas before anything is sent."""

from __future__ import annotations

import doctest

from server.services import Services
from server.settings import Settings
from storage import quotas
from tests.server.live import Live, running


def test_bytes_are_told_as_people_say_them() -> None:
    assert doctest.testmod(quotas).failed == 0


async def test_nothing_is_told_to_be_full_where_nothing_is_limited(live: Live) -> None:
    async with live.person() as ann:
        told = (await ann.call("GET", f"/api/cases/{(await ann.case())['id']}/quotas")).json()
        assert told == {"quotas": [], "largest_file": live.parts.settings.max_upload_bytes}


async def test_what_a_case_and_a_person_hold_is_told_with_what_is_on_its_way(
    settings: Settings, services: Services, database: str
) -> None:
    small = settings.model_copy(update={"quota_case_bytes": 20, "quota_user_bytes": 30})
    async with running(small, services) as live, live.person("ann") as ann, live.person("bob") as bob:
        one, other = await ann.case(), await ann.case("Another")
        await ann.invite(one, bob, "viewer")
        for case, length in ((one, "15"), (other, "4")):
            headers = {
                "Tus-Resumable": "1.0.0",
                "Upload-Length": length,
                "Upload-Metadata": "filename YS50eHQ=",
            }
            made = await ann.call("POST", f"/api/cases/{case['id']}/tus", headers=headers)
            assert made.status_code == 201, made.text
        path = f"/api/cases/{one['id']}/quotas"
        assert (await ann.call("GET", path)).json()["quotas"] == [
            {"whose": "case", "limit": 20, "used": 15},
            {"whose": "person", "limit": 30, "used": 19},
        ]
        assert (await bob.call("GET", path)).json()["quotas"] == [
            {"whose": "case", "limit": 20, "used": 15},
            {"whose": "person", "limit": 30, "used": 0},
        ]
        assert (await bob.call("GET", f"/api/cases/{other['id']}/quotas")).status_code == 404
