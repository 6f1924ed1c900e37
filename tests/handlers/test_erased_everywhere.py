"""A case with something in every store is erased: no table, key or folder tells of it, but the chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.page_pictures import clearing, name_of
from handlers.recommend import name_for
from handlers.suggestions import OF_CASE
from server.import_machines import begin_import
from storage.arrivals import Arriving
from storage.articles import NewArticle
from storage.departed import Departed
from storage.file_cache import FileCache
from storage.import_files import ImportFiles
from storage.import_listing import Listing
from storage.imports import Imports
from storage.machine_store import new_machine_id
from storage.near_copies import Likeness, NearCopies
from storage.prepared import Prepared
from storage.same_as import Pair, SameNames
from storage.topics import NewTopic, Topics
from tests.case_rows import new_case, new_evidence
from tests.handlers.finding_rows import finding, found_and_accepted
from tests.handlers.leaving_case import DOCUMENTS, ONLY_THERE, Leaving, leaving_case
from tests.handlers.small_case import SHARDS

FOLDER = "import:case1-f0"
NAMES = ("ledger", "slip", "bank-statement", "mail")
MARKERS = ("Quibbleworth", "Zabaglione", "Marit Solheim", "Fogswallow", "The quarry", "Folder of Fog")
RECORDED = {"journal.content", "departures.facts", "departures.contents"}
"""What of a file's name and hash is to stay."""


@pytest_asyncio.fixture(loop_scope="session")
async def pictures(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "pictures", 1 << 20)


@pytest_asyncio.fixture(loop_scope="session")
async def quarry(rows: AsyncEngine, redis_client: Redis, tmp_path: Path, pictures: FileCache) -> Leaving:
    return await leaving_case(
        rows, redis_client, tmp_path, names=NAMES[:3], made_from=[clearing(pictures)]
    )  # fmt: skip


async def search_for_a_person(quarry: Leaving, name: str) -> str:
    """A search that has found her in a document."""
    spawned = await quarry.engine.spawn("poi_search", "case:case1", {"poi": 1, "called": "Marit Solheim"})
    machine = spawned.machine
    work = (await quarry.machine(machine)).context["work"]
    sized: dict[str, Any] = {"chunks": 9, "seconds": 0.1, "large": False}
    await quarry.tell(machine, "sized", effect=work["sizing"]["effect"], **sized)
    work = (await quarry.machine(machine)).context["work"]
    place = {
        "evidence": quarry.case.evidence[name], "title": DOCUMENTS[name][0][:30], "mentions": 1, "slips": 0,
        "node": 1, "page": 0, "start": 0, "end": 4, "snippet": DOCUMENTS[name][0], "marked": [0, 4],
    }  # fmt: skip
    found = {"mentions": 1, "slips": 0, "evidence": 1, "added": 1, "removed": 0, "places": [place]}
    await quarry.tell(machine, "searched", effect=work["searching"]["effect"], **found)
    return machine


async def named_and_grouped(quarry: Leaving) -> None:
    """Two names that somebody found to be the same, a topic, and a document like another."""
    database, evidence = quarry.case.database, quarry.case.evidence
    async with database.begin() as connection:
        made = await connection.execute(
            text("INSERT INTO entities (case_id, kind, key, name, status) VALUES "
                 "('case1', 'person', 'fogswallow a', 'Fogswallow A', 'suggested'), "
                 "('case1', 'person', 'fogswallow b', 'Fogswallow B', 'suggested') RETURNING id")
        )  # fmt: skip
        one, other = made.scalars()
    await SameNames(database).judge("case1", Pair.of(one, other=other), "same", [], "ann")
    here = [evidence["ledger"], evidence["slip"]]
    await Topics(database).replace(
        "case1", [NewTopic(None, ["Fogswallow"], here)], {here[0]: [(here[1], 0.9)]}, evidence=2
    )


