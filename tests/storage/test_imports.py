"""Files of imports: listed once, received once, counted exactly whatever happens between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from machines.import_files import standing
from machines.importing_events import Tally
from machines.snapshot import Snapshot
from storage.database import create_engine
from storage.evidence import EvidenceStore
from storage.import_files import FileRow, ImportFiles
from storage.import_listing import Listing
from storage.import_tracking import track
from storage.imports import ImportRow, Imports, UnknownImport, sums_of, tally_of
from storage.quotas import OverQuota, Quotas
from tests.case_rows import new_case, new_evidence
from tests.machines.walk import Walk, extracted_upload, verified_upload

MOST = 1000
SHA = sha256(b"x").hexdigest()
OTHER = sha256(b"y").hexdigest()


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture(loop_scope="session")
async def row(engine: AsyncEngine) -> ImportRow:
    case = await new_case(engine)
    return await Imports(engine).create("import-0-a", case, "ann", "Boxes", f"import:{case}-a")


@pytest.fixture
def files(engine: AsyncEngine) -> ImportFiles:
    return ImportFiles(engine)


async def tally(engine: AsyncEngine, row: ImportRow) -> dict[str, int]:
    """The states that some files are in; what is kept must be what counting every file gives."""
    imports = Imports(engine)
    _, counts = await imports.counts(row.id)
    assert await imports.correct_counts(row.id) == []
    return {state: number for state, number in tally_of(counts).model_dump().items() if number}


def brought(walk: Walk, row: ImportRow, machine: str) -> Snapshot:
    """The machine of a walk, as one of this import's."""
    return replace(walk.last.snapshot, id=machine, topic=row.topic)


async def carried(engine: AsyncEngine, *snapshots: Snapshot) -> None:
    async with engine.begin() as connection:
        await track(connection, snapshots)


async def received(engine: AsyncEngine, row: ImportRow, *paths: str) -> list[FileRow]:
    """Files that have arrived and have a machine."""
    files = ImportFiles(engine)
    listed = await files.add(row, [Listing(path, 5) for path in paths], most_bytes=MOST)
    arrived = [(f.id, sha256(f.path.encode()).hexdigest(), 5, f"upload-0-{f.id}") for f in listed]
    await files.receive(row.case_id, row.id, arrived)
    await files.begun(row.id, [f.id for f in listed])
    now = await files.some(row.id, [f.id for f in listed])
    return [now[f.id] for f in listed]


@pytest.mark.parametrize("quotas", [Quotas(case_bytes=20), Quotas(user_bytes=20)])
async def test_batches_that_come_at_once_do_not_exceed_a_quota_together(
    engine: AsyncEngine, row: ImportRow, quotas: Quotas
) -> None:
    limited = ImportFiles(engine, quotas)
    listed = await limited.add(row, [Listing(f"{n}.txt", 5) for n in range(10)], most_bytes=MOST)
    answers = await asyncio.gather(
        *(
            limited.receive(
                row.case_id, row.id, [(f.id, sha256(f.path.encode()).hexdigest(), 5, f"upload-0-{f.id}")]
            )
            for f in listed
        ),
        return_exceptions=True,
    )
    assert [str(answer).split(",")[0] for answer in answers if answer is not None] == [
        f"{'this case holds' if quotas.case_bytes else 'your uploads hold'} 20 bytes of at most 20 bytes"
    ] * 6
    assert all(isinstance(answer, OverQuota) for answer in answers if answer is not None)
    assert await tally(engine, row) == {"queued": 4, "waiting": 6}


async def test_what_the_case_holds_already_is_no_more_where_the_quota_is_full(
    engine: AsyncEngine, row: ImportRow
) -> None:
    await EvidenceStore(engine).register(new_evidence(row.case_id, SHA, upload="upload-0-e", bytes=20))
    limited = ImportFiles(engine, Quotas(case_bytes=20))
    (same,) = await limited.add(row, [Listing("same.txt", 20)], most_bytes=MOST)
    await limited.receive(row.case_id, row.id, [(same.id, SHA, 20, "upload-0-s")])
    assert await tally(engine, row) == {"duplicate": 1}


