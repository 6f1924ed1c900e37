"""Evidence that is forgotten is nowhere any more, whatever happens on the way, and nothing else is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.verify import verify_upload
from machines.upload_events import Verified, VerifyUpload
from storage.arrivals import Arriving
from storage.blobs import BlobMissing
from storage.departed import Departed
from storage.departures import Leaver
from tests.case_rows import QuietJob, new_case, new_evidence
from tests.conftest import empty
from tests.handlers.finding_rows import finding, found_and_accepted
from tests.handlers.leaving_case import DOCUMENTS, ONLY_THERE, TOPIC, Leaving, leaving_case
from tests.patience import PATIENCE_S


@pytest_asyncio.fixture(loop_scope="session")
async def quarry(rows: AsyncEngine, redis_client: Redis, tmp_path: Path) -> Leaving:
    return await leaving_case(rows, redis_client, tmp_path)


async def rows_of(quarry: Leaving, statement: str, **values: object) -> list[tuple[Any, ...]]:
    async with quarry.case.database.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(statement), values)]


async def chain(quarry: Leaving) -> list[dict[str, Any]]:
    found = await rows_of(quarry, "SELECT content FROM journal WHERE topic = :t ORDER BY seq", t=TOPIC)
    return [orjson.loads(bytes(row[0])) for row in found]


async def erased(quarry: Leaving, name: str) -> None:
    await quarry.ask(quarry.uploads[name], "remove", reason="privileged")
    await quarry.ask(quarry.uploads[name], "erase", actor="bob")
    await quarry.work()
    await quarry.carry()


async def test_nothing_of_it_is_left_in_any_store(quarry: Leaving) -> None:
    answered, stopped = await quarry.question(), await quarry.question(cancelled=True)
    await quarry.case.votes.record(
        "case1", "ann", quarry.case.chunks["ledger", 0], 1, query="q", effect="e1", at=1.0
    )
    await quarry.case.votes.note(
        "case1", "ann", "read", quarry.case.evidence["ledger"], query="", effect="e2"
    )
    await quarry.case.attention.note_shown("case1", "ann", "q", [quarry.case.chunks["ledger", 0]])
    assert await rows_of(quarry, "SELECT what FROM attention ORDER BY what") == [
        ("read",),
        ("shown",),
        ("vote",),
    ]
    about = [quarry.case.evidence[name] for name in ("ledger", "mail")]
    await found_and_accepted(
        quarry.case.database, "ann", finding(["case1"], about, "Quibbleworth and a mail")
    )
    await quarry.carry()
    assert {"sealed.value", "chunks.text", "evidence.text", "archived_machines.snapshot"} <= (
        await quarry.traces_of(*ONLY_THERE)
    )
    await erased(quarry, "ledger")
    assert await quarry.states("ledger") == ["deleted"]
    assert await quarry.states("slip") == ["deleted"]
    assert await quarry.traces_of(*ONLY_THERE) == set()
    assert await rows_of(quarry, "SELECT * FROM votes UNION ALL SELECT * FROM votes") == []
    assert await rows_of(quarry, "SELECT * FROM attention WHERE what <> 'accepted'") == []
    assert await rows_of(quarry, "SELECT 1 FROM findings UNION ALL SELECT 1 FROM finding_verdicts") == []
    left = {evidence for name, evidence in quarry.case.evidence.items() if name not in ("ledger", "slip")}
    assert {row.id for row in await quarry.evidence.of_case("case1")} == left
    hits = (await quarry.machine(answered)).context["hits"]
    assert "deleted evidence" in {hit["title"] for hit in hits.values()}
    assert len({hit["title"] for hit in hits.values()}) > 1
    assert await quarry.engine.load(stopped) is None
    assert (await quarry.journal.verify(TOPIC, [])).ok


async def test_what_else_the_case_has_stays_to_the_last_byte(quarry: Leaving) -> None:
    query = await quarry.question()
    before = (await quarry.machine(query)).context
    await erased(quarry, "ledger")
    after = (await quarry.machine(query)).context
    gone = {quarry.case.evidence["ledger"], quarry.case.evidence["slip"]}
    for node, hit in before["hits"].items():
        if hit["evidence"] not in gone:
            assert {**after["hits"][node], "path": []} == {**hit, "path": []}
    kept = [claim for claim in after["answer"]["claims"] if claim["text"]]
    assert kept == [
        claim for claim in before["answer"]["claims"] if claim["citations"][0]["evidence"] not in gone
    ]
    assert after["answer"]["text"] == "\n".join(claim["text"] for claim in kept)
    for name in DOCUMENTS:
        if name not in ("ledger", "slip"):
            assert quarry.blobs.read(quarry.contents[name]) == "\n".join(DOCUMENTS[name]).encode()


async def test_custody_keeps_who_what_when_and_why_and_can_still_be_verified(quarry: Leaving) -> None:
    await erased(quarry, "ledger")
    records = [row for row in await chain(quarry) if row["what"] == "deletion"]
    told = {record["data"]["filename"]: record["data"] for record in records}
    assert set(told) == {"ledger.txt", "slip.txt"}
    ledger = told["ledger.txt"]
    assert (ledger["who"], ledger["why"]) == ("bob", "privileged")
    assert (ledger["sha256"], ledger["bytes"]) == (quarry.contents["ledger"], len(DOCUMENTS["ledger"][0]))
    assert ledger["children"] == [quarry.case.evidence["slip"]]
    assert told["slip.txt"]["parent"] == quarry.case.evidence["ledger"]
    assert (await quarry.journal.verify(TOPIC, [])).ok


async def test_entries_already_carried_and_those_carried_later_hold_no_quotation(quarry: Leaving) -> None:
    await quarry.question()
    # The journalist is late: the entries that quote it reach the chain after it is gone.
    await quarry.ask(quarry.uploads["ledger"], "remove")
    await quarry.ask(quarry.uploads["ledger"], "erase")
    await quarry.work()
    await quarry.carry()
    assert await quarry.traces_of(*ONLY_THERE) == set()
    assert (await quarry.journal.verify(TOPIC, [])).ok


async def test_whoever_was_behind_gets_a_snapshot_instead_of_the_log(quarry: Leaving) -> None:
    epoch, offset = await quarry.store.position(TOPIC)
    await erased(quarry, "ledger")
    assert await quarry.store.read_log(TOPIC, epoch, offset - 3) is None
    state = await quarry.store.read_topic(TOPIC)
    log = await quarry.store.read_log(TOPIC, state.epoch, state.offset)
    assert log is not None
    assert log.entries == []


async def test_the_bytes_stay_while_another_case_has_them_and_go_with_the_last(quarry: Leaving) -> None:
    sha256 = quarry.contents["ledger"]
    await new_case(quarry.case.database, "case2")
    await quarry.arrivals.arrive(Arriving("upload-0-far", "case2", 0, "far.txt"), sha256)
    row = await quarry.evidence.register(new_evidence("case2", sha256, upload="upload-0-far"))
    await erased(quarry, "ledger")
    assert quarry.blobs.exists(sha256)
    assert not quarry.blobs.exists(quarry.contents["slip"])
    assert (await quarry.evidence.get(row.id)).case_id == "case2"
    await quarry.arrivals.leave("upload-0-far")
    assert quarry.blobs.exists(sha256)  # the row is still there
    async with quarry.case.database.begin() as connection:
        await connection.execute(text("DELETE FROM evidence WHERE id = :id"), {"id": row.id})
    await quarry.arrivals.leave("upload-0-far")
    assert not quarry.blobs.exists(sha256)


async def test_what_was_found_elsewhere_as_well_stays_as_found_there(quarry: Leaving) -> None:
    mail = quarry.case.evidence["mail"]
    await quarry.arrivals.arrive(
        Arriving("upload-0-again", "case1", mail, "copy.txt"), quarry.contents["slip"]
    )
    await quarry.arrivals.spare("upload-0-again", quarry.contents["slip"])
    await erased(quarry, "ledger")
    slip = await quarry.evidence.get(quarry.case.evidence["slip"])
    assert (slip.parent_id, slip.filename) == (mail, "copy.txt")
    assert await quarry.states("slip") == ["ready"]
    assert quarry.blobs.exists(quarry.contents["slip"])


async def test_removing_what_is_inside_leaves_what_it_was_found_in(quarry: Leaving) -> None:
    await erased(quarry, "slip")
    assert await quarry.states("ledger") == ["ready"]
    assert quarry.blobs.exists(quarry.contents["ledger"])
    assert not quarry.blobs.exists(quarry.contents["slip"])


async def test_an_upload_that_is_cancelled_on_its_way_leaves_neither_row_nor_bytes(quarry: Leaving) -> None:
    sha256 = await quarry.store_bytes(b"Only begun.")
    machine = (await quarry.engine.spawn("upload", TOPIC, {"filename": "a.txt", "bytes": 11})).machine
    await quarry.arrivals.arrive(Arriving(machine, "case1", 0, "a.txt"), sha256)
    await quarry.tell(machine, "received", sha256=sha256, bytes=11)
    await quarry.ask(machine, "cancel")
    await quarry.work()
    assert (await quarry.machine(machine)).configuration == ["cancelled"]
    assert not quarry.blobs.exists(sha256)
    # A worker that was held up finds that it is too late for a row, and for the bytes.
    with pytest.raises(Departed):
        await quarry.evidence.register(new_evidence("case1", sha256, upload=machine))
    await quarry.store_bytes(b"Only begun.")
    with pytest.raises(Departed):
        await quarry.arrivals.arrive(Arriving(machine, "case1"), sha256)


async def test_a_file_sent_anew_while_it_is_removed_takes_the_evidence_over(quarry: Leaving) -> None:
    ledger, sha256 = quarry.case.evidence["ledger"], quarry.contents["ledger"]
    await quarry.ask(quarry.uploads["ledger"], "remove")
    await quarry.work()

    async def abandoned(machine: str) -> bool:
        return machine == quarry.uploads["ledger"]

    effect = VerifyUpload(TOPIC, "again.txt", sha256, 9, 0, "ann")
    found = await verify_upload(
        effect,
        QuietJob(machine="upload-0-again"),
        evidence=quarry.evidence,
        blobs=quarry.blobs,
        arrivals=quarry.arrivals,
        abandoned=abandoned,
    )
    assert isinstance(found, Verified)
    assert found.evidence == ledger
    await quarry.ask(quarry.uploads["ledger"], "erase")
    await quarry.work()
    assert await quarry.states("ledger") == ["deleted"]
    row = await quarry.evidence.get(ledger)
    assert (row.upload, row.hidden_at) == ("upload-0-again", None)
    assert quarry.blobs.exists(sha256)
    assert await quarry.states("slip") == ["ready"]


async def test_a_file_sent_anew_while_it_is_being_forgotten_waits(quarry: Leaving) -> None:
    await quarry.ask(quarry.uploads["ledger"], "remove")
    await quarry.ask(quarry.uploads["ledger"], "erase")
    [item] = [item for item in await quarry.claimed() if item.name == "ForgetEvidence"]
    await quarry.stores.departures.begin(Leaver(item.machine, TOPIC, "case1", "ann", ""))
    with pytest.raises(Departed):
        await quarry.evidence.take_over(
            quarry.case.evidence["ledger"],
            new_evidence("case1", quarry.contents["ledger"], upload="upload-0-new"),
            instead_of=quarry.uploads["ledger"],
        )


async def test_bytes_that_are_needed_anew_at_the_moment_of_their_deletion_are_kept_or_missed(
    quarry: Leaving,
) -> None:
    """Whoever wins: needed bytes are there, and whoever needs bytes that are gone is told."""
    for number in range(12):
        sha256 = await quarry.store_bytes(f"Racing {number}".encode())
        arriving = Arriving(f"upload-0-{number}", "case1", 0, "r.txt")
        came, cleared = await asyncio.gather(
            quarry.arrivals.arrive(arriving, sha256), quarry.arrivals.clear(sha256), return_exceptions=True
        )
        if cleared is True:
            assert isinstance(came, BlobMissing)
            assert not quarry.blobs.exists(sha256)
        else:
            assert came is None
            assert quarry.blobs.exists(sha256)


async def test_work_that_holds_a_lease_is_waited_for(
    quarry: Leaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = quarry.uploads["ledger"]
    linking = (await quarry.machine(upload)).context["work"]["linking"]["effect"]
    assert await quarry.store.take_lease(linking, "worker", ttl_s=600)
    await quarry.ask(upload, "remove")
    await quarry.ask(upload, "erase")
    working = asyncio.create_task(quarry.work())
    await asyncio.sleep(0.5)
    assert await quarry.states("ledger") == ["forgetting"]
    assert (await quarry.evidence.get(quarry.case.evidence["ledger"])).id
    await quarry.store.drop_lease(linking, "worker")
    await asyncio.wait_for(working, PATIENCE_S)
    assert await quarry.states("ledger") == ["deleted"]


# --- killed between any two steps ---------------------------------------------------------------

FEW = ("ledger", "slip", "bank-statement")


class Killed(BaseException):
    """As far as the stores can tell: the process is not there any more."""


class Counting:
    """A store whose calls are counted with those of others; one of them is the last that is made.

    Args:
        after: Whether that one is still done.
    """

    calls = 0
    fatal = 0
    after = False

    def __init__(self, behind: Any) -> None:
        self._behind = behind

    def __getattr__(self, name: str) -> Any:
        return self._wrapped(getattr(self._behind, name))

    def _wrapped(self, value: Any) -> Any:
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            done = value(*args, **kwargs)
            return self._guard(done) if asyncio.iscoroutine(done) else done

        return call

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return await self._guard(self._behind(*args, **kwargs))

    async def _guard(self, coroutine: Any) -> Any:
        Counting.calls += 1
        mine = Counting.calls
        if mine == Counting.fatal and not Counting.after:
            coroutine.close()
            raise Killed
        result = await coroutine
        if mine == Counting.fatal:
            raise Killed
        return result


def counted(quarry: Leaving, fatal: int, after: bool) -> None:
    Counting.calls, Counting.fatal, Counting.after = 0, fatal, after
    quarry.stores = replace(
        quarry.stores,
        **{
            name: Counting(getattr(quarry.stores, name))
            for name in (
                "machines",
                "departures",
                "arrivals",
                "graphs",
                "partials",
                "letters",
                "send",
                "case_machine",
            )
        },
    )


async def end_of(quarry: Leaving) -> dict[str, Any]:
    """All that matters of how a deletion has ended."""
    return {
        "states": {name: await quarry.states(name) for name in FEW},
        "evidence": await rows_of(quarry, "SELECT filename FROM evidence ORDER BY filename"),
        "arrivals": await rows_of(quarry, "SELECT filename FROM arrivals ORDER BY filename"),
        "departures": await rows_of(
            quarry, "SELECT facts ->> 'filename' AS name, complete FROM departures ORDER BY name"
        ),
        "entities": await rows_of(quarry, "SELECT name FROM entities ORDER BY name"),
        "records": await rows_of(quarry, "SELECT count(*) FROM journal WHERE what = 'deletion'"),
        "files": sorted(path.name for path in quarry.blobs.root.rglob("*") if path.is_file()),
        "traces": await quarry.traces_of(*ONLY_THERE),
        "whole": (await quarry.journal.verify(TOPIC, [])).ok,
    }


@pytest_asyncio.fixture(loop_scope="session")
async def anew(
    rows: AsyncEngine, redis_client: Redis, tmp_path: Path, database: str
) -> AsyncIterator[Callable[[], Any]]:
    made = 0

    async def make() -> Leaving:
        nonlocal made
        made += 1
        if made > 1:
            await empty(database)
            await redis_client.flushall()
        quarry = await leaving_case(rows, redis_client, tmp_path / str(made), names=FEW)
        await quarry.question()
        await quarry.carry()
        await quarry.ask(quarry.uploads["ledger"], "remove")
        await quarry.ask(quarry.uploads["ledger"], "erase")
        return quarry

    yield make


async def undisturbed(anew: Callable[[], Any]) -> tuple[dict[str, Any], int]:
    quarry = await anew()
    counted(quarry, 0, False)
    await quarry.work()
    await quarry.carry()
    expected = await end_of(quarry)
    assert expected["traces"] == set()
    return expected, Counting.calls


@pytest.mark.parametrize(
    "stride", [12, *(pytest.param(-part, marks=pytest.mark.slow) for part in range(1, 9))]
)
async def test_a_deletion_that_was_killed_between_any_two_steps_ends_as_if_it_had_not_been(
    anew: Callable[[], Any], stride: int
) -> None:
    """A positive stride tries some of the steps; the others together try every one, before and after it."""
    expected, calls = await undisturbed(anew)
    every = [(call, after) for call in range(1, calls + 1) for after in (False, True)]
    for fatal, after in every[:: stride * 2 + 1] if stride > 0 else every[-stride - 1 :: 8]:
        quarry = await anew()
        counted(quarry, fatal, after)
        with contextlib.suppress(Killed):
            await quarry.work()
        await quarry.work()  # what has no result is handed out again
        await quarry.carry()
        assert await end_of(quarry) == expected, f"killed {'after' if after else 'before'} call {fatal}"
