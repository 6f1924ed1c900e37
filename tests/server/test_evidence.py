"""Reading evidence: what comes, in which headers, and that every look is written down."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import orjson
from sqlalchemy import text

from storage.evidence import ChunkDraft, NewEvidence
from tests.server.live import Live, Person

CONTENT = b"%PDF-1.7 " + bytes(range(256)) * 40


async def test_content_comes_whole_and_in_ranges(live: Live) -> None:
    async with live.person() as ann:
        path = f"/api/evidence/{await evidence_of(live, ann)}/content"
        whole = await ann.http.get(path)
        assert whole.content == CONTENT
        assert whole.headers["accept-ranges"] == "bytes"
        part = await ann.http.get(path, headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, CONTENT[10:20])
        assert part.headers["content-range"] == f"bytes 10-19/{len(CONTENT)}"
        tail = await ann.http.get(path, headers={"Range": "bytes=-5"})
        assert tail.content == CONTENT[-5:]


async def test_a_stranger_s_file_is_shown_in_a_sandbox_and_markup_is_only_downloaded(live: Live) -> None:
    async with live.person() as ann:
        pdf = await ann.http.get(f"/api/evidence/{await evidence_of(live, ann)}/content")
        assert pdf.headers["content-disposition"].startswith("inline")
        assert pdf.headers["content-security-policy"].startswith("sandbox;")
        page = await evidence_of(live, ann, b"<script>alert(1)</script>", "page.html", "text/html")
        html = await ann.http.get(f"/api/evidence/{page}/content")
        assert html.headers["content-disposition"].startswith("attachment")
        assert html.headers["content-type"] == "application/octet-stream"
        assert html.headers["x-content-type-options"] == "nosniff"


async def test_text_comes_with_its_positions(live: Live) -> None:
    async with live.person() as ann:
        evidence = await evidence_of(live, ann)
        chunk = ChunkDraft(0, 1, 0, 5, "Hello", [[1.0, 2.0, 3.0, 4.0]])
        await live.parts.evidence.store_text(
            evidence, title="Greeting", text="Hello", pages=[(0, 5)], meta={"from": "ada"}, chunks=[chunk]
        )
        whole = (await ann.http.get(f"/api/evidence/{evidence}")).json()
        assert (whole["text"], whole["page_spans"], whole["pages"]) == ("Hello", [[0, 5]], 1)
        assert (whole["title"], whole["parent"], whole["meta"]) == ("Greeting", 0, {"from": "ada"})
        chunks = (await ann.http.get(f"/api/evidence/{evidence}/chunks")).json()
        assert [(c["ordinal"], c["page"], c["start"], c["end"], c["boxes"]) for c in chunks] == [
            (0, 1, 0, 5, [[1.0, 2.0, 3.0, 4.0]])
        ]
        listed = (await ann.http.get(f"/api/cases/{whole['case']}/evidence")).json()
        assert [row["id"] for row in listed] == [evidence]
        assert "text" not in listed[0]
        assert (await ann.http.get(f"/api/cases/{whole['case']}/evidence?after={evidence}")).json() == []


async def test_every_look_is_written_down_once_a_minute_and_not_for_each_range(live: Live) -> None:
    async with live.person() as ann:
        evidence = await evidence_of(live, ann)
        path = f"/api/evidence/{evidence}"
        await ann.http.get(path)
        for start in range(3):
            await ann.http.get(f"{path}/content", headers={"Range": f"bytes={start}-9"})
        async with live.parts.database.connect() as connection:
            rows = await connection.execute(
                text("SELECT content FROM journal WHERE what = 'access' ORDER BY seq")
            )
            found = [orjson.loads(bytes(row[0]))["data"] for row in rows]
        assert found == [
            {"who": ann.id, "what": "read", "evidence": evidence},
            {"who": ann.id, "what": "download", "evidence": evidence},
        ]


async def test_entities_are_judged_by_people(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        async with live.parts.database.begin() as connection:
            entity = await connection.scalar(
                text(
                    "INSERT INTO entities (case_id, kind, key, name, status) "
                    "VALUES (:case, 'person', 'ada example', 'Ada Example', 'suggested') RETURNING id"
                ),
                {"case": case["id"]},
            )
        judged = (await ann.call("PUT", f"/api/entities/{entity}", {"status": "rejected"})).json()
        assert (judged["status"], judged["mentions"], judged["poi"]) == ("rejected", 0, None)
        path = f"/api/cases/{case['id']}/entities"
        assert (await ann.http.get(f"{path}?status=suggested")).json() == []
        assert [row["name"] for row in (await ann.http.get(f"{path}?kind=person")).json()] == ["Ada Example"]
        assert (await ann.call("PUT", f"/api/entities/{entity}", {"status": "maybe"})).status_code == 422
        assert (await ann.call("PUT", "/api/entities/1", {"status": "accepted"})).status_code == 404


async def evidence_of(
    live: Live,
    ann: Person,
    content: bytes = CONTENT,
    filename: str = "a.pdf",
    media_type: str = "application/pdf",
) -> int:
    writer = live.parts.blobs.open_writer()
    writer.write(content)
    await asyncio.to_thread(writer.commit)
    case = (await ann.case())["id"]
    new = NewEvidence(
        case, sha256(content).hexdigest(), "upload-0-x", filename, filename, len(content), media_type, ann.id
    )
    return (await live.parts.evidence.register(new)).id
