"""The custody report: all that happened to evidence, with proof, on paper and as JSON, also afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from handlers.custody_paper import write
from handlers.paper_pages import LEFT, RIGHT, Cell, Line, Pages
from handlers.parsing.mupdf import pymupdf
from handlers.quoting_queries import led_through
from server.custody import verify_all
from server.custody_report import NoRecords, report_from_outside
from storage.arrivals import Arriving
from storage.evidence import NewEvidence
from tests.server.live import Live, Person
from tests.server.runtime_parts import until

CONTENT = b"The bridge was closed in March."
NAME = "Отчёт 漢字 عمر <b>.txt"


async def evidence_of(live: Live, ann: Person) -> tuple[dict[str, Any], str, int]:
    """A case, an upload that is verified without a worker, and its evidence."""
    parts, case = live.parts, await ann.case()
    topic = f"case:{case['id']}"
    machine = (
        await parts.engine.spawn("upload", topic, {"filename": NAME, "bytes": len(CONTENT)}, actor=ann.id)
    ).machine
    writer = parts.blobs.open_writer()
    writer.write(CONTENT)
    sha256, size = writer.commit()
    await parts.arrivals.arrive(Arriving(machine, case["id"], 0, NAME), sha256)
    there = await parts.evidence.register(
        NewEvidence(case["id"], sha256, machine, NAME, "The bridge", size, "text/plain", ann.id)
    )
    await parts.engine.send(
        machine, "received", {"sha256": sha256, "bytes": size}, source="handler", actor=ann.id
    )
    snapshot = await parts.engine.load(machine)
    assert snapshot is not None
    await parts.engine.send(
        machine,
        "verified",
        {
            "effect": snapshot.context["work"]["verifying"]["effect"],
            "evidence": there.id,
            "media_type": "text/plain",
            "title": "The bridge",
        },
        source="handler",
    )
    snapshot = await parts.engine.load(machine)
    assert snapshot is not None
    await parts.engine.send(
        machine,
        "needs_password",
        {"effect": snapshot.context["work"]["extracting"]["effect"], "reason": "it asks for one"},
        source="handler",
    )
    return case, machine, there.id


async def carried(live: Live, machine: str) -> None:
    """Wait until the journalist has written what happened to the machine."""
    snapshot = await live.parts.engine.load(machine)
    assert snapshot is not None

    async def written() -> bool:
        entries = await live.parts.journals._journals.entries(snapshot.topic, machine, most=1000)
        return bool(entries) and entries[-1]["revision"] >= snapshot.revision

    await until(written)


async def test_a_report_tells_who_did_what_and_proves_it(live: Live) -> None:
    async with live.person() as ann:
        case, machine, evidence = await evidence_of(live, ann)
        await ann.http.get(f"/api/evidence/{evidence}")
        await carried(live, machine)
        report = (await ann.http.get(f"/api/evidence/{evidence}/custody")).json()
        assert report["file"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
        assert (report["file"]["filename"], report["state"], report["deletion"]) == (NAME, "present", None)
        told = [(event["what"], event["who"]["name"]) for event in report["events"]]
        assert told == [
            ("announced", "Ann"),
            ("received", "Ann"),
            ("accepted as evidence", "Casewire"),
            ("found to ask for a password", "Casewire"),
            ("read the text", "Ann"),
            ("made a custody report", "Ann"),
        ]
        for event in report["events"]:
            before = bytes.fromhex(event["before"])
            assert hashlib.sha256(before + event["content"].encode()).hexdigest() == event["after"]
        (chain,) = report["chains"]
        assert (chain["topic"], chain["whole"], chain["problems"]) == (f"case:{case['id']}", True, [])
        head = chain["head"]
        assert (chain["signed_to"], head["row"]) == (chain["rows"], report["events"][-1]["row"])
        assert head["hash"] == report["events"][-1]["after"]
        public = load_pem_public_key(report["public_key"].encode())
        assert isinstance(public, Ed25519PublicKey)
        public.verify(bytes.fromhex(head["signature"]), head["message"].encode())
        assert head["hash"] in head["message"]


async def test_the_report_on_paper_has_every_record_every_script_and_numbered_pages(live: Live) -> None:
    async with live.person() as ann:
        case, machine, evidence = await evidence_of(live, ann)
        await carried(live, machine)
        topic = f"case:{case['id']}"
        for _ in range(9):
            await live.parts.journal.record_access(topic, ann.id, "read", evidence)
        answer = await ann.http.get(f"/api/evidence/{evidence}/custody.pdf")
        assert answer.headers["content-type"] == "application/pdf"
        assert answer.headers["content-disposition"].startswith("attachment")
        with pymupdf.open("pdf", answer.content) as document:
            text = "\n".join(page.get_text() for page in document)
            assert document.page_count >= 2
            for number, page in enumerate(document, 1):
                assert f"Page {number} of {document.page_count}" in page.get_text()
        assert "Отчёт 漢字" in text
        assert "عمر" in text.translate({0xFECB: "ع", 0xFEE4: "م", 0xFEAE: "ر"})  # shaped, as Arabic is
        assert len(re.findall(r"hash after\W+[0-9a-f]{64}", text)) == 14
        assert "�" not in text


async def test_a_report_can_still_be_made_of_what_was_deleted(live: Live) -> None:
    async with live.person() as ann:
        case, machine, evidence = await evidence_of(live, ann)
        for event, data in (("remove", {"reason": "sent by mistake"}), ("erase", {})):
            await live.parts.engine.send(machine, event, data, source="client", actor=ann.id, role="owner")
        await until_gone(live, evidence)
        report = (await ann.http.get(f"/api/evidence/{evidence}/custody")).json()
        assert report["state"] == "deleted"
        assert report["deletion"]["who"]["name"] == "Ann"
        assert report["deletion"]["why"] == "sent by mistake"
        assert report["file"]["filename"] == NAME
        assert report["file"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
        assert "deleted" in [event["what"] for event in report["events"]]
        assert "The bridge" not in str(report)
        removed = (await ann.http.get(f"/api/cases/{case['id']}/removed")).json()
        assert [(row["id"], row["filename"], row["reason"]) for row in removed["deleted"]] == [
            (evidence, NAME, "sent by mistake")
        ]
        assert (await ann.http.get(f"/api/evidence/{evidence}/custody.pdf")).content.startswith(b"%PDF")
        assert (await ann.http.get(f"/api/evidence/{evidence}/content")).status_code == 404


async def until_gone(live: Live, evidence: int) -> None:
    """Forget it as a worker would, which such a server has none of."""
    from handlers.forget import forget_evidence
    from machines.upload_events import ForgetEvidence
    from server.leaving import leaving_stores
    from tests.handlers.leaving_case import Doing

    parts = live.parts
    row = await parts.evidence.get(evidence)
    snapshot = await parts.engine.load(row.upload)
    assert snapshot is not None
    job = Doing(snapshot.context["work"]["forgetting"]["effect"], row.upload, snapshot.topic, parts.engine)
    stores = leaving_stores(
        parts.engine,
        parts.redis,
        parts.database,
        parts.journal,
        parts.arrivals,
        parts.settings.shards,
    )
    c = snapshot.context
    effect = ForgetEvidence(snapshot.topic, c["evidence"], row.upload, c["removed_by"], c["why"])
    result = await forget_evidence(effect, job, stores=stores)
    await parts.engine.send(row.upload, result.name, result.model_dump(mode="json"), source="handler")


async def test_what_was_removed_is_listed_apart_with_the_day_it_goes(live: Live) -> None:
    async with live.person() as ann:
        case, machine, evidence = await evidence_of(live, ann)
        await live.parts.engine.send(
            machine, "remove", {"reason": "twice"}, source="client", actor=ann.id, role="editor"
        )

        async def listed() -> Any:
            return (await ann.http.get(f"/api/cases/{case['id']}/removed")).json()["removed"]

        removed = await until(listed)
        assert [(row["id"], row["reason"], row["removed_by"]) for row in removed] == [
            (evidence, "twice", ann.id)
        ]
        assert removed[0]["grace_until"] > 1e9
        assert (await ann.http.get(f"/api/cases/{case['id']}/evidence")).json() == []
        assert (await ann.http.get(f"/api/evidence/{evidence}")).json()["hidden_at"] is not None


async def test_a_removed_case_is_hidden_and_takes_no_change_until_it_is_restored(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        send = live.parts.engine.send
        await send(case["machine"], "remove", {}, source="client", actor=ann.id, role="owner")

        async def hidden() -> bool:
            return (await ann.http.get("/api/cases")).json() == []

        async def shown() -> bool:
            return not await hidden()

        await until(hidden)
        assert [row["id"] for row in (await ann.http.get("/api/removed-cases")).json()] == [case["id"]]
        await asyncio.sleep(1.1)  # what is known of a case is believed for a second
        refused = await ann.call("POST", f"/api/cases/{case['id']}/pois", {"name": "Eve"})
        assert (refused.status_code, refused.json()["code"]) == (409, "case.leaving")
        assert (await ann.http.get(f"/api/cases/{case['id']}")).status_code == 200
        async with ann.socket() as socket:
            topic = f"case:{case['id']}"
            asked = await socket.ask("spawn", kind="query", topic=topic, data={"question": "Who?"})
            assert asked["code"] == "case.leaving"
            back = await socket.ask("send", machine=case["machine"], event="restore", data={})
            assert back["type"] == "ok"
        await until(shown)
        assert (await ann.http.get("/api/removed-cases")).json() == []


async def test_strangers_learn_nothing_not_even_of_deleted_evidence(live: Live) -> None:
    async with live.person() as ann, live.person("eve") as eve:
        _, machine, evidence = await evidence_of(live, ann)
        paths = [f"/api/evidence/{evidence}/custody", f"/api/evidence/{evidence}/custody.pdf"]
        for path in paths:
            assert (await eve.http.get(path)).status_code == 404
        for event in ("remove", "erase"):
            await live.parts.engine.send(machine, event, {}, source="client", actor=ann.id, role="owner")
        await until_gone(live, evidence)
        for path in paths:
            assert (await eve.http.get(path)).status_code == 404


async def test_the_command_line_writes_the_report_and_verifies_with_copies(live: Live) -> None:
    async with live.person() as ann:
        case, machine, evidence = await evidence_of(live, ann)
        await carried(live, machine)
        settings = live.parts.settings
        content = await report_from_outside(settings, evidence, form="json", who="command line, ann")
        assert b'"command line, ann"' in content
        paper = await report_from_outside(settings, evidence, form="pdf", who="command line, ann")
        assert paper.startswith(b"%PDF")
        with pytest.raises(NoRecords, match="no record tells of evidence 999999"):
            await report_from_outside(settings, 999999, form="json", who="x")
        topic = f"case:{case['id']}"
        well, lines = await verify_all(settings, topics=[topic])
        assert well
        assert [line.partition(":")[0] for line in lines] == ["case"]
        nothing = await verify_all(settings, topics=["case:none"])
        assert nothing == (True, ["case:none: no rows: there is no such chain"])


def test_a_thousand_records_fill_pages_that_each_begin_with_a_heading() -> None:
    who = {"id": "u1", "name": "Ann"}
    event = {
        "topic": "case:c1", "row": 1, "at": "2026-01-02 03:04:05.678", "who": who, "what": "read the text",
        "detail": "", "before": "0" * 64, "after": "f" * 64, "content": "",
    }  # fmt: skip
    chain = {
        "topic": "case:c1", "rows": 1000, "signed_to": 900, "whole": False, "quotations_deleted": 0,
        "problems": ["row 7: its content is not what its hash was computed from"], "head": None,
    }  # fmt: skip
    file = {
        "filename": "x" * 1024, "title": "", "sha256": "a" * 64, "bytes": 1, "media_type": "text/plain",
        "uploaded_by": who, "uploaded_at": "2026-01-02 03:04:05.678", "parent": None, "children": [],
    }  # fmt: skip
    report = {
        "evidence": 7, "case": "c1", "upload": "upload-0-a", "state": "present", "deletion": None,
        "made_at": "2026-01-02 03:04:05.678", "made_by": who, "file": file,
        "events": [event | {"row": number} for number in range(1, 301)], "chains": [chain], "public_key": "",
    }  # fmt: skip
    with pymupdf.open("pdf", write(report)) as document:
        texts = [page.get_text() for page in document]
        for page in document:
            for block in page.get_text("blocks"):
                assert block[2] <= 551  # nothing is cut at the right edge
    assert len(texts) > 15
    assert sum("When (UTC)" in one for one in texts) >= len(texts) - 1
    assert "row 7: its content is not what its hash was computed from" in texts[-1]
    assert "Not whole" in texts[0]
    rows = [int(line) for one in texts for line in one.splitlines() if line.isdigit() and len(line) < 4]
    assert rows == list(range(1, 301))


def test_a_path_is_told_to_lead_through_a_title_or_a_page_of_it() -> None:
    step = {"source": "Ledger, page 3", "kind": "mention", "target": "Ann"}
    context = {"hits": {"4": {"evidence": 1, "path": [step]}, "5": {"evidence": 1, "path": []}}}
    assert led_through(context, {"Ledger"}) == [4]
    assert led_through(context, {"Ledg"}) == []


def test_names_that_need_shaping_make_a_long_report_neither_large_nor_hungry() -> None:
    """Each piece laid out as HTML carries fonts of its own; hundreds of them would be gigabytes."""
    pages = Pages()
    for number in range(400):
        pages.row(Cell(LEFT, RIGHT, [Line(f"{number} عمر خالد 漢字")]), rule=True)
    content = pages.finish("Many names")
    assert len(content) < 3_000_000
    with pymupdf.open("pdf", content) as document:
        text = "\n".join(page.get_text() for page in document)
        assert document.page_count > 4
    assert text.count("漢字") == 400
