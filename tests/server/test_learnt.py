"""What was learnt is shown to its person alone, undone by them, and not where they turned it off."""

from __future__ import annotations

import asyncio
from time import time
from typing import Any

from sqlalchemy import text

from storage.evidence import ChunkDraft, NewEvidence
from tests.patience import PATIENCE_S
from tests.server.live import Live, Person
from tests.server.test_conversations import asked


async def passages(live: Live, case: str, by: Person, count: int) -> tuple[list[int], list[int]]:
    """Evidence of one passage each: their ids, and those of the passages."""
    evidence, nodes = [], []
    for i in range(count):
        words = f"Passage number {i}."
        new = NewEvidence(case, f"{case}{i}", "upload-0-a", f"{i}.txt", f"Paper {i}", 1, "text/plain", by.id)
        row = await live.parts.evidence.register(new)
        chunk = ChunkDraft(0, 0, 0, len(words), words, [])
        await live.parts.evidence.store_text(
            row.id, title=f"Paper {i}", text=words, pages=[], meta={}, chunks=[chunk]
        )
        evidence.append(row.id)
        nodes.append((await live.parts.evidence.chunks(row.id))[0].id)
    return evidence, nodes


async def look(by: Person, case: str, node: int, query: str = "", *whats: str) -> None:
    for what in whats or ("view", "read"):
        body = {"what": what, "node": node, "query": query}
        assert (await by.call("POST", f"/api/cases/{case}/attention", body)).status_code == 204


async def learnt(by: Person, case: str, query: str = "") -> list[tuple[str, int]]:
    told = (await by.http.get(f"/api/cases/{case}/learnt{query}")).json()
    return sorted((one["what"], one["node"]) for one in told["items"])


async def test_each_thing_that_was_learnt_is_told_and_can_be_undone(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case("Boxes"))["id"]
        evidence, nodes = await passages(live, case, ann, 4)
        query = await asked(live, case, ann, "Who paid?")
        shown = await ann.call("POST", f"/api/cases/{case}/shown", {"query": query, "nodes": nodes[:2]})
        assert shown.status_code == 204
        await look(ann, case, nodes[3], query)
        await look(ann, case, evidence[2], "", "view")
        told = (await ann.http.get(f"/api/cases/{case}/learnt")).json()
        assert told["total"] == 4
        by_node = {one["node"]: one for one in told["items"]}
        assert {node: (one["what"], one["kind"], one["full"]) for node, one in by_node.items()} == {
            nodes[0]: ("ignored", "passage", -0.1),
            nodes[1]: ("ignored", "passage", -0.1),
            nodes[3]: ("read", "passage", 0.3),
            evidence[2]: ("opened", "evidence", 0.0),
        }
        read = by_node[nodes[3]]
        assert (read["title"], read["evidence"], read["said"]) == (
            "Paper 3",
            evidence[3],
            "Passage number 3.",
        )
        assert 0.29 < read["weight"] <= 0.3
        assert (await ann.http.get("/api/learnt")).json()["cases"] == [
            {"case": case, "title": "Boxes", "items": 4}
        ]
        page = (await ann.http.get(f"/api/cases/{case}/learnt?after=1&limit=2")).json()
        assert page["items"] == told["items"][1:3]
        path = f"/api/cases/{case}/learnt"
        assert (await ann.call("DELETE", f"{path}/ignored/{nodes[0]}")).status_code == 204
        assert (await ann.call("DELETE", f"{path}/ignored/{nodes[0]}")).status_code == 404
        assert (await ann.call("DELETE", f"{path}/guessed/{nodes[1]}")).status_code == 404
        assert (await ann.call("DELETE", f"{path}/read/{nodes[3]}")).status_code == 204
        # Nothing below the first ones is known to have been opened any more.
        assert await learnt(ann, case) == [("opened", evidence[2])]
        assert (await ann.call("DELETE", path)).status_code == 204
        assert await learnt(ann, case) == []
        assert (await ann.http.get("/api/learnt")).json()["cases"] == []


