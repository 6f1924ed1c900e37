"""Findings over HTTP: for their user alone, and only while every right that they rest on lasts."""

from __future__ import annotations

from storage.evidence import NewEvidence
from tests.handlers.finding_rows import FINGERPRINT, finding
from tests.server.live import Live, Person


async def searched(live: Live, person: Person, case: str) -> str:
    """A search whose one finding rests on evidence of the case; its machine."""
    new = NewEvidence(case, "a" * 64, "upload-0-a", "a.txt", "a.txt", 1, "text/plain", person.id)
    evidence = (await live.parts.evidence.register(new)).id
    made = await live.parts.engine.spawn("detective", f"user:{person.id}", {}, actor=person.id)
    await live.parts.findings.put_drafts(made.machine, person.id, "ranking", [])
    one = finding([case], [evidence], "A ledger")
    assert await live.parts.findings.put(made.machine, person.id, [one]) == [one]
    return made.machine


async def test_findings_are_read_by_their_user_while_the_right_lasts(live: Live) -> None:
    async with live.person() as ann, live.person("bob") as bob:
        case = await ann.case()
        await ann.invite(case, bob, "viewer")
        machine = await searched(live, bob, case["id"])
        path = f"/api/detective/{machine}/findings"
        told = (await bob.http.get(path)).json()
        assert [one["fingerprint"] for one in told["findings"]] == [FINGERPRINT]
        assert told["cases"] == {case["id"]: case["title"]}
        assert told["out_of_sight"] == 0
        assert (await ann.http.get(path)).status_code == 404
        gone = await ann.call("DELETE", f"/api/cases/{case['id']}/members/{bob.id}")
        assert gone.status_code == 204
        told = (await bob.http.get(path)).json()
        assert told == {"findings": [], "cases": {}, "out_of_sight": 1}


async def test_what_a_search_can_be_about_is_of_ones_own_cases(live: Live) -> None:
    async with live.person() as ann, live.person("bob") as bob:
        case = (await ann.case())["id"]
        await ann.call("POST", f"/api/cases/{case}/pois", {"name": "Ada 100% Example"})
        await ann.call("POST", f"/api/cases/{case}/pois", {"name": "Ada Sample"})
        found = (await ann.http.get("/api/detective/ends", params={"words": "100% ex"})).json()
        assert [(end["name"], end["what"], end["case"]) for end in found] == [
            ("Ada 100% Example", "poi", case)
        ]
        assert (await bob.http.get("/api/detective/ends", params={"words": "ada"})).json() == []
        foreign = await bob.http.get("/api/detective/ends", params={"case": case})
        assert foreign.status_code == 404


async def test_a_request_that_does_not_fit_is_answered_in_a_sentence(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        data = {"about": [7, 7]}
        reply = await wire.ask("spawn", kind="detective", topic=f"user:{ann.id}", data=data)
        assert (reply["type"], reply["code"]) == ("error", "event.payload")
        assert "two different ends" in reply["message"]
