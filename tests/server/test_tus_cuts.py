"""Resumable uploads whose connections, rights, machines and servers end in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import pytest

from server import appending
from server.services import Services
from server.settings import Settings
from storage.parts_disk import DiskParts
from tests.patience import PATIENCE_S
from tests.server.live import Live, Person, running
from tests.server.test_uploads import announce, eventually, machine_in
from tests.server.tusing import ask, begun, create, head, metadata, offset_of, patch

MIB = 1 << 20
CONTENT = bytes(range(251)) * 20_000


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes over waits as long as it takes a starved process to let go."""
    monkeypatch.setattr(appending, "TAKEOVER_S", int(PATIENCE_S))


@asynccontextmanager
async def sending(person: Person, url: str, offset: int, content: bytes, length: int) -> AsyncIterator[Any]:
    """A PATCH that declares `length` bytes, sends `content`, and says nothing more: a half-open connection.

    Yields a function that reads what the server answers.
    """
    address = urlsplit(person.live.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    cookies = "; ".join(f"{name}={value}" for name, value in person.http.cookies.items())
    head_lines = [
        f"PATCH {url} HTTP/1.1", f"Host: {address.netloc}", f"Cookie: {cookies}",
        f"X-CSRF-Token: {person.csrf}", "Tus-Resumable: 1.0.0", f"Upload-Offset: {offset}",
        "Content-Type: application/offset+octet-stream", f"Content-Length: {length}", "", "",
    ]  # fmt: skip
    writer.write("\r\n".join(head_lines).encode() + content)
    await writer.drain()
    try:
        yield reader
    finally:
        writer.close()


def parts_of(live: Live) -> DiskParts:
    return DiskParts(live.parts.settings.data_dir / "parts")


async def arrived(live: Live, machine: str, size: int) -> None:
    async def there() -> bool:
        return parts_of(live).received(machine) >= size

    await eventually(there)


async def test_a_cut_connection_pauses_the_machine_and_keeps_every_byte(live: Live) -> None:
    async with live.person() as ann:
        url, machine = await begun(ann, await ann.case(), upload_length=str(len(CONTENT)))
        cut = 3 * MIB + 17
        async with sending(ann, url, 0, CONTENT[:cut], len(CONTENT)):
            await arrived(live, machine, 3 * MIB)
        snapshot = await machine_in(live, machine, "paused")
        assert snapshot.context["reason"] == "the connection ended before the last byte"
        assert snapshot.context["received"] == cut
        assert await offset_of(ann, url) == cut
        last = await patch(ann, url, cut, CONTENT[cut:])
        assert (last.status_code, last.headers["upload-offset"]) == (204, str(len(CONTENT)))
        # All came through this process, whose hash goes on: no worker has to read it again.
        snapshot = await machine_in(live, machine, "verifying")
        assert snapshot.context["sha256"] == sha256(CONTENT).hexdigest()
        assert snapshot.context["reason"] == ""


async def test_a_cut_body_with_a_checksum_leaves_nothing(live: Live) -> None:
    async with live.person() as ann:
        url, machine = await begun(ann, await ann.case(), upload_length="20")
        assert (await patch(ann, url, 0, b"12345")).status_code == 204

        async def cut() -> AsyncIterator[bytes]:
            yield b"678"
            await arrived_at_server.wait()
            raise ConnectionResetError

        arrived_at_server = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, arrived_at_server.set)
        try:
            checksum = {"upload_checksum": "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0="}
            await patch(ann, url, 5, cut(), **checksum)
        except ConnectionResetError:
            pass
        await machine_in(live, machine, "paused")
        assert await offset_of(ann, url) == 5


async def test_a_connection_that_was_lost_on_the_clients_side_alone_gives_way(live: Live) -> None:
    async with live.person() as ann:
        url, machine = await begun(ann, await ann.case(), upload_length=str(len(CONTENT)))
        async with sending(ann, url, 0, CONTENT[: 2 * MIB], len(CONTENT)) as stale:
            await arrived(live, machine, 2 * MIB)
            assert await offset_of(ann, url) == 2 * MIB
            assert b" 423 " in await stale.readline()
        # It has not paused: somebody else goes on.
        assert "receiving" in (await machine_in(live, machine, "receiving")).configuration
        assert (await patch(ann, url, 2 * MIB, CONTENT[2 * MIB :])).status_code == 204
        await machine_in(live, machine, "verifying")