async def test_a_listed_file_waits_unless_something_is_known_of_it(
    engine: AsyncEngine, row: ImportRow, files: ImportFiles
) -> None:
    await EvidenceStore(engine).register(new_evidence(row.case_id, SHA))
    listed = [
        Listing("a.txt", 5),
        Listing("there.txt", 5, sha256=SHA),
        Listing("empty.txt", 0),
        Listing("large.txt", MOST + 1),
        Listing("closed.txt", 5, failed="the file cannot be read: Permission denied"),
    ]
    rows = await files.add(row, listed, most_bytes=MOST)
    assert [r.state for r in rows] == ["waiting", "duplicate", "failed", "failed", "failed"]
    assert rows[1].evidence
    assert rows[2].reason == "the file is empty"
    assert await tally(engine, row) == {"waiting": 1, "duplicate": 1, "failed": 3}


async def test_listing_again_adds_nothing_and_tells_the_same(
    engine: AsyncEngine, row: ImportRow, files: ImportFiles
) -> None:
    listed = [Listing(f"{n}.txt", n + 1) for n in range(50)]
    first = await files.add(row, listed, most_bytes=MOST)
    again = await files.add(row, random.Random(1).sample(listed, 50), most_bytes=MOST)
    assert {r.id: r.path for r in again} == {r.id: r.path for r in first}
    assert await tally(engine, row) == {"waiting": 50}


async def test_a_file_that_was_not_received_is_listed_as_it_is_now(
    row: ImportRow, files: ImportFiles
) -> None:
    [first] = await files.add(row, [Listing("a.txt", 5, failed="no right")], most_bytes=MOST)
    [second] = await files.add(row, [Listing("a.txt", 7, 3.0)], most_bytes=MOST)
    assert (second.id, second.state, second.bytes, second.reason) == (first.id, "waiting", 7, "")


async def test_a_file_that_was_received_stays_as_it_was(
    engine: AsyncEngine, row: ImportRow, files: ImportFiles
) -> None:
    [there] = await received(engine, row, "a.txt")
    [again] = await files.add(row, [Listing("a.txt", 9, 8.0)], most_bytes=MOST)
    assert (again.state, again.bytes, again.machine) == ("queued", 5, there.machine)


async def test_a_list_sent_by_two_at_the_same_moment_is_one_list(
    engine: AsyncEngine, row: ImportRow, files: ImportFiles
) -> None:
    listed = [Listing(f"{n}.txt", 1) for n in range(200)]
    both = await asyncio.gather(*(files.add(row, listed, most_bytes=MOST) for _ in range(4)))
    assert len({tuple(r.id for r in rows) for rows in both}) == 1
    assert await tally(engine, row) == {"waiting": 200}


async def test_content_that_comes_twice_is_noted_once(
    engine: AsyncEngine, row: ImportRow, files: ImportFiles
) -> None:
    [file] = await received(engine, row, "a.txt")
    await files.receive(row.case_id, row.id, [(file.id, OTHER, 6, "upload-0-another")])
    now = (await files.some(row.id, [file.id]))[file.id]
    assert (now.state, now.machine, now.bytes) == ("queued", file.machine, 5)


async def test_content_that_the_case_holds_becomes_a_duplicate_without_a_machine(
    engine: AsyncEngine, row: ImportRow, files: ImportFiles
) -> None:
    there = await EvidenceStore(engine).register(new_evidence(row.case_id, SHA))
    [file] = await files.add(row, [Listing("a.txt", 5)], most_bytes=MOST)
    await files.receive(row.case_id, row.id, [(file.id, SHA, 5, "upload-0-b")])
    now = (await files.some(row.id, [file.id]))[file.id]
    assert (now.state, now.machine, now.evidence) == ("duplicate", "", there.id)


