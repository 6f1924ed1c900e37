"""Cases, members and persons of interest, and that open pages hear when they change."""

from __future__ import annotations

from tests.server.live import Live


async def test_a_new_case_is_open_and_its_creator_owns_it(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case("A bridge")
        assert [case[key] for key in ("title", "role", "state", "evidence")] == [
            "A bridge",
            "owner",
            "open",
            0,
        ]
        assert (await ann.http.get("/api/cases")).json() == [case]
        whole = (await ann.http.get(f"/api/cases/{case['id']}")).json()
        assert whole["members"] == [
            {"user": {"id": ann.id, "name": "Ann", "email": "ann@example.org"}, "role": "owner"}
        ]
        assert whole["counts"] == {"evidence": 0, "chunks": 0, "entities": 0}


async def test_a_crash_between_row_and_machine_is_healed_by_the_next_look(live: Live) -> None:
    async with live.person() as ann:
        machine = "case-0-0123456789abcdefabcd"
        await live.parts.cases.create("lost", "A bridge", "", machine, ann.id)
        assert await live.parts.engine.load(machine) is None
        assert [case["state"] for case in (await ann.http.get("/api/cases")).json()] == ["open"]
        snapshot = await live.parts.engine.load(machine)
        assert snapshot is not None
        assert snapshot.context["owner"] == ann.id
        assert (await ann.http.get("/api/cases/lost")).json()["title"] == "A bridge"


async def test_the_title_and_the_state_are_the_machine_s(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        case = await ann.case("A bridge")
        await wire.ask("send", machine=case["machine"], event="rename", data={"title": "Two bridges"})
        await wire.ask("send", machine=case["machine"], event="close", data={})
        listed = (await ann.http.get("/api/cases")).json()[0]
        assert (listed["title"], listed["state"]) == ("Two bridges", "closed")


async def test_a_case_never_loses_its_last_owner(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        case = await ann.case()
        members = f"/api/cases/{case['id']}/members"
        for refused in (
            await ann.call("DELETE", f"{members}/{ann.id}"),
            await ann.call("PUT", members, {"email": ann.email, "role": "viewer"}),
        ):
            assert (refused.status_code, refused.json()["code"]) == (409, "member.last_owner")
        await ann.invite(case, bob, "owner")
        assert (await ann.call("DELETE", f"{members}/{ann.id}")).status_code == 204
        assert (await ann.http.get("/api/cases")).json() == []


async def test_a_viewer_may_leave(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        case = await ann.case()
        await ann.invite(case, bob, "viewer")
        assert len((await bob.http.get("/api/cases")).json()) == 1
        left = await bob.call("DELETE", f"/api/cases/{case['id']}/members/{bob.id}")
        assert left.status_code == 204
        assert (await bob.http.get("/api/cases")).json() == []


async def test_somebody_who_has_not_registered_cannot_be_added(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        body = {"email": "nobody@example.org", "role": "viewer"}
        response = await ann.call("PUT", f"/api/cases/{case['id']}/members", body)
        assert (response.status_code, response.json()["code"]) == (404, "person.unknown")


async def test_a_person_who_is_added_finds_a_notification(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        case = await ann.case("A bridge")
        async with bob.socket() as wire:
            await wire.ask("subscribe", topic=f"user:{bob.id}")
            await ann.invite(case, bob, "viewer")
            entry = await wire.until(lambda m: m["type"] == "entry" and m["kind"] == "notification")
            assert entry["context"]["about"] == f"case:{case['id']}"
            assert "A bridge" in entry["context"]["body"]


async def test_open_pages_hear_that_members_and_persons_of_interest_changed(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob, ann.socket() as wire:
        case = await ann.case()
        await wire.ask("subscribe", topic=f"case:{case['id']}")
        await ann.invite(case, bob, "viewer")
        entry = await wire.until(lambda m: m["type"] == "entry")
        assert (entry["event"], entry["context"]["versions"]) == ("changed", {"members": 1})
        await ann.call("POST", f"/api/cases/{case['id']}/pois", {"name": "Ada Example"})
        entry = await wire.until(lambda m: m["type"] == "entry")
        assert entry["context"]["versions"] == {"members": 1, "pois": 1}


async def test_persons_of_interest_can_be_entered_changed_and_forgotten(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        pois = f"/api/cases/{case['id']}/pois"
        made = (await ann.call("POST", pois, {"name": " Ada Example ", "aliases": ["A. Example"]})).json()
        assert (made["name"], made["aliases"], made["note"]) == ("Ada Example", ["A. Example"], "")
        changed = {"name": "Ada Example", "aliases": [], "note": "signed it"}
        assert (await ann.call("PUT", f"{pois}/{made['id']}", changed)).json()["note"] == "signed it"
        assert [poi["aliases"] for poi in (await ann.http.get(pois)).json()] == [[]]
        assert (await ann.call("DELETE", f"{pois}/{made['id']}")).status_code == 204
        assert (await ann.call("DELETE", f"{pois}/{made['id']}")).json()["code"] == "poi.unknown"
        assert (await ann.http.get(pois)).json() == []


async def test_a_person_of_another_case_is_out_of_reach(live: Live) -> None:
    async with live.person() as ann:
        one, other = await ann.case("One"), await ann.case("Other")
        made = (await ann.call("POST", f"/api/cases/{one['id']}/pois", {"name": "Ada Example"})).json()
        wrong = f"/api/cases/{other['id']}/pois/{made['id']}"
        assert (await ann.call("PUT", wrong, {"name": "Somebody"})).status_code == 404
        assert (await ann.call("DELETE", wrong)).status_code == 404


async def test_machines_of_other_people_s_cases_are_not_listed(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        await ann.case("Ann's")
        mine = await bob.case("Bob's")
        listed = (await bob.http.get("/api/machines?kind=case")).json()["machines"]
        assert [machine["machine"] for machine in listed] == [mine["machine"]]
        assert (await bob.http.get("/api/machines?state=closed")).json()["machines"] == []