async def test_of_two_who_send_at_once_the_later_one_goes_on_and_no_byte_is_mixed(live: Live) -> None:
    async with live.person() as ann:
        url, machine = await begun(ann, await ann.case(), upload_length=str(len(CONTENT)))
        async with sending(ann, url, 0, CONTENT[:MIB], len(CONTENT)):
            await arrived(live, machine, MIB)
            late = await patch(ann, url, 0, CONTENT)
            assert (late.status_code, late.json()["code"]) == (409, "upload.offset")
            assert (await patch(ann, url, MIB, CONTENT[MIB:])).status_code == 204
        snapshot = await machine_in(live, machine, "verifying")
        assert snapshot.context["sha256"] == sha256(CONTENT).hexdigest()


@pytest.mark.slow
async def test_an_upload_goes_on_at_another_server_on_the_same_data(
    live: Live, settings: Settings, services: Services
) -> None:
    async with running(settings, services) as other, live.person() as ann:
        url, machine = await begun(ann, await ann.case(), upload_length=str(len(CONTENT)))
        async with sending(ann, url, 0, CONTENT[: 2 * MIB], len(CONTENT)):
            await arrived(live, machine, 2 * MIB)
            async with other.person(login=False) as again:
                await again.login()
                # The first server's process lets go for the second one's.
                assert await offset_of(again, url) == 2 * MIB
                assert (await patch(again, url, 2 * MIB, CONTENT[2 * MIB :])).status_code == 204
                assert await offset_of(again, url) == len(CONTENT)
        # No process has seen all of it, so a worker reads it.
        snapshot = await machine_in(live, machine, "assembling")
        assert snapshot.context["parts"] == url.rpartition("/")[2]


async def test_a_sender_whose_membership_ends_is_stopped_and_another_one_goes_on(live: Live) -> None:
    async with live.person("ann") as ann, live.person("bob") as bob:
        case = await ann.case()
        await ann.invite(case, bob, "editor")
        url, machine = await begun(bob, case, upload_length=str(len(CONTENT)))
        async with sending(bob, url, 0, CONTENT[:MIB], len(CONTENT)) as answer:
            await arrived(live, machine, MIB)
            assert (await ann.call("DELETE", f"/api/cases/{case['id']}/members/{bob.id}")).status_code == 204
            assert b" 403 " in await answer.readline()
        snapshot = await machine_in(live, machine, "paused")
        assert "right" in snapshot.context["reason"]
        assert (await head(bob, url)).status_code == 404
        assert (await patch(ann, url, await offset_of(ann, url), CONTENT[MIB:])).status_code == 204
        await machine_in(live, machine, "verifying")