async def test_files_follow_their_machines_and_late_snapshots_change_nothing(
    engine: AsyncEngine, row: ImportRow, files: ImportFiles
) -> None:
    [file] = await received(engine, row, "a.txt")
    older, newer = verified_upload(), extracted_upload()
    newer.send("cancel", source="client")
    await carried(engine, brought(newer, row, file.machine))
    now = (await files.some(row.id, [file.id]))[file.id]
    assert now.state == standing(newer.last.snapshot).state
    await carried(engine, brought(older, row, file.machine), brought(newer, row, file.machine))
    assert (await files.some(row.id, [file.id]))[file.id] == now


async def test_what_is_found_inside_a_file_comes_onto_the_list_once(
    engine: AsyncEngine, row: ImportRow
) -> None:
    inside = Walk("upload", filename="invoice.pdf", bytes=12, parent=77)
    for _ in range(2):
        await carried(engine, brought(inside, row, "upload-0-inside"))
    _, counts = await Imports(engine).counts(row.id)
    assert [(c.kind, c.files, c.found, c.bytes) for c in counts] == [("pdf", 1, 1, 12)]
    assert await tally(engine, row) == {"sending": 1}


async def test_machines_of_no_import_are_passed_over(engine: AsyncEngine, row: ImportRow) -> None:
    await carried(engine, extracted_upload().last.snapshot)
    await carried(engine, replace(extracted_upload().last.snapshot, topic="import:gone-1"))
    assert await tally(engine, row) == {}


async def test_only_what_failed_and_can_be_tried_again_is(
    engine: AsyncEngine, row: ImportRow, files: ImportFiles
) -> None:
    broken, kept, well = await received(engine, row, "broken.pdf", "odd.bin", "well.pdf")
    [never] = await files.add(row, [Listing("never.txt", 5, failed="no right")], most_bytes=MOST)
    fails = verified_upload()
    fails.send("broke", effect=fails.effect("ExtractText"), stage="extracting", reason="damaged")
    odd = Walk("upload", filename="odd.bin", bytes=5).send("received", sha256="ab", bytes=5)
    odd.send("unsupported", effect=odd.effect("VerifyUpload"), reason="unknown", media_type="x/y")
    await carried(
        engine,
        brought(fails, row, broken.machine),
        brought(odd, row, kept.machine),
        brought(extracted_upload(), row, well.machine),
    )
    assert await files.ask_again(row.id, 0, "bob") == 2
    now = await files.some(row.id, [broken.id, kept.id, well.id, never.id])
    assert {f.path: (f.state, f.asker) for f in now.values()} == {
        "broken.pdf": ("retrying", "bob"),
        "odd.bin": ("failed", ""),
        "well.pdf": ("working", ""),
        "never.txt": ("waiting", "bob"),
    }
    await files.heard(row.id, broken.id, "failed", "damaged", retryable=False)
    assert await files.ask_again(row.id, broken.id, "bob") == 0


async def test_one_failed_file_is_tried_again_alone(row: ImportRow, files: ImportFiles) -> None:
    rows = await files.add(row, [Listing(p, 5, failed="no right") for p in "abc"], most_bytes=MOST)
    assert await files.ask_again(row.id, rows[1].id, "ann") == 1
    assert [f.id for f in await files.files(row.id, ("waiting",))] == [rows[1].id]


async def test_ending_cancels_what_has_no_machine_and_leaves_the_rest_to_theirs(
    engine: AsyncEngine, row: ImportRow, files: ImportFiles
) -> None:
    await received(engine, row, "begun.txt")
    arrived, _ = await files.add(row, [Listing("here.txt", 5), Listing("waits.txt", 5)], most_bytes=MOST)
    await files.receive(row.case_id, row.id, [(arrived.id, SHA, 5, "upload-0-never")])
    await files.end(row.id)
    assert await tally(engine, row) == {"queued": 1, "cancelled": 2}


