"""Receiving files: in constant memory, refused clearly, and again after a cut connection."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from typing import Any

import httpx
import psutil
from redis.asyncio import Redis

from machines.snapshot import Snapshot
from server.services import Services
from server.settings import Settings
from storage.parts_disk import DiskParts
from tests.patience import PATIENCE_S
from tests.server.live import Live, Person, running

MIB = 1 << 20


async def announce(person: Person, case: dict[str, Any], filename: str = "a.txt", size: int = 0) -> str:
    response = await person.call(
        "POST", f"/api/cases/{case['id']}/uploads", {"filename": filename, "bytes": size}
    )
    assert response.status_code == 201, response.text
    return str(response.json()["machine"])


async def put(person: Person, machine: str, content: Any) -> httpx.Response:
    return await person.call("PUT", f"/api/uploads/{machine}/content", content=content)


async def machine_in(live: Live, machine: str, state: str) -> Snapshot:
    """The machine once it is in a state."""

    async def there() -> Snapshot | None:
        snapshot = await live.parts.engine.load(machine)
        return snapshot if snapshot and state in snapshot.configuration else None

    return await eventually(there)


async def eventually(look: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while not (found := await look()):  # noqa: ASYNC110 - what is waited for happens in Redis or on disk
            await asyncio.sleep(0.02)
        return found


async def test_a_file_arrives_under_its_sha256_and_its_machine_goes_on(live: Live) -> None:
    async with live.person() as ann:
        content = b"Ada Example signed.\n" * 100_000
        machine = await announce(ann, await ann.case(), size=len(content))
        answer = await put(ann, machine, content)
        address = sha256(content).hexdigest()
        assert answer.json() == {"sha256": address, "bytes": len(content)}
        assert live.parts.blobs.read(address) == content
        snapshot = await machine_in(live, machine, "verifying")
        assert (snapshot.context["sha256"], snapshot.context["bytes"]) == (address, len(content))
        assert snapshot.context["owner"] == ann.id


async def test_a_hundred_megabytes_take_far_less_memory(live: Live) -> None:
    process = psutil.Process()
    block = bytes(range(256)) * 1024  # 256 KiB
    peak = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal peak
        for _ in range(400):
            yield block
            peak = max(peak, process.memory_info().rss)

    async with live.person() as ann:
        case = await ann.case()
        assert (await put(ann, await announce(ann, case), b"warm")).status_code == 200
        machine = await announce(ann, case, size=400 * len(block))
        gc.collect()
        before = process.memory_info().rss
        answer = await put(ann, machine, body())
        assert answer.json()["bytes"] == 400 * len(block)
        assert answer.json()["sha256"] == sha256(block * 400).hexdigest()
    assert peak - before < 40 * MIB


async def test_progress_passes_while_bytes_come_in(live: Live) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(6):
            yield b"x" * MIB
            await asyncio.sleep(0.15)

    async with live.person() as ann, ann.socket() as wire:
        case = await ann.case()
        await wire.ask("subscribe", topic=f"case:{case['id']}")
        machine = await announce(ann, case, size=6 * MIB)
        sending = asyncio.create_task(put(ann, machine, slowly()))
        told = await wire.until(lambda m: m["type"] == "passing" and m["machine"] == machine)
        assert told["what"] == "progress"
        assert 0 < told["data"]["done"] < told["data"]["total"] == 6 * MIB
        assert (await sending).status_code == 200


async def test_an_empty_file_is_refused_and_its_machine_knows_why(live: Live) -> None:
    async with live.person() as ann:
        machine = await announce(ann, await ann.case())
        answer = await put(ann, machine, b"")
        assert (answer.status_code, answer.json()["code"]) == (422, "upload.empty")
        snapshot = await machine_in(live, machine, "failed")
        assert snapshot.context["reason"] == "the file is empty"


async def test_a_file_that_is_too_large_is_refused_whether_or_not_it_says_so(
    settings: Settings, services: Services, redis_client: Redis, database: str
) -> None:
    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * (MIB // 10)

    small = settings.model_copy(update={"max_upload_bytes": 2 * MIB})
    async with running(small, services) as live, live.person() as ann:
        case = await ann.case()
        for content in (b"x" * (2 * MIB + 1), unannounced()):
            machine = await announce(ann, case)
            answer = await put(ann, machine, content)
            assert (answer.status_code, answer.json()["code"]) == (413, "upload.too_large")
            await machine_in(live, machine, "failed")
            assert not _unfinished(live, machine)
        early = await ann.call(
            "POST", f"/api/cases/{case['id']}/uploads", {"filename": "a", "bytes": 3 * MIB}
        )
        assert early.status_code == 413
        exact = await put(ann, await announce(ann, case), b"y" * (2 * MIB))
        assert exact.status_code == 200


async def test_a_cut_connection_pauses_the_upload_and_the_next_try_starts_anew(live: Live) -> None:
    async def cut() -> AsyncIterator[bytes]:
        yield b"x" * MIB
        raise ConnectionResetError("the cable is out")

    async with live.person() as ann:
        machine = await announce(ann, await ann.case(), size=4 * MIB)
        try:
            await put(ann, machine, cut())
        except ConnectionResetError:
            await ann.http.aclose()
    snapshot = await machine_in(live, machine, "paused")
    assert "before the last byte" in snapshot.context["reason"]
    assert await eventually(_nothing_unfinished(live, machine))
    async with live.person(login=False) as ann:
        await ann.login()
        assert (await put(ann, machine, b"all of it")).json()["bytes"] == 9
        snapshot = await machine_in(live, machine, "verifying")
        assert snapshot.context["reason"] == ""


async def test_two_senders_of_one_file_are_one_too_many(live: Live) -> None:
    go_on, began = asyncio.Event(), asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        yield b"first"
        began.set()
        await go_on.wait()
        yield b" and last"

    async with live.person() as ann:
        machine = await announce(ann, await ann.case())
        first = asyncio.create_task(put(ann, machine, waiting()))
        await began.wait()
        await eventually(_being_sent(live, machine))
        second = await put(ann, machine, b"second")
        assert (second.status_code, second.json()["code"]) == (409, "upload.busy")
        go_on.set()
        assert (await first).json()["bytes"] == len(b"first and last")


async def test_a_sender_whose_right_ends_meanwhile_is_refused_after_the_last_byte(live: Live) -> None:
    go_on, began = asyncio.Event(), asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        yield b"first"
        began.set()
        await go_on.wait()
        yield b" and last"

    async with live.person("ann") as ann, live.person("bob") as bob:
        case = await ann.case()
        await ann.invite(case, bob, "editor")
        machine = await announce(bob, case)
        sending = asyncio.create_task(put(bob, machine, waiting()))
        await began.wait()
        await eventually(_being_sent(live, machine))
        assert (await ann.call("DELETE", f"/api/cases/{case['id']}/members/{bob.id}")).status_code == 204
        go_on.set()
        refused = await sending
        assert (refused.status_code, refused.json()["code"]) == (403, "access.ended")
        snapshot = await machine_in(live, machine, "paused")
        assert "right" in snapshot.context["reason"]
        assert await eventually(_nothing_unfinished(live, machine))
        assert (await put(ann, machine, b"by somebody who may")).status_code == 200


async def test_an_upload_that_has_its_content_takes_no_other(live: Live) -> None:
    async with live.person() as ann:
        machine = await announce(ann, await ann.case())
        await put(ann, machine, b"one")
        again = await put(ann, machine, b"two")
        assert (again.status_code, again.json()["code"]) == (409, "upload.not_receiving")


async def test_an_upload_cancelled_while_it_is_sent_stops_the_sender(live: Live) -> None:
    go_on, began = asyncio.Event(), asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        yield b"x"
        began.set()
        await go_on.wait()
        yield b"y"

    async with live.person() as ann, ann.socket() as wire:
        machine = await announce(ann, await ann.case())
        sending = asyncio.create_task(put(ann, machine, waiting()))
        await began.wait()
        assert (await wire.ask("send", machine=machine, event="cancel", data={}))["to"] == ["cancelled"]
        go_on.set()
        assert (await sending).status_code == 409
        assert (await machine_in(live, machine, "cancelled")).context["sha256"] == ""


async def test_a_parent_must_be_evidence_of_the_same_case(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        body = {"filename": "a.txt", "parent": 12345}
        response = await ann.call("POST", f"/api/cases/{case['id']}/uploads", body)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_strangers_can_neither_send_nor_unlock(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        case = await ann.case()
        machine = await announce(ann, case)
        assert (await put(bob, machine, b"x")).status_code == 404
        await ann.invite(case, bob, "viewer")
        assert (await put(bob, machine, b"x")).status_code == 403
        unlock = await bob.call("POST", f"/api/uploads/{machine}/unlock", {"password": "open sesame"})
        assert unlock.status_code == 403


async def test_a_password_waits_under_a_name_and_enters_no_machine(live: Live) -> None:
    async with live.person() as ann:
        machine = await announce(ann, await ann.case())
        await put(ann, machine, b"%PDF-1.7")
        await _locked(live, machine)
        path = f"/api/uploads/{machine}/unlock"
        answer = await ann.call("POST", path, {"password": "open sesame"})
        assert answer.json()["to"] == ["extracting"]
        snapshot = await live.parts.engine.load(machine)
        assert snapshot is not None
        assert "open sesame" not in str(snapshot.to_json())
        assert await live.parts.secrets.get(snapshot.context["secret"]) == "open sesame"
        assert 0 < await live.parts.redis.ttl(f"secret:{snapshot.context['secret']}") <= 600


async def _locked(live: Live, machine: str) -> None:
    """Take the machine, as its handlers would, to where it asks for a password."""
    for event, data in (
        ("verified", {"evidence": 1, "media_type": "application/pdf", "title": "a"}),
        ("needs_password", {"reason": "it is encrypted"}),
    ):
        snapshot = await live.parts.engine.load(machine)
        assert snapshot is not None
        (effect,) = snapshot.awaiting
        await live.parts.engine.send(machine, event, {"effect": effect, **data}, source="handler")


def _parts(live: Live) -> DiskParts:
    return DiskParts(live.parts.settings.data_dir / "parts")


def _unfinished(live: Live, machine: str) -> bool:
    return machine in _parts(live).groups(idle_s=-60)


def _being_sent(live: Live, machine: str) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return _parts(live).being_written(machine)

    return look


def _nothing_unfinished(live: Live, machine: str) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return not _unfinished(live, machine)

    return look