async def filled(quarry: Leaving, pictures: FileCache) -> None:
    """Something of the case in every store: a folder with files at rest and unborn, edits, near copies, …"""
    database, evidence = quarry.case.database, quarry.case.evidence
    imports, files = Imports(database), ImportFiles(database)
    imported = new_machine_id("import", "case:case1", SHARDS)
    async with database.begin() as connection:
        await connection.execute(
            text("INSERT INTO imports (id, case_id, owner, title, topic, over) VALUES "
                 "(:id, 'case1', 'ann', 'Folder of Fog', :topic, false)"),
            {"id": imported, "topic": FOLDER},
        )  # fmt: skip
    row = await imports.get(imported)
    await begin_import(quarry.engine, row)
    listed = await files.add(
        row, [Listing("Fogswallow/a.txt", 3), Listing("Fogswallow/b.txt", 3)], most_bytes=9
    )
    # One file came and has no machine yet.
    unborn = await quarry.store_bytes(b"Fogswallow bytes of a file that waits")
    machine = quarry.engine.machine_for("upload", FOLDER, f"import:{listed[0].id}:1")
    await quarry.arrivals.expect(Arriving(machine, "case1"), unborn)
    await files.receive("case1", row.id, [(listed[0].id, unborn, 3, machine)])
    # Another has come to rest outside Redis.
    rested = await quarry.engine.spawn("upload", FOLDER, {"filename": "Fogswallow/b.txt", "bytes": 3})
    sha256 = await quarry.store_bytes(b"Fogswallow bytes of a file at rest")
    await quarry.arrivals.arrive(Arriving(rested.machine, "case1", 0, "Fogswallow/b.txt"), sha256)
    new = new_evidence("case1", sha256, upload=rested.machine)
    number = (await quarry.evidence.register(new)).id
    await quarry.tell(rested.machine, "received", sha256=sha256, bytes=3)
    work = (await quarry.machine(rested.machine)).context["work"]
    await quarry.tell(
        rested.machine, "verified", effect=work["verifying"]["effect"], evidence=number,
        media_type="text/plain", title="Fogswallow",
    )  # fmt: skip
    work = (await quarry.machine(rested.machine)).context["work"]
    nothing = {"pages": 0, "characters": 0, "chunks": 0}
    await quarry.tell(rested.machine, "extracted", effect=work["extracting"]["effect"], **nothing)
    await quarry.carry()
    resting = await quarry.machine(rested.machine)
    assert await quarry.store.rest(rested.machine, resting.revision)
    near = NearCopies(database)
    for name in ("ledger", "slip"):
        await near.put_text("case1", evidence[name], 12, b"Fogswallow", [1, 2])
        await near.put_picture("case1", evidence[name], 5)
    alike = Likeness(evidence["slip"], 0.9, 1.0, True, b"Fogswallow")
    assert await near.link_texts("case1", evidence["ledger"], b"Fogswallow", [alike]) == 1
    async with database.begin() as connection:
        await connection.execute(
            text("INSERT INTO edits (evidence_id, part, version, value, user_id) VALUES "
                 "(:id, 'title', 1, '\"Fogswallow, rewritten\"', 'ann')"), {"id": evidence["ledger"]}
        )  # fmt: skip
    derived = await quarry.store_bytes(b"Fogswallow, a still")
    await quarry.arrivals.arrive(Arriving(quarry.uploads["ledger"], "case1", evidence["ledger"]), derived)
    for content in (quarry.contents["ledger"], derived, sha256):
        pictures.put(name_of(content, 1, 320), lambda file: file.write(b"Fogswallow drawn"))
    await search_for_a_person(quarry, "ledger")
    await named_and_grouped(quarry)
    await found_and_accepted(
        database, "ann", finding(["case1"], [evidence["ledger"], evidence["slip"]], "Fogswallow, found")
    )
    asked = await quarry.question()
    await quarry.case.summaries.put("case1", {"k": b"Fogswallow in short"})
    prepared = Prepared(quarry.redis, shards=SHARDS)
    kept = {name_for("ann"): b"read Fogswallow", OF_CASE: b"What is said about Fogswallow?"}
    assert await prepared.put("case1", await prepared.begin("case1"), kept)
    article = NewArticle(
        "https://a.example/", "https://a.example/", "Fogswallow", 1.0, "", "Fogswallow", [(0, 4)]
    )
    assert await quarry.case.articles.replace("case1", str(asked), [article]) == 1
    await quarry.carry()