async def test_nobody_else_sees_or_undoes_it(live: Live) -> None:
    async with live.person() as ann, live.person("bob") as bob:
        case = await ann.case()
        await ann.invite(case, bob, "editor")
        _, nodes = await passages(live, case["id"], ann, 1)
        await look(ann, case["id"], nodes[0])
        assert await learnt(bob, case["id"]) == []
        path = f"/api/cases/{case['id']}/learnt"
        assert (await bob.call("DELETE", f"{path}/read/{nodes[0]}")).status_code == 404
        for everything in (path, "/api/learnt"):
            assert (await bob.call("DELETE", everything)).status_code == 204
        assert await learnt(ann, case["id"]) == [("read", nodes[0])]


async def test_while_it_is_turned_off_nothing_is_kept_and_what_was_kept_can_be_undone(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case())["id"]
        _, nodes = await passages(live, case, ann, 2)
        await look(ann, case, nodes[0])
        assert (await ann.http.get("/api/learnt")).json()["on"] is True
        assert (await ann.call("PUT", "/api/learnt", {"on": False})).status_code == 204
        assert (await ann.http.get("/api/learnt")).json()["on"] is False
        await look(ann, case, nodes[1])
        assert await learnt(ann, case) == [("read", nodes[0])]
        await ann.call("PUT", "/api/learnt", {"on": True})
        assert await learnt(ann, case) == [("read", nodes[0])]


async def test_what_rests_on_removed_evidence_is_left_out(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case())["id"]
        evidence, nodes = await passages(live, case, ann, 2)
        for node in nodes:
            await look(ann, case, node)
        row = await live.parts.evidence.get(evidence[0])
        assert await live.parts.evidence.hide(row.id, row.upload, hidden=True)
        assert await learnt(ann, case) == [("read", nodes[1])]


async def voted(live: Live, case: str, by: Person, query: str, node: int) -> None:
    await live.parts.votes.record(case, by.id, node, 1, query=query, effect=f"v{node}", at=time())
    assert ("vote", node) in await learnt(by, case)


async def test_a_vote_whose_question_is_gone_is_taken_back_by_itself(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case())["id"]
        _, nodes = await passages(live, case, ann, 1)
        await voted(live, case, ann, "query-0-gone", nodes[0])
        path = f"/api/cases/{case}/learnt/vote/{nodes[0]}"
        assert (await ann.call("DELETE", path)).status_code == 204
        assert await learnt(ann, case) == []
        assert (await live.parts.votes.tally(case)).sums == {}
        assert (await ann.call("DELETE", path)).status_code == 404


async def test_a_vote_is_taken_back_where_it_was_cast(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case())["id"]
        _, nodes = await passages(live, case, ann, 1)
        engine, query = live.parts.engine, await asked(live, case, ann, "Who paid?")
        results: dict[str, Any] = {"stage": "by_words", "found": [{"node": nodes[0], "score": 1.0}]}
        async with asyncio.timeout(PATIENCE_S):
            while (snapshot := await engine.load(query)) and "ranking" not in snapshot.configuration:
                effect, stage = min(snapshot.awaiting.items())
                data = results if stage == "by_words" else {"stage": stage, "found": []}
                await engine.send(query, "leg_found", {"effect": effect, **data}, source="handler")
        await engine.send(
            query, "vote", {"node": nodes[0], "value": 1}, source="client", actor=ann.id, role="viewer"
        )
        await voted(live, case, ann, query, nodes[0])
        assert (await ann.call("DELETE", f"/api/cases/{case}/learnt/vote/{nodes[0]}")).status_code == 204
        snapshot = await engine.load(query)
        assert snapshot is not None
        assert snapshot.context["mine"] == {ann.id: {}}


async def test_hits_of_a_question_elsewhere_are_not_taken(live: Live) -> None:
    async with live.person() as ann:
        one, two = (await ann.case())["id"], (await ann.case())["id"]
        _, nodes = await passages(live, one, ann, 1)
        query = await asked(live, two, ann, "Who paid?")
        body = {"query": query, "nodes": nodes}
        assert (await ann.call("POST", f"/api/cases/{one}/shown", body)).status_code == 404
        assert (await ann.call("POST", f"/api/cases/{two}/shown", body)).status_code == 204
        async with live.parts.database.connect() as connection:
            count = text("SELECT count(*) FROM attention WHERE what = 'shown'")
            assert await connection.scalar(count) == 0
