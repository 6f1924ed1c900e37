"""A folder from its list to its end: every file is somewhere, and the counts are what is the case."""

from __future__ import annotations

import asyncio
import csv
import errno
import io
import random
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any
from unittest.mock import AsyncMock

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from machines.errors import NotAllowed
from server import import_batches
from server.import_sweep import sweep
from server.services import Services
from server.settings import Settings
from storage.archive import archived_revisions
from storage.evidence import NewEvidence
from storage.keys import shard_keys
from storage.machine_store import shard_of_machine
from storage.runtime_records import PressureState, RuntimeRecords
from tests.patience import PATIENCE_S
from tests.server.importing import Folder, keep_feeding
from tests.server.live import Live, running
from tests.server.runtime_parts import until


@pytest_asyncio.fixture(loop_scope="session")
async def live(
    settings: Settings, services: Services, redis_client: Redis, database: str
) -> AsyncIterator[Live]:
    """A server on emptied stores, which works on four files of a folder at a time."""
    await keep_feeding(redis_client, settings.shards)
    async with running(settings.model_copy(update={"import_window": 4}), services) as started:
        yield started


FILES = {"a/one.txt": b"One.", "a/two.txt": b"Two, longer.", "three.txt": b"Three."}


async def test_a_folder_is_listed_sent_worked_on_and_done(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        assert [row["state"] for row in await folder.list(FILES)] == ["waiting"] * 3
        sent = await folder.send()
        assert [(row["state"], row["reason"]) for row in sent.json()] == [("received", "")] * 3
        await folder.feed()
        assert (await folder.state())["tally"] == {"queued": 3}
        for path in FILES:
            await folder.work(path)
        await folder.feed()
        state = await folder.state()
        assert (state["state"], state["tally"], state["pages"]) == ("done", {"ready": 3}, 6)
        assert state["outcome"] == "3 files are ready"
        assert state["bytes"] == state["bytes_done"] == sum(map(len, FILES.values()))


async def test_its_entries_on_the_case_carry_the_same_counts(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        folder = await Folder.begun(ann)
        await wire.ask("subscribe", topic=f"case:{folder.case}")
        await folder.list(FILES)
        await folder.send()
        await folder.feed()
        for path in FILES:
            await folder.work(path)
        await folder.feed()
        await wire.until(lambda message: message.get("to") == ["done"])
        entries = [m for m in wire.seen if m.get("machine") == folder.machine and m["type"] == "entry"]
        states = [entry["to"][0] for entry in entries]
        assert states == sorted(states, key=["manifest", "transferring", "processing", "done"].index)
        assert [e["context"]["tally"]["ready"] for e in entries if "tally" in e["context"]][-1] == 3


async def test_the_files_themselves_are_no_concern_of_the_cases_topic(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list(FILES)
        await folder.send()
        await folder.feed()
        topic = await live.parts.store.read_topic(f"case:{folder.case}")
        assert {machine.kind for machine in topic.machines} == {"case", "import"}
        row = await live.parts.imports.get(folder.machine)
        uploads = (await live.parts.store.read_topic(row.topic)).machines
        assert {machine.kind for machine in uploads} == {"upload"}


async def test_only_a_window_of_files_has_machines_at_a_time(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        files = {f"{n}.txt": b"%d" % n for n in range(10)}
        await folder.list(files)
        await folder.send()
        await folder.feed()
        row = await live.parts.imports.get(folder.machine)
        assert len(await live.parts.store.live_in(row.topic)) == 4
        assert (await folder.state())["tally"] == {"queued": 10}
        for path in list(files)[:4]:
            await folder.work(path)
        await folder.feed()
        assert (await folder.state())["tally"] == {"queued": 6, "ready": 4}
        assert await folder.rest() == 4
        assert len(await live.parts.store.live_in(row.topic)) == 4


async def test_the_window_is_smaller_under_pressure_and_never_closed(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list({f"{n}.txt": b"%d" % n for n in range(10)})
        await folder.send()
        row = await live.parts.imports.get(folder.machine)
        for level, open_ in ((1.0, 1), (0.5, 2), (0.0, 4)):
            monkeypatch.setattr(
                RuntimeRecords, "pressure", AsyncMock(return_value=PressureState(queues=level))
            )
            await folder.feed()
            assert len(await live.parts.store.live_in(row.topic)) == open_


async def test_what_the_case_holds_is_not_sent(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        held = sha256(FILES["three.txt"]).hexdigest()
        new = NewEvidence(folder.case, held, "upload-0-x", "t", "The third", 6, "text/plain", ann.id)
        there = await live.parts.evidence.register(new)
        rows = await folder.list(FILES, hashed=True)
        assert [row["state"] for row in rows] == ["waiting", "waiting", "duplicate"]
        assert rows[2]["evidence"] == there.id
        # A hash of another case tells nothing.
        elsewhere = await Folder.begun(ann)
        assert {row["state"] for row in await elsewhere.list(FILES, hashed=True)} == {"waiting"}


async def test_what_is_sent_again_is_passed_over_whoever_is_faster(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list(FILES)
        answers = await asyncio.gather(*(folder.send() for _ in range(5)))
        assert {answer.status_code for answer in answers} == {200}
        await folder.feed()
        row = await live.parts.imports.get(folder.machine)
        assert len(await live.parts.store.live_in(row.topic)) == 3
        assert [r["state"] for r in (await folder.send()).json()] == ["queued"] * 3
        assert (await folder.state())["tally"] == {"queued": 3}


async def test_a_batch_that_breaks_off_has_brought_what_came_whole(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list(FILES)
        whole = folder.batch(*FILES)
        cut = await folder.send(body=whole[:-3])
        assert (cut.status_code, cut.json()["code"]) == (422, "batch.invalid")

        async def breaks_off() -> Any:
            yield whole[: len(whole) - 3]
            raise OSError("unplugged")

        with pytest.raises(OSError, match="unplugged"):
            await ann.call("POST", f"{folder.path}/batch", content=breaks_off())
        assert (await folder.state())["tally"] == {"waiting": 1, "queued": 2}
        await folder.send("three.txt")
        assert (await folder.state())["tally"] == {"queued": 3}


async def test_a_connection_that_is_cut_within_a_batch_leaves_what_came_whole(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    take = import_batches._Reader.take

    async def noting(reader: Any, size: int) -> bytes:
        found = await take(reader, size)
        taken.append(size)
        return found

    async def two_taken() -> bool:
        return len(taken) == 2

    monkeypatch.setattr(import_batches._Reader, "take", noting)
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list(FILES)
        whole = folder.batch(*FILES)

        async def breaks_off() -> Any:
            yield whole[: len(whole) - 3]
            await until(two_taken)
            raise OSError("unplugged")

        with pytest.raises(OSError, match="unplugged"):
            await ann.call("POST", f"{folder.path}/batch", content=breaks_off())

        async def two_came() -> bool:
            return bool((await folder.state())["tally"] == {"waiting": 1, "queued": 2})

        await until(two_came)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "begins with a line of JSON"),
        (b"{}\n", "files"),
        (b'{"files": []}\n', "files"),
        (b'{"files": [{"file": 999999, "bytes": 1}]}\nx', "has no file 999999"),
        (b'{"files": [{"file": 1, "bytes": 5000000}]}\n', "bytes"),
    ],
)
async def test_what_is_no_batch_is_refused_and_changes_nothing(live: Live, body: bytes, why: str) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list(FILES)
        answer = await ann.call("POST", f"{folder.path}/batch", content=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "batch.invalid")
        assert why in answer.json()["detail"]
        assert (await folder.state())["tally"] == {"waiting": 3}


async def test_bytes_that_are_not_the_announced_ones_are_not_taken(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list(FILES)
        body = folder.batch("three.txt", sha256=sha256(b"Three!").hexdigest())
        [told] = (await folder.send(body=body)).json()
        assert told["state"] == "waiting"
        assert "not those that were announced" in told["reason"]


async def test_an_empty_file_fails_with_its_reason_and_nothing_else_does(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list({"full.txt": b"x", "shrunk.txt": b"y", "empty.txt": b""})
        folder.contents["shrunk.txt"] = b""
        sent = (await folder.send("full.txt", "shrunk.txt")).json()
        assert [(row["state"], row["reason"]) for row in sent] == [
            ("received", ""), ("failed", "the file is empty"),
        ]  # fmt: skip
        assert (await folder.state())["tally"] == {"queued": 1, "failed": 2}


async def test_sizes_that_no_disk_holds_fail_and_add_up(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        files = [{"path": f"{n}.img", "bytes": 2**63 - 1} for n in range(3)]
        for changed in (False, False):
            told = await ann.call("POST", f"{folder.path}/manifest", {"files": files})
            assert [(file["state"], file["changed"]) for file in told.json()] == [("failed", changed)] * 3
        state = await folder.state()
        assert (state["tally"], state["bytes"]) == ({"failed": 3}, 3 << 43)


async def test_a_paused_import_takes_and_begins_nothing_until_it_is_resumed(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list(FILES)
        await folder.send("three.txt")
        assert (await folder.event("pause"))["type"] == "ok"
        refused = await folder.send()
        assert (refused.status_code, refused.json()["code"]) == (409, "import.paused")
        await folder.feed()
        assert (await folder.file("three.txt")).state == "received"
        await folder.event("resume")
        assert (await folder.send()).status_code == 200
        await folder.feed()
        assert (await folder.file("three.txt")).state == "queued"


async def test_cancelling_ends_every_upload_and_keeps_what_is_evidence(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list(FILES | {f"{n}.txt": b"%d" % n for n in range(6)})
        await folder.send()
        await folder.feed()
        await folder.work("a/one.txt")
        await folder.event("cancel")
        await folder.feed()
        assert (await folder.send()).json()["code"] == "import.over"
        # Those with bytes forget them first, which is work of its own.
        for path in ("a/two.txt", "three.txt", "0.txt"):
            await folder._result((await folder.file(path)).machine, "forgotten")
        await folder.feed()
        state = await folder.state()
        assert (state["state"], state["tally"]) == ("cancelled", {"ready": 1, "cancelled": 8})


async def test_quotas_count_what_batches_bring_before_it_is_evidence(
    settings: Settings, services: Services, redis_client: Redis, database: str
) -> None:
    small = settings.model_copy(update={"import_window": 4, "quota_case_bytes": 20, "quota_user_bytes": 30})
    await keep_feeding(redis_client, settings.shards)
    async with running(small, services) as live, live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list({f"{n}.txt": b"six %d!" % n for n in range(4)})
        assert (await folder.send("0.txt", "1.txt", "2.txt")).status_code == 200
        refused = await folder.send("3.txt")
        assert (refused.status_code, refused.json()["code"]) == (413, "upload.over_quota")
        assert "this case holds 18 bytes of at most 20 bytes" in refused.json()["detail"]
        assert (await folder.file("3.txt")).state == "waiting"
        announced = await ann.call(
            "POST", f"/api/cases/{folder.case}/uploads", {"filename": "a.txt", "bytes": 3}
        )
        path = f"/api/uploads/{announced.json()['machine']}/content"
        assert (await ann.call("PUT", path, content=b"abc")).json()["code"] == "upload.over_quota"
        await folder.feed()  # with machines of their own they are counted once, as before
        assert (await folder.send("3.txt")).json()["detail"] == refused.json()["detail"]


async def test_a_full_disk_is_told_and_what_did_not_fit_is_still_waited_for(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list(FILES)
        with monkeypatch.context() as patched:
            patched.setattr(live.parts.blobs, "open_writer", full)
            refused = await folder.send()
        assert (refused.status_code, refused.json()["code"]) == (507, "storage.full")
        assert (await folder.state())["tally"] == {"waiting": 3}
        assert (await folder.send()).status_code == 200


async def test_a_batch_on_its_way_into_a_case_that_is_removed_is_not_taken(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list(FILES)
        body = folder.batch(*FILES)

        async def slowly() -> AsyncIterator[bytes]:
            yield body[:-1]
            await live.parts.cases.hide(folder.case, hidden=True)
            await asyncio.sleep(1.1)  # what is known of a case is believed for a second
            yield body[-1:]

        refused = await ann.call("POST", f"{folder.path}/batch", content=slowly())
        assert (refused.status_code, refused.json()["code"]) == (403, "access.ended")
        assert (await folder.state())["tally"] == {"waiting": 3}


async def test_failed_files_are_tried_again_and_no_others(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list(FILES)
        await folder.send()
        await folder.feed()
        await folder.work("a/one.txt")
        await folder.work("a/two.txt", ends="failed", reason="the file is damaged")
        await folder.work("three.txt", ends="locked")
        await folder.feed()
        state = await folder.state()
        assert (state["state"], state["outcome"]) == (
            "done_with_failures", "1 file is ready, 1 asks for a password, 1 failed",
        )  # fmt: skip
        revisions = {path: (await folder.file(path)).revision for path in FILES}
        assert (await folder.event("retry_failed"))["type"] == "ok"
        async with asyncio.timeout(PATIENCE_S):  # an inline effect marks them
            while (await folder.file("a/two.txt")).state == "failed":  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.02)
        await folder.feed()
        await folder.feed()
        assert (await folder.file("a/two.txt")).state == "working"
        assert {p: (await folder.file(p)).revision for p in ("a/one.txt", "three.txt")} == {
            p: revisions[p] for p in ("a/one.txt", "three.txt")
        }
        assert (await folder.state())["state"] == "processing"


async def test_a_list_of_failures_can_be_taken_home(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list({"=1+1.txt": b"", 'b"quoted", too.txt': b""})
        answer = await ann.call("GET", f"{folder.path}/failures.csv")
        assert answer.headers["content-type"].startswith("text/csv")
        rows = list(csv.reader(io.StringIO(answer.text)))
        assert rows[1:] == [
            ["'=1+1.txt", "0", "the file is empty", "yes"],
            ['b"quoted", too.txt', "0", "the file is empty", "yes"],
        ]


async def test_files_are_shown_by_state_and_page(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list({f"{n}.txt": b"" if n % 3 == 0 else b"x" for n in range(30)})
        seen: list[str] = []
        path = f"{folder.path}/files?state=failed&limit=4"
        while path:
            answer = await ann.call("GET", path)
            seen += [row["path"] for row in answer.json()]
            path = answer.links.get("next", {}).get("url", "")
        assert sorted(seen) == sorted(f"{n}.txt" for n in range(0, 30, 3))


async def test_a_large_file_has_a_request_of_its_own_and_the_same_machine_each_time(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list({"large.bin": b"x" * 100_000})
        path = f"{folder.path}/files/{folder.numbers['large.bin']}/upload"
        told = await asyncio.gather(*(ann.call("POST", path) for _ in range(3)))
        [machine] = {answer.json()["machine"] for answer in told}
        await folder.carried()
        assert (await folder.state())["tally"] == {"sending": 1}
        sent = await ann.call("PUT", f"/api/uploads/{machine}/content", content=b"x" * 100_000)
        assert sent.status_code == 200
        await folder.carried()
        assert (await folder.state())["tally"] == {"queued": 1}


async def test_a_large_file_that_cannot_be_read_to_its_end_fails_with_the_reason(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list({"large.bin": b"x" * 100_000})
        number = folder.numbers["large.bin"]
        await ann.call("POST", f"{folder.path}/files/{number}/upload")
        await folder.carried()
        body = {"files": [{"file": number, "reason": "the file changed while it was being read"}]}
        assert (await ann.call("POST", f"{folder.path}/failed", body)).status_code == 204
        await folder.carried()
        file = await folder.file("large.bin")
        assert (file.state, file.reason) == ("failed", "the file changed while it was being read")


async def test_a_feeder_that_died_between_two_steps_is_followed_by_one_that_repeats_none(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list(FILES)
        await folder.send()

        async def dies(*_: object) -> None:
            raise RuntimeError("killed")

        with monkeypatch.context() as patch:
            patch.setattr("storage.import_files.ImportFiles.begun", dies)
            with pytest.raises(RuntimeError):
                await folder.feed()
        await folder.work("a/one.txt")
        await folder.feed()
        row = await live.parts.imports.get(folder.machine)
        machines = {(await folder.file(path)).machine for path in FILES}
        assert len(machines) == 3
        # The one that is ready may rest already.
        assert machines >= set(await live.parts.store.live_in(row.topic))
        assert (await folder.state())["tally"] == {"ready": 1, "queued": 2}


async def test_work_that_was_lost_with_redis_is_begun_anew(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list(FILES)
        await folder.send()
        await folder.feed()
        await folder.work("a/one.txt")
        await folder.carried()
        row = await live.parts.imports.get(folder.machine)
        lost = {path: (await folder.file(path)).machine for path in FILES}
        for machine in lost.values():
            shard = shard_of_machine(machine)
            await live.parts.redis.delete(shard_keys(shard).machine + machine)
        parts = live.parts
        assert (
            await sweep(
                row, engine=parts.engine, database=parts.database, files=parts.import_files, after_s=0
            )
            == 2
        )
        await folder.feed()
        now = {path: (await folder.file(path)).machine for path in FILES}
        # What rested is in PostgreSQL; what was being worked on has another machine.
        assert [now[path] == lost[path] for path in FILES] == [True, False, False]
        for path in ("a/two.txt", "three.txt"):
            await folder.work(path)
        await folder.feed()
        assert (await folder.state())["tally"] == {"ready": 3}


async def test_a_file_at_rest_is_shown_and_woken_by_an_event(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        folder = await Folder.begun(ann)
        await folder.list(FILES)
        await folder.send()
        await folder.feed()
        last = await folder.work("three.txt", ends="failed", reason="damaged")
        assert await folder.rest() == 1
        row = await live.parts.imports.get(folder.machine)
        await wire.ask("subscribe", topic=row.topic)
        shown = (await ann.call("GET", f"/api/machines/{last.id}")).json()
        assert (shown["configuration"], "retry" in shown["allowed"]) == (["failed"], True)
        told = await wire.ask("send", machine=last.id, event="retry", data={})
        assert (told["type"], told["revision"]) == ("ok", last.revision + 1)
        if not any(message.get("from") == ["failed"] for message in wire.seen):
            await wire.until(lambda message: message.get("from") == ["failed"])
        woken, moved = [m for m in wire.seen if m["type"] == "entry"]
        assert (woken["event"], woken["context"]["reason"], moved["from"]) == ("woken", "damaged", ["failed"])
        await folder.carried()
        assert (await folder.file("three.txt")).state == "working"


async def test_a_file_at_rest_is_never_taken_for_an_abandoned_one(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list(FILES)
        await folder.send()
        await folder.feed()
        last = await folder.work("three.txt")
        await folder.rest()
        assert await live.parts.store.load(last.id) is None
        assert await live.parts.engine.load(last.id) == last


async def test_events_from_all_sides_wake_a_machine_once_and_lose_nothing(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        await folder.list(FILES)
        await folder.send()
        await folder.feed()
        machine = (await folder.work("three.txt")).id
        revision = (await live.parts.engine.load(machine)).revision  # type: ignore[union-attr]
        chance = random.Random(5)
        engine = live.parts.engine
        person: dict[str, Any] = {"source": "client", "role": "owner", "actor": ann.id}

        async def back_and_forth() -> None:
            for _ in range(6):
                for event in ("remove", "restore"):
                    try:
                        await engine.send(machine, event, {}, **person)
                    except NotAllowed:
                        continue
                    finally:
                        await asyncio.sleep(chance.random() / 50)

        async def rests() -> None:
            for _ in range(12):
                await folder.rest()
                await asyncio.sleep(0.01)

        await asyncio.gather(back_and_forth(), back_and_forth(), rests())
        await folder.carried()
        last = await engine.load(machine)
        assert last is not None
        async with live.parts.database.connect() as connection:
            kept = await archived_revisions(connection, [machine])
        assert kept[machine] == last.revision > revision


async def test_another_persons_import_is_not_there(live: Live) -> None:
    async with live.person() as ann, live.person("bob") as bob:
        folder = await Folder.begun(ann)
        for method, path in (("GET", ""), ("POST", "/manifest/end"), ("POST", "/batch"), ("GET", "/files")):
            answer = await bob.call(method, folder.path + path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        unknown = await ann.call("GET", "/api/imports/import-0-none")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


async def test_an_import_asked_for_twice_under_one_key_is_one(live: Live) -> None:
    async with live.person() as ann:
        case = (await ann.case())["id"]
        made = [
            await ann.call(
                "POST",
                f"/api/cases/{case}/imports",
                {"title": "Boxes"},
                headers={"Idempotency-Key": "k1"},
            )
            for _ in range(2)
        ]
        assert made[0].json() == made[1].json()
        assert len((await ann.call("GET", f"/api/cases/{case}/imports")).json()) == 1


async def test_five_thousand_files_are_listed_in_one_request(live: Live) -> None:
    async with live.person() as ann:
        folder = await Folder.begun(ann)
        files = [{"path": f"a long name of a folder/{n}.txt", "bytes": n + 1} for n in range(5000)]
        answer = await ann.call("POST", f"{folder.path}/manifest", {"files": files})
        assert len(answer.json()) == 5000
        assert (await folder.state())["tally"] == {"waiting": 5000}
