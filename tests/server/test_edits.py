"""Titles, summaries and tags that people write: versions, clashes, custody, and what a later run finds."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from storage.evidence import EvidenceStore, NewEvidence
from storage.journal import canonical
from tests.server.live import Live, Person

FOUND = [{"text": "It rained.", "start": 0, "end": 10, "page": 1}]


async def _evidence(live: Live, ann: Person, case: str, name: str = "a.txt") -> int:
    new = NewEvidence(
        case, sha256(name.encode()).hexdigest(), "upload-0-x", name, name, 1, "text/plain", ann.id
    )
    evidence = (await live.parts.evidence.register(new)).id
    await _run(live.parts.evidence, evidence)
    return evidence


async def _run(store: EvidenceStore, evidence: int, title: str = "Found") -> None:
    """What an analysis leaves."""
    await store.store_text(evidence, title=title, text="It rained.", pages=[], meta={}, chunks=[])
    await store.set_tags(evidence, ["rain", title.lower()], confidence={"rain": 0.5}, tagger=1)
    await store.set_summary(evidence, FOUND)


async def test_an_edit_is_a_version_on_top_of_what_was_found(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        path = f"/api/evidence/{await _evidence(live, ann, case['id'])}"
        first = (await ann.call("PUT", f"{path}/title", {"title": " The storm ", "if_version": 0})).json()
        assert (first["version"], first["value"], first["by"]) == (
            1,
            "The storm",
            {"id": ann.id, "name": "Ann"},
        )
        edit = {"text": "A storm came.\nThen it went.", "if_version": 0}
        assert (await ann.call("PUT", f"{path}/summary", edit)).json()["version"] == 1
        tags = {"tags": ["Weather", "weather", "Storm"], "if_version": 0}
        assert (await ann.call("PUT", f"{path}/tags", tags)).json()["value"] == ["Weather", "Storm"]
        shown = (await ann.http.get(path)).json()
        assert (shown["title"], shown["tags"]) == ("The storm", ["Weather", "Storm"])
        assert shown["summary"] == [{"text": edit["text"], "start": 0, "end": 0, "page": 0}]
        assert shown["edited"] == {"title": 1, "summary": 1, "tags": 1}
        edits = (await ann.http.get(f"{path}/edits")).json()
        assert [(one["part"], one["version"], one["value"]) for one in edits if one["part"] != "summary"] == [
            ("tags", 1, ["Weather", "Storm"]),
            ("tags", 0, ["rain", "found"]),
            ("title", 1, "The storm"),
            ("title", 0, "Found"),
        ]
        assert [one["by"]["name"] for one in edits if one["part"] == "title"] == ["Ann", ""]


async def test_a_later_run_overwrites_no_edit_and_is_kept_beside_it(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        evidence = await _evidence(live, ann, case["id"])
        path = f"/api/evidence/{evidence}"
        await ann.call("PUT", f"{path}/title", {"title": "The storm", "if_version": 0})
        await _run(live.parts.evidence, evidence, "Found again")
        shown = (await ann.http.get(path)).json()
        assert (shown["title"], shown["tags"]) == ("The storm", ["rain", "found again"])
        edits = (await ann.http.get(f"{path}/edits")).json()
        assert [(one["version"], one["value"]) for one in edits] == [(1, "The storm"), (0, "Found again")]


async def test_an_earlier_version_can_be_taken_again_with_its_places(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        path = f"/api/evidence/{await _evidence(live, ann, case['id'])}"
        await ann.call("PUT", f"{path}/summary", {"text": "A storm.", "if_version": 0})
        taken = (await ann.call("PUT", f"{path}/summary", {"restore": 0, "if_version": 1})).json()
        assert (taken["version"], taken["restored"], taken["value"]) == (2, 0, FOUND)
        assert (await ann.http.get(path)).json()["summary"] == FOUND
        unknown = await ann.call("PUT", f"{path}/summary", {"restore": 9, "if_version": 2})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "edit.unknown")


async def test_of_two_who_edit_at_once_one_is_told_what_stands_there(live: Live) -> None:
    async with live.person("ann") as ann, live.person("ben") as ben:
        case = await ann.case()
        await ann.invite(case, ben, "editor")
        path = f"/api/evidence/{await _evidence(live, ann, case['id'])}/title"
        answers = await asyncio.gather(
            *(
                person.call("PUT", path, {"title": f"By {person.name} {i}", "if_version": 0})
                for i in range(3)
                for person in (ann, ben)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409, 409]
        (won,) = [answer.json() for answer in answers if answer.status_code == 200]
        for answer in answers:
            if answer.status_code == 409:
                problem = answer.json()
                assert problem["code"] == "edit.superseded"
                assert problem["current"] == {"version": 1, "value": won["value"]}


async def test_what_stands_there_already_makes_no_version(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        path = f"/api/evidence/{await _evidence(live, ann, case['id'])}"
        same = (await ann.call("PUT", f"{path}/title", {"title": "Found", "if_version": 0})).json()
        assert same["version"] == 0
        assert (await ann.http.get(path)).json()["edited"] == {}


async def test_every_edit_is_in_the_chain_of_custody_with_both_hashes(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        evidence = await _evidence(live, ann, case["id"])
        await ann.call("PUT", f"/api/evidence/{evidence}/tags", {"tags": ["storm"], "if_version": 0})
        await ann.call("PUT", f"/api/evidence/{evidence}/tags", {"restore": 0, "if_version": 1})
        async with live.parts.database.connect() as connection:
            rows = await connection.execute(
                text("SELECT content FROM journal WHERE what = 'edit' ORDER BY seq")
            )
            found = [orjson.loads(bytes(row[0]))["data"] for row in rows]
        hashes = [sha256(canonical(tags)).hexdigest() for tags in (["rain", "found"], ["storm"])]
        told = {"who": ann.id, "evidence": evidence, "part": "tags"}
        assert found == [
            told | {"version": 1, "restored": None, "before": hashes[0], "after": hashes[1]},
            told | {"version": 2, "restored": 0, "before": hashes[1], "after": hashes[0]},
        ]
        assert (await live.parts.journal.verify(f"case:{case['id']}", [])).ok


async def test_open_pages_hear_of_an_edit_at_once(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        case = await ann.case()
        await wire.ask("subscribe", topic=f"case:{case['id']}")
        path = f"/api/evidence/{await _evidence(live, ann, case['id'])}/title"
        await ann.call("PUT", path, {"title": "The storm", "if_version": 0})
        entry = await wire.until(lambda message: message["type"] == "entry")
        assert entry["context"]["versions"] == {"evidence": 1}


async def test_evidence_is_found_by_the_title_and_tags_that_people_wrote(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        first = await _evidence(live, ann, case["id"])
        second = await _evidence(live, ann, case["id"], "b_100%.txt")
        await ann.call("PUT", f"/api/evidence/{first}/title", {"title": "The Storm", "if_version": 0})
        await ann.call("PUT", f"/api/evidence/{second}/tags", {"tags": ['Quarry "east"'], "if_version": 0})

        async def found(words: str) -> list[int]:
            answer = await ann.http.get(f"/api/cases/{case['id']}/evidence", params={"words": words})
            return [row["id"] for row in answer.json()]

        assert await found("storm") == [first]
        assert await found('QUARRY "') == [second]
        assert await found("100%") == [second]
        assert await found("_") == [second]
        assert await found("nowhere") == []
        tags = (await ann.http.get(f"/api/cases/{case['id']}/tags")).json()
        assert tags == [{"tag": tag, "evidence": 1} for tag in sorted(['Quarry "east"', "found", "rain"])]


@pytest.mark.parametrize(
    ("part", "body"),
    [
        ("title", {"title": "A"}),
        ("title", {"if_version": 0}),
        ("title", {"title": "A", "restore": 0, "if_version": 0}),
        ("title", {"title": "  ", "if_version": 0}),
        ("title", {"title": "A", "if_version": -1}),
        ("title", {"text": "A", "if_version": 0}),
        ("tags", {"tags": ["a"] * 51, "if_version": 0}),
        ("tags", {"tags": [""], "if_version": 0}),
        ("summary", {"text": "a" * 20_001, "if_version": 0}),
        ("summary", {"text": "a\0b", "if_version": 0}),
    ],
)
async def test_an_edit_that_makes_no_sense_is_refused(live: Live, part: str, body: dict[str, Any]) -> None:
    async with live.person() as ann:
        case = await ann.case()
        path = f"/api/evidence/{await _evidence(live, ann, case['id'])}/{part}"
        assert (await ann.call("PUT", path, body)).status_code == 422


async def test_a_viewer_reads_versions_and_writes_none(live: Live) -> None:
    async with live.person("ann") as ann, live.person("ben") as ben:
        case = await ann.case()
        await ann.invite(case, ben, "viewer")
        path = f"/api/evidence/{await _evidence(live, ann, case['id'])}"
        await ann.call("PUT", f"{path}/title", {"title": "The storm", "if_version": 0})
        assert len((await ben.http.get(f"{path}/edits")).json()) == 2
        refused = await ben.call("PUT", f"{path}/title", {"title": "Mine", "if_version": 1})
        assert (refused.status_code, refused.json()["code"]) == (403, "role.too_small")


async def test_near_copies_are_told_with_their_evidence_and_among_those_asked_for(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        ids = [await _evidence(live, ann, case["id"], f"{name}.txt") for name in "abc"]
        async with live.parts.database.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO near_duplicates (case_id, a, b, kind, score, contained, exact)"
                    " VALUES (:case, :a, :b, 'text', 0.75, 1, true)"
                ),
                {"case": case["id"], "a": ids[0], "b": ids[2]},
            )
        (near,) = (await ann.http.get(f"/api/evidence/{ids[2]}/near")).json()
        assert near == {
            "evidence": ids[0], "title": "Found", "filename": "a.txt", "media_type": "text/plain",
            "kind": "text", "score": 0.75, "contained": 1.0, "exact": True,
        }  # fmt: skip
        assert (await ann.http.get(f"/api/evidence/{ids[1]}/near")).json() == []
        listed = (await ann.http.get(f"/api/cases/{case['id']}/evidence")).json()
        assert [row["near"] for row in listed] == [1, 0, 1]
        assert (await ann.http.get(f"/api/evidence/{ids[0]}")).json()["near"] == 1
        path = f"/api/cases/{case['id']}/near"
        among = (await ann.http.get(path, params={"evidence": f"{ids[0]},{ids[2]}"})).json()
        assert among == [{"a": ids[0], "b": ids[2], "kind": "text", "score": 0.75}]
        assert (await ann.http.get(path, params={"evidence": f"{ids[0]},{ids[1]}"})).json() == []
        assert (await ann.http.get(path)).json() == []
        for wrong in ("x", "1,", ",".join(["1"] * 101), "9" * 30):
            assert (await ann.http.get(path, params={"evidence": wrong})).status_code == 422