async def test_pages_show_every_file_of_a_state_once(row: ImportRow, files: ImportFiles) -> None:
    listed = [Listing(f"{n}.txt", n % 3) for n in range(120)]
    await files.add(row, listed, most_bytes=MOST)
    seen: list[str] = []
    after = 0
    while page := await files.files(row.id, ("waiting",), after=after, limit=7):
        seen += [file.path for file in page]
        after = page[-1].id
    assert sorted(seen) == sorted(each.path for each in listed if each.bytes)


async def test_a_file_of_another_import_is_never_touched(
    engine: AsyncEngine, row: ImportRow, files: ImportFiles
) -> None:
    other = await Imports(engine).create("import-0-b", row.case_id, "bob", "B", f"import:{row.case_id}-b")
    [mine] = await files.add(row, [Listing("a.txt", 5)], most_bytes=MOST)
    await files.receive(row.case_id, other.id, [(mine.id, SHA, 5, "upload-0-x")])
    await files.fail(other.id, [(mine.id, "no")])
    assert await files.give_machine(other.id, mine.id, "upload-0-x") == ""
    assert await files.some(other.id, [mine.id]) == {}
    assert (await files.some(row.id, [mine.id]))[mine.id] == mine


async def test_counts_stay_exact_under_changes_from_many_sides(
    engine: AsyncEngine, row: ImportRow, files: ImportFiles
) -> None:
    rows = await received(engine, row, *(f"{n}.pdf" for n in range(60)))
    chance = random.Random(3)

    async def some_changes() -> None:
        for _ in range(15):
            some = chance.sample(rows, 5)
            walk = chance.choice((verified_upload, extracted_upload))()
            walk.at += chance.randint(0, 1000)
            walk.send("cancel", source="client")
            async with engine.begin() as connection:
                await track(connection, [brought(walk, row, f.machine) for f in some])
                if chance.random() < 0.3:
                    await connection.rollback()
            await files.add(row, [Listing(f"{chance.randint(0, 80)}.txt", 3)], most_bytes=MOST)

    await asyncio.gather(*(some_changes() for _ in range(4)))
    found = await tally(engine, row)
    assert sum(found.values()) == len(await files.files(row.id, limit=1000))
    _, counts = await Imports(engine).counts(row.id)
    assert sums_of(counts)["bytes"] == sum(f.bytes for f in await files.files(row.id, limit=1000))


async def test_wrong_counts_are_found_and_put_right(
    engine: AsyncEngine, row: ImportRow, files: ImportFiles
) -> None:
    await files.add(row, [Listing("a.txt", 5), Listing("b.pdf", 5)], most_bytes=MOST)
    version, _ = await Imports(engine).counts(row.id)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE import_counts SET files = files + 1 WHERE kind = 'pdf'"))
    assert await Imports(engine).correct_counts(row.id) == ["waiting"]
    newer, counts = await Imports(engine).counts(row.id)
    assert newer > version
    assert tally_of(counts) == Tally(waiting=2)


async def test_every_change_of_a_file_raises_the_version(
    engine: AsyncEngine, row: ImportRow, files: ImportFiles
) -> None:
    imports = Imports(engine)
    assert [each.id for each in await imports.unfinished()] == [row.id]
    version, _ = await imports.counts(row.id)
    await imports.note_told(row.id, version, over=True)
    assert await imports.unfinished() == []
    await files.add(row, [Listing("a.txt", 5)], most_bytes=MOST)
    assert [each.id for each in await imports.unfinished()] == [row.id]


async def test_an_import_goes_with_its_case(engine: AsyncEngine, row: ImportRow, files: ImportFiles) -> None:
    await files.add(row, [Listing("a.txt", 5)], most_bytes=MOST)
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM cases WHERE id = :case"), {"case": row.case_id})
    with pytest.raises(UnknownImport):
        await Imports(engine).counts(row.id)
    with pytest.raises(UnknownImport):
        await Imports(engine).get(row.id)
