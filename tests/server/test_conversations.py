"""Conversations over HTTP: listed, searched, named, exported, and without a trace once they are deleted."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import text

from server.conversations import sweeper_of
from storage.conversations import Conversations
from tests.patience import PATIENCE_S
from tests.server.live import Live, Person

CITED = {"node": 5, "evidence": 7, "title": "Ledger", "page": 2, "start": 3, "end": 9}


async def asked(live: Live, case: str, by: Person, question: str, conversation: str = "") -> str:
    made = await live.parts.engine.spawn(
        "query",
        f"case:{case}",
        {"question": question, "conversation": conversation},
        source="client",
        role="viewer",
        actor=by.id,
    )
    return made.machine


async def answered(live: Live, machine: str, answer: str, **cited: Any) -> None:
    """Bring a question to its answer, as workers would."""
    engine = live.parts.engine
    results: dict[str, tuple[str, dict[str, Any]]] = {
        "resolving": ("resolved", {}),
        "ranking": ("ranked", {"hits": [], "order": [], "as_of": 0, "nodes": 0, "edges": 0}),
        "answering": ("composed", {"answer": _answer(answer, CITED | cited)}),
    }
    while True:
        snapshot = await engine.load(machine)
        assert snapshot is not None
        if not snapshot.awaiting:
            return
        effect, stage = min(snapshot.awaiting.items())
        event, data = results.get(stage, ("leg_found", {"stage": stage, "found": []}))
        await engine.send(machine, event, {"effect": effect, **data}, source="handler")


def _answer(words: str, cited: dict[str, Any]) -> dict[str, Any]:
    claims = [{"text": words, "citations": [cited]}]
    return {"mode": "extractive", "supported": True, "text": words, "claims": claims}


async def listed(by: Person, case: str, expected: int, query: str = "") -> list[dict[str, Any]]:
    """The conversations, once so many are told; what was asked reaches the list a moment later."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found: list[dict[str, Any]] = (
                await by.http.get(f"/api/cases/{case}/conversations{query}")
            ).json()
            if len(found) == expected:
                return found
            await asyncio.sleep(0.05)


async def settled(live: Live, machine: str) -> None:
    """Wait until PostgreSQL has a question as it is."""
    snapshot = await live.parts.engine.load(machine)
    assert snapshot is not None
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with live.parts.database.connect() as connection:
                asked = {"machine": machine}
                row = text("SELECT revision FROM questions WHERE machine = :machine")
                if await connection.scalar(row, asked) == snapshot.revision:
                    return
            await asyncio.sleep(0.05)


async def test_a_thread_is_called_by_its_first_question_until_it_is_named(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case())["id"]
        first = await asked(live, case, ann, "Who paid?")
        await answered(live, first, "Ann paid.")
        await asked(live, case, ann, "And when?", first)
        await asked(live, case, ann, "Where is the harbour?")
        found = await listed(ann, case, 2)
        assert [(one["name"], one["named"]) for one in found] == [
            ("Where is the harbour?", False),
            ("Who paid?", False),
        ]
        path = f"/api/cases/{case}/conversations/{first}"
        renamed = (await ann.call("PUT", path, {"name": "  Money  "})).json()
        assert (renamed["name"], renamed["named"], renamed["turns"]) == ("Money", True, 2)
        assert (await ann.call("PUT", path, {"name": ""})).json()["name"] == "Who paid?"


async def test_a_thread_tells_all_its_questions_in_order(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case())["id"]
        first = await asked(live, case, ann, "Who paid?")
        second = await asked(live, case, ann, "And when?", first)
        await settled(live, second)
        await settled(live, first)
        thread = (await ann.http.get(f"/api/cases/{case}/conversations/{first}")).json()
        assert [one["machine"] for one in thread["queries"]] == [first, second]
        assert thread["asker"] == {"id": ann.id, "name": "Ann"}


async def test_names_questions_and_answers_are_searched_but_not_what_is_removed(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case())["id"]
        first = await asked(live, case, ann, "Who paid for the boat?")
        await answered(live, first, "Zabaglione paid 40 crowns.")
        await asked(live, case, ann, "Where is the harbour?")
        await settled(live, first)
        [found] = await listed(ann, case, 1, "?q=crowns+BOAT")
        assert (found["id"], found["found"]["machine"]) == (first, first)
        assert "40 crowns" in found["found"]["excerpt"]
        await listed(ann, case, 0, "?q=crowns+harbour")
        await ann.call("PUT", f"/api/cases/{case}/conversations/{first}", {"name": "Ferry"})
        await listed(ann, case, 1, "?q=ferry")
        await live.parts.engine.send(first, "withheld", {"evidence": 7, "hidden": True}, source="handler")
        await listed(ann, case, 0, "?q=zabaglione")


async def test_whoever_did_not_begin_a_thread_sees_it_and_only_an_owner_deletes_it(live: Live) -> None:
    async with live.person() as ann, live.person("bob") as bob, live.person("eve") as eve:
        case = await ann.case()
        await ann.invite(case, bob, "viewer")
        mine = await asked(live, case["id"], ann, "Who paid?")
        his = await asked(live, case["id"], bob, "Who sailed?")
        found = await listed(bob, case["id"], 2)
        assert {(one["id"], one["mine"], one["may_delete"], one["may_rename"]) for one in found} == {
            (mine, False, False, False),
            (his, True, True, True),
        }
        assert [one["id"] for one in await listed(bob, case["id"], 1, "?mine=true")] == [his]
        path = f"/api/cases/{case['id']}/conversations"
        assert (await bob.call("DELETE", f"{path}/{mine}")).status_code == 403
        assert (await bob.call("PUT", f"{path}/{mine}", {"name": "x"})).status_code == 403
        assert (await eve.http.get(path)).status_code == 404
        assert (await eve.call("DELETE", f"{path}/{mine}")).status_code == 404
        assert (await ann.call("DELETE", f"{path}/{his}")).status_code == 204
        await listed(bob, case["id"], 1)