async def test_a_case_that_is_removed_takes_no_more_bytes_of_a_sender(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        url, machine = await begun(ann, case, upload_length=str(len(CONTENT)))
        async with sending(ann, url, 0, CONTENT[:MIB], len(CONTENT)) as answer:
            await arrived(live, machine, MIB)
            await live.parts.cases.hide(case["id"], hidden=True)
            assert b" 403 " in await answer.readline()
        assert (await patch(ann, url, MIB, CONTENT[MIB:])).json()["code"] == "case.leaving"


async def test_an_upload_that_is_cancelled_while_it_comes_in_stops_its_sender(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        url, machine = await begun(ann, await ann.case(), upload_length=str(len(CONTENT)))
        async with sending(ann, url, 0, CONTENT[:MIB], len(CONTENT)) as answer:
            await arrived(live, machine, MIB)
            await wire.ask("send", machine=machine, event="cancel", data={})
            assert b" 410 " in await answer.readline()

        async def nothing_left() -> bool:
            return parts_of(live).received(machine) == 0

        await eventually(nothing_left)
        assert (await head(ann, url)).status_code == 410


async def test_a_part_that_is_cut_pauses_nothing_while_another_one_comes_in(live: Live) -> None:
    async with live.person() as ann, ann.socket() as wire:
        case = await ann.case()
        await wire.ask("subscribe", topic=f"case:{case['id']}")
        machine = await announce(ann, case, size=len(CONTENT))
        half = len(CONTENT) // 2
        told = {"upload_concat": "partial", "upload_metadata": metadata(machine=machine)}
        one, _ = await begun(ann, case, upload_length=str(half), **told)
        two, _ = await begun(ann, case, upload_length=str(len(CONTENT) - half), **told)
        async with sending(ann, two, 0, CONTENT[half : half + MIB], len(CONTENT) - half):
            await arrived(live, machine, MIB)
            async with sending(ann, one, 0, CONTENT[:MIB], half):
                await arrived(live, machine, 2 * MIB)
            passing = await wire.until(
                lambda m: m["type"] == "passing" and m["data"].get("done", 0) >= 2 * MIB
            )
            assert passing["data"]["total"] == len(CONTENT)
            assert await offset_of(ann, one) == MIB
            assert "receiving" in (await machine_in(live, machine, "receiving")).configuration
        snapshot = await machine_in(live, machine, "paused")
        assert snapshot.context["received"] == 2 * MIB
        assert (await patch(ann, one, MIB, CONTENT[MIB:half])).status_code == 204
        assert (await patch(ann, two, MIB, CONTENT[half + MIB :])).status_code == 204
        final = {
            "upload_concat": f"final;{one} {two}",
            "upload_metadata": metadata(filename="a", machine=machine),
        }
        assert (await create(ann, case, **final)).status_code == 201
        snapshot = await machine_in(live, machine, "assembling")
        assert snapshot.context["received"] == len(CONTENT)


async def test_a_machine_that_paused_between_two_requests_is_woken_by_the_next(live: Live) -> None:
    async with live.person() as ann:
        url, machine = await begun(ann, await ann.case(), upload_length="10")
        assert (await patch(ann, url, 0, b"12345")).status_code == 204
        await live.parts.engine.send(machine, "interrupted", {"reason": "asleep"}, source="handler")
        assert (await patch(ann, url, 5, b"678")).status_code == 204
        snapshot = await machine_in(live, machine, "receiving")
        assert snapshot.context["received"] == 5
        await live.parts.engine.send(machine, "interrupted", {"reason": "asleep"}, source="handler")
        assert (await patch(ann, url, 8, b"90")).status_code == 204
        await machine_in(live, machine, "verifying")


async def test_a_process_that_died_before_it_told_the_machine_leaves_that_to_the_next_request(
    live: Live,
) -> None:
    async with live.person() as ann:
        url, machine = await begun(ann, await ann.case(), upload_length="5")
        transfers, transfer = live.parts.uploading.transfers, url.rpartition("/")[2]
        content = sha256(b"12345").hexdigest()
        writer = live.parts.blobs.open_writer()
        writer.write(b"12345")
        writer.commit()
        await transfers.note_stored(transfer, content)
        answer = await head(ann, url)
        assert answer.headers["upload-offset"] == "5"
        assert (await machine_in(live, machine, "verifying")).context["sha256"] == content


async def test_a_process_that_died_with_all_bytes_there_leaves_the_rest_to_the_next_request(
    live: Live,
) -> None:
    async with live.person() as ann:
        url, machine = await begun(ann, await ann.case(), upload_length="5")
        place = (await live.parts.uploading.transfers.get(url.rpartition("/")[2])).place
        writer = parts_of(live).open(place)
        writer.write(b"12345")
        writer.close()
        assert await offset_of(ann, url) == 5
        await machine_in(live, machine, "assembling")
        again = await patch(ann, url, 5, b"")
        assert (again.status_code, again.json()["code"]) == (409, "upload.complete")
        assert (await ask(ann, "DELETE", url)).status_code == 204
        await machine_in(live, machine, "cancelled")