def drawn(pictures: FileCache) -> list[str]:
    return sorted(path.name for path in pictures._files.iterdir())


async def test_an_erased_case_is_in_no_table_key_or_folder(quarry: Leaving, pictures: FileCache) -> None:
    await filled(quarry, pictures)
    database = quarry.case.database
    # Another case has one of the files, too, and a picture of it.
    shared = quarry.contents["bank-statement"]
    await new_case(database, "case2")
    await quarry.arrivals.arrive(Arriving("upload-0-far", "case2", 0, "far.txt"), shared)
    kept = await quarry.evidence.register(new_evidence("case2", shared, upload="upload-0-far"))
    pictures.put(name_of(shared, 1, 320), lambda file: file.write(b"drawn"))
    hashes = [path.name for path in quarry.blobs.root.rglob("*") if path.is_file() and path.name != shared]
    assert len(hashes) == 5

    case = await quarry.cases.find_machine("case1")
    assert case is not None
    await quarry.ask(case, "remove", reason="done")
    await quarry.ask(case, "erase")
    await quarry.work()
    await quarry.carry()
    assert (await quarry.machine(case)).configuration == ["deleted"]

    left = await quarry.traces_of(*MARKERS) - {shared}
    assert left <= RECORDED  # a name of a file is part of the record of its deletion
    assert await quarry.traces_of(*ONLY_THERE, "The quarry", "Folder of Fog", "Fogswallow, ") == set()
    assert await quarry.traces_of(*hashes) <= RECORDED
    assert drawn(pictures) == [name_of(shared, 1, 320)]
    assert [path.name for path in quarry.blobs.root.rglob("*") if path.is_file()] == [shared]
    assert (await quarry.evidence.get(kept.id)).case_id == "case2"
    for table in ("imports", "import_files", "import_counts", "edits", "text_signatures", "picture_hashes",
                  "near_duplicates", "votes", "sealed", "findings", "finding_verdicts",
                  "same_as", "topics", "topic_members", "topic_runs", "similar_documents"):  # fmt: skip
        async with database.connect() as connection:
            assert await connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0, table
    async with database.connect() as connection:
        cases = await connection.execute(text("SELECT DISTINCT case_id FROM arrivals"))
        assert list(cases.scalars()) == ["case2"]
    assert await quarry.store.names(FOLDER, "") == []


async def test_nothing_arrives_for_a_case_that_is_gone(quarry: Leaving) -> None:
    sha256 = await quarry.store_bytes(b"late")
    with pytest.raises(Departed):
        await quarry.arrivals.arrive(Arriving("upload-0-late", "case9"), sha256)


async def test_deleted_evidence_is_in_no_search_for_a_person(quarry: Leaving) -> None:
    search = await search_for_a_person(quarry, "ledger")
    upload = quarry.uploads["ledger"]
    await quarry.ask(upload, "remove")
    await quarry.work()
    assert (await quarry.machine(search)).context["withheld"] == [quarry.case.evidence["ledger"]]
    await quarry.ask(upload, "restore")
    await quarry.work()
    assert (await quarry.machine(search)).context["withheld"] == []
    await quarry.ask(upload, "remove")
    await quarry.ask(upload, "erase")
    await quarry.work()
    await quarry.carry()
    assert (await quarry.machine(search)).context["places"] == []
    assert await quarry.traces_of(*ONLY_THERE) == set()


async def test_what_was_inside_and_is_deleted_alone_leaves_its_bytes_nowhere(quarry: Leaving) -> None:
    ledger, content = quarry.case.evidence["ledger"], quarry.contents["slip"]
    # As when the ledger was read: its upload has stored what was found inside.
    await quarry.arrivals.arrive(Arriving(quarry.uploads["ledger"], "case1", ledger), content)
    await quarry.ask(quarry.uploads["slip"], "remove")
    await quarry.ask(quarry.uploads["slip"], "erase")
    await quarry.work()
    assert not quarry.blobs.exists(content)
    assert quarry.blobs.exists(quarry.contents["ledger"])
