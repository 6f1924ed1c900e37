"""Files sent straight to the S3 store: in parts, taken up again, put together, and on to being evidence."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import httpx
import pytest
import pytest_asyncio

from handlers.assemble_s3 import after, assemble_from_s3, beside
from handlers.job import Permanent
from machines.upload_events import Assembled, AssembleUpload, DropParts, Mismatched
from server.blob_store import multiparts_of
from server.headers import content_security_policy
from server.services import Services
from server.settings import Settings
from storage.blobs_s3 import S3Blobs
from storage.file_cache import FileCache
from storage.parts_s3 import AnotherFile, Multiparts, part_bytes_for
from storage.s3_bucket import S3Bucket
from storage.s3_place import LEAST_PART_BYTES, MOST_PARTS, S3Place
from storage.transfers import Quotas
from tests.case_rows import QuietJob
from tests.contracts import RanAgainst
from tests.patience import PATIENCE_S
from tests.s3 import s3_version
from tests.server.live import Live, Person, running
from tests.server.runtime_parts import until

MIB = 1 << 20
CONTENT = os.urandom(2 * LEAST_PART_BYTES + 777)


@pytest_asyncio.fixture(loop_scope="session")
async def direct(
    settings: Settings, services: Services, database: str, redis_client: object, s3_place: S3Place,
    monkeypatch: pytest.MonkeyPatch, ran_against: RanAgainst,
) -> AsyncIterator[Live]:  # fmt: skip
    """A server whose clients reach the store; parts are as small as a store takes them."""
    ran_against("Multiparts", s3_version())
    monkeypatch.setattr("storage.parts_s3.PART_BYTES", LEAST_PART_BYTES)
    in_s3 = settings.model_copy(
        update={
            "s3_endpoint": s3_place.endpoint,
            "s3_public_endpoint": s3_place.endpoint,
            "s3_bucket": s3_place.bucket,
            "s3_access_key": s3_place.access_key,
            "s3_secret_key": s3_place.secret_key,
        }
    )
    async with running(in_s3, services) as live:
        yield live


async def announced(live: Live, ann: Person, size: int = len(CONTENT)) -> tuple[str, str]:
    case = await ann.case()
    made = await ann.call("POST", f"/api/cases/{case['id']}/uploads", {"filename": "a.txt", "bytes": size})
    assert made.json()["direct"] is True
    return case["id"], f"/api/uploads/{made.json()['machine']}/multipart"


async def wanted(ann: Person, path: str, size: int = len(CONTENT)) -> dict[str, Any]:
    answer = await ann.call("POST", path, {"bytes": size})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def put(part: dict[str, Any], content: bytes = CONTENT) -> None:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as anybody:  # with no login here, and none there
        sent = await anybody.put(part["url"], content=content[part["start"] : part["end"]])
    assert sent.status_code == 200, sent.text


async def state_of(live: Live, path: str) -> tuple[str, dict[str, Any]]:
    machine = await live.parts.engine.load(path.split("/")[3])
    assert machine is not None
    return machine.configuration[0], machine.context


async def test_a_file_sent_in_parts_is_put_together_hashed_and_verified(direct: Live) -> None:
    async with direct.person() as ann:
        _, path = await announced(direct, ann)
        page = await wanted(ann, path)
        assert [(p["number"], p["start"]) for p in page["parts"]] == [
            (1, 0), (2, LEAST_PART_BYTES), (3, 2 * LEAST_PART_BYTES),
        ]  # fmt: skip
        assert page["parts"][-1]["end"] == len(CONTENT)
        await asyncio.gather(*(put(part) for part in page["parts"]))
        assert await wanted(ann, path) == {"received": len(CONTENT), "parts": []}
        done = await ann.call("POST", f"{path}/complete")
        assert (done.status_code, done.json()) == (200, {"bytes": len(CONTENT)})
        state, context = await state_of(direct, path)
        assert (state, context["received"]) == ("assembling", len(CONTENT))
        assert (await ann.call("POST", f"{path}/complete")).json() == {"bytes": len(CONTENT)}
        stored = await assemble(direct, path)
        address = sha256(CONTENT).hexdigest()
        assert stored == Assembled(effect="e", sha256=address, bytes=len(CONTENT))
        assert await assemble(direct, path) == stored  # as a second worker would
        assert direct.parts.blobs.read(address) == CONTENT
        assert [key for key in bucket(direct).keys("") if key.startswith("uploads/")] == []


async def test_what_was_sent_before_a_break_is_not_asked_for_again(direct: Live) -> None:
    async with direct.person() as ann:
        _, path = await announced(direct, ann)
        first, second, third = (await wanted(ann, path))["parts"]
        await put(second)
        early = await ann.call("POST", f"{path}/complete")
        assert (early.status_code, early.json()["code"]) == (409, "upload.incomplete")
        assert "2 parts" in early.json()["detail"]
        await direct.parts.engine.send(path.split("/")[3], "silent", {}, source="timer")
        assert (await state_of(direct, path))[0] == "paused"
        page = await wanted(ann, path)
        assert (page["received"], [p["number"] for p in page["parts"]]) == (LEAST_PART_BYTES, [1, 3])
        state, context = await state_of(direct, path)
        assert (state, context["received"]) == ("receiving", LEAST_PART_BYTES)
        await put(first | {"end": first["end"] - 1})  # cut short
        await put(third)
        page = await wanted(ann, path)
        assert [p["number"] for p in page["parts"]] == [1]


async def test_another_file_is_not_mixed_into_one_that_has_begun(direct: Live) -> None:
    async with direct.person() as ann:
        _, path = await announced(direct, ann)
        await wanted(ann, path)
        refused = await ann.call("POST", path, {"bytes": len(CONTENT) - 1})
        assert (refused.status_code, refused.json()["code"]) == (409, "upload.other_file")
        assert (await ann.call("DELETE", path)).status_code == 204
        assert len((await wanted(ann, path, len(CONTENT) - 1))["parts"]) == 3


async def test_what_was_begun_is_ended_with_its_upload(direct: Live) -> None:
    async with direct.person() as ann:
        _, path = await announced(direct, ann)
        page = await wanted(ann, path)
        await put(page["parts"][0])
        machine = path.split("/")[3]
        await direct.parts.engine.send(machine, "cancel", {}, source="client", role="editor", actor=ann.id)

        async def forgotten() -> bool:
            return await multiparts(direct).find(machine) is None

        await until(forgotten)
        with pytest.raises(AssertionError):
            await put(page["parts"][1])
        refused = await ann.call("POST", path, {"bytes": len(CONTENT)})
        assert (refused.status_code, refused.json()["code"]) == (409, "upload.not_receiving")


async def test_a_file_that_is_too_large_is_refused_before_it_is_sent(direct: Live) -> None:
    async with direct.person() as ann:
        _, path = await announced(direct, ann, 5)
        refused = await ann.call("POST", path, {"bytes": direct.parts.settings.max_upload_bytes + 1})
        assert (refused.status_code, refused.json()["code"]) == (413, "upload.too_large")


async def test_only_who_may_add_to_the_case_is_given_addresses(direct: Live) -> None:
    async with direct.person() as ann, direct.person("ben") as ben:
        case, path = await announced(direct, ann)
        assert (await ben.call("POST", path, {"bytes": 5})).status_code == 404
        await ann.call("PUT", f"/api/cases/{case}/members", {"email": ben.email, "role": "viewer"})
        await asyncio.sleep(1.1)
        for method, where, body in (
            ("POST", path, {"bytes": 5}), ("POST", f"{path}/complete", None), ("DELETE", path, None),
        ):  # fmt: skip
            assert (await ben.call(method, where, body)).status_code == 403


async def test_a_server_without_such_a_store_says_so(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        made = await ann.call("POST", f"/api/cases/{case['id']}/uploads", {"filename": "a.txt"})
        assert made.json()["direct"] is False
        path = f"/api/uploads/{made.json()['machine']}/multipart"
        assert (await ann.call("POST", path, {"bytes": 5})).status_code == 404


async def test_the_sweep_ends_what_no_upload_needs_and_nothing_else(direct: Live) -> None:
    begun = multiparts(direct)
    async with direct.person() as ann:
        _, path = await announced(direct, ann)
        await wanted(ann, path)
        await begun.begin("upload-0-gone", 5)
        uploads = direct.parts.direct
        assert uploads is not None
        assert await uploads.sweep(3600) == 0
        assert await uploads.sweep(-60) == 1
        assert await begun.find("upload-0-gone") is None
        assert await begun.find(path.split("/")[3]) is not None


async def test_two_who_begin_at_once_begin_the_same(direct: Live) -> None:
    begun = multiparts(direct)
    found = await asyncio.gather(*(begun.begin("upload-0-x", 50) for _ in range(5)))
    assert len(set(found)) == 1
    with pytest.raises(AnotherFile):
        await begun.begin("upload-0-x", 51)


async def test_what_is_not_the_announced_size_or_not_there_is_told(direct: Live) -> None:
    begun = multiparts(direct)
    there = await begun.begin("upload-0-y", 50)
    job = QuietJob()
    job.machine = "upload-0-y"
    async with direct.person() as ann:
        job.topic = f"case:{(await ann.case())['id']}"
    parts = direct.parts
    options: dict[str, Any] = {"multiparts": begun, "blobs": parts.blobs, "arrivals": parts.arrivals}
    with pytest.raises(Permanent, match="upload the file again"):
        await assemble_from_s3(AssembleUpload(there.name, 50), job, **options)
    with pytest.raises(Permanent, match="upload the file again"):
        await assemble_from_s3(AssembleUpload("s3:uploads/other", 50), job, **options)
    bucket(direct).put(there.key, b"short")
    told = await assemble_from_s3(AssembleUpload(there.name, 50), job, **options)
    assert told == Mismatched(effect=job.id, reason="5 bytes arrived, but 50 were announced")


async def test_parts_go_to_the_store_they_are_in() -> None:
    went: list[str] = []

    async def disk(effect: Any, job: Any) -> None:
        went.append("disk")

    async def s3(effect: Any, job: Any) -> None:
        went.append("s3")

    job = QuietJob()
    await beside(disk, s3)(AssembleUpload("s3:uploads/x", 1), job)
    await beside(disk, s3)(AssembleUpload("x", 1), job)
    await after(disk, s3)(DropParts("upload-0-x", ""), job)
    await after(None, s3)(DropParts("upload-0-x", ""), job)
    assert went == ["s3", "disk", "disk", "s3", "s3"]
    with pytest.raises(Permanent):
        await beside(None, s3)(AssembleUpload("x", 1), job)


@pytest.mark.parametrize("size", [1, 100 * MIB, 140 << 30, 1 << 40, 5 << 40])
def test_every_file_fits_into_as_many_parts_as_a_store_takes(size: int) -> None:
    part = part_bytes_for(size)
    assert LEAST_PART_BYTES <= part <= 5 << 30
    assert -(-size // part) <= MOST_PARTS


def test_the_page_may_reach_the_store_where_files_go_there_and_only_then(settings: Settings) -> None:
    told = settings.model_copy(update={"s3_public_endpoint": "https://files.example.org"})
    assert " https://files.example.org;" in content_security_policy(told)
    assert "files.example.org" not in content_security_policy(settings)


async def assemble(live: Live, path: str) -> object:
    """As a worker does it."""
    machine = path.split("/")[3]
    _, context = await state_of(live, path)
    job = QuietJob()
    upload = await live.parts.engine.load(machine)
    assert upload is not None
    job.machine, job.topic, job.id = machine, upload.topic, "e"
    effect = AssembleUpload(context["parts"], context["bytes"])
    blobs = live.parts.blobs
    assert isinstance(blobs, S3Blobs)
    return await assemble_from_s3(
        effect, job, multiparts=multiparts(live), blobs=blobs, arrivals=live.parts.arrivals
    )


def bucket(live: Live) -> S3Bucket:
    blobs = live.parts.blobs
    assert isinstance(blobs, S3Blobs)
    assert isinstance(blobs.cache, FileCache)
    return blobs.bucket


def multiparts(live: Live) -> Multiparts:
    found = multiparts_of(live.parts.blobs, live.parts.database)
    assert found is not None
    return found


async def test_what_is_sent_to_the_store_counts_into_the_quotas(direct: Live) -> None:
    assert direct.parts.direct is not None
    transfers = direct.parts.direct._transfers
    async with direct.person() as ann:
        case, path = await announced(direct, ann)
        await wanted(ann, path)
        transfers.quotas = Quotas(case_bytes=len(CONTENT) + 4)
        await wanted(ann, path)  # it counts once
        made = await ann.call("POST", f"/api/cases/{case}/uploads", {"filename": "b.txt", "bytes": 5})
        other = f"/api/uploads/{made.json()['machine']}/multipart"
        refused = await ann.call("POST", other, {"bytes": 5})
        assert (refused.status_code, refused.json()["code"]) == (413, "upload.over_quota")
        assert (await ann.call("DELETE", path)).status_code == 204
        assert len((await wanted(ann, other, 5))["parts"]) == 1