async def test_a_deleted_thread_is_nowhere_and_the_chain_says_that_it_was(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case())["id"]
        first = await asked(live, case, ann, "Who paid Quibbleworth?")
        await answered(live, first, "Quibbleworth was paid by Zabaglione.")
        second = await asked(live, case, ann, "And when was Quibbleworth paid?", first)
        other = await asked(live, case, ann, "Where is the harbour?")
        for one in (first, second, other):
            await settled(live, one)
        async with ann.socket() as wire:
            await wire.ask("subscribe", topic=f"case:{case}")
            assert (await ann.call("DELETE", f"/api/cases/{case}/conversations/{first}")).status_code == 204
            gone = await wire.until(lambda message: bool(message.get("gone")))
            assert gone["machine"] in (first, second)
        assert [one["id"] for one in await listed(ann, case, 1)] == [other]
        assert (await ann.http.get(f"/api/cases/{case}/conversations/{first}")).status_code == 404
        assert (await ann.http.get(f"/api/machines/{first}")).status_code == 404
        for word in ("Quibbleworth", "Zabaglione"):
            assert await rows_with(live, word) == []
        async with live.parts.database.connect() as connection:
            query = text("SELECT content FROM journal WHERE what = 'deletion' AND topic = :topic")
            [content] = (await connection.execute(query, {"topic": f"case:{case}"})).scalars()
        assert b"conversation deleted" in content
        assert first.encode() in content
        verdict = await live.parts.journal.verify(f"case:{case}", [])
        assert verdict.problems == []


async def test_what_the_chain_hears_of_a_deleted_question_later_is_not_kept(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case())["id"]
        machines = [await asked(live, case, ann, f"Who is Quibbleworth {i}?") for i in range(5)]
        for one in machines:
            await settled(live, one)
        conversations = Conversations(live.parts.database, live.parts.journal)
        # Removed by a server that died before it came any further; entries are still on their way.
        for one in machines:
            await live.parts.engine.send(one, "cancel", {}, source="client", role="viewer", actor=ann.id)
            assert await conversations.remove(case, one, ann.id)
        await listed(ann, case, 0)
        parts = live.parts
        sweeper = sweeper_of(
            parts.engine, parts.redis, parts.database, parts.settings.shards, holder="somebody"
        )
        await sweeper.look()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await _journal_rows(live, machines[-1]) == 2:
                    break
                await asyncio.sleep(0.05)
        assert await rows_with(live, "Quibbleworth") == []


async def _journal_rows(live: Live, machine: str) -> int:
    async with live.parts.database.connect() as connection:
        query = text("SELECT count(*) FROM journal WHERE split_part(event_key, ':', 1) = :machine")
        return int(await connection.scalar(query, {"machine": machine}) or 0)


async def rows_with(live: Live, word: str) -> list[str]:
    """Tables with a row in whose text a word stands."""
    found = []
    async with live.parts.database.connect() as connection:
        tables = await connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        for table in tables.scalars().all():
            query = text(
                f'SELECT count(*) FROM "{table}" AS t WHERE strpos(t::text, :word) > 0 '
                "OR strpos(t::text, encode(convert_to(:word, 'utf8'), 'hex')) > 0"
            )
            if await connection.scalar(query, {"word": word}):
                found.append(table)
    return found


async def test_a_thread_is_exported_with_its_citations_but_without_what_is_removed(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case())["id"]
        first = await asked(live, case, ann, "Who *paid*?")
        await answered(live, first, "Ann <b>paid</b>.")
        await settled(live, first)
        path = f"/api/cases/{case}/conversations/{first}/export"
        written = await ann.http.get(path)
        assert written.headers["content-type"].startswith("text/markdown")
        assert "## Who \\*paid\\*?" in written.text
        assert "> Ann \\<b\\>paid\\</b\\>. [1]" in written.text
        assert "1. Ledger (evidence 7, page 2, characters 3–9)" in written.text
        told = (await ann.http.get(f"{path}?form=json")).json()
        assert told["turns"][0]["answer"]["claims"][0]["citations"][0]["evidence"] == 7
        await live.parts.engine.send(first, "withheld", {"evidence": 7, "hidden": True}, source="handler")
        hidden = (await ann.http.get(f"{path}?form=json")).json()["turns"][0]
        assert (hidden["answer"]["claims"], hidden["answer"]["text"], hidden["missing"]) == ([], "", 1)
        assert "paid</b>" not in (await ann.http.get(path)).text


async def test_looking_outside_is_refused_where_nothing_is_configured(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case())["id"]
        assert (await ann.http.get(f"/api/cases/{case}")).json()["outside"] == []
        async with ann.socket() as wire:
            data = {"question": "Who paid?", "extended": True}
            refused = await wire.ask("spawn", kind="query", topic=f"case:{case}", data=data)
        assert (refused["code"], "CASEWIRE_SOURCES" in refused["message"]) == ("sources.none", True)
