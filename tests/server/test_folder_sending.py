"""A folder is sent whole, whatever becomes of its files, of the connection and of the sender."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from server.client import Client
from server.folder_sending import FolderSender, Over
from server.folder_walk import CHANGED, GONE, check_same, walk
from storage.import_files import FileRow
from tests.patience import PATIENCE_S
from tests.server.live import PASSWORD, Live, Person


@dataclass
class Sending:
    """A sender, its import, and whoever watches both."""

    live: Live
    client: Client
    person: Person
    case: str
    machine: str
    root: Path

    def sender(self) -> FolderSender:
        return FolderSender(self.client, self.machine, os.fsencode(self.root))

    async def listed(self, sender: FolderSender | None = None) -> FolderSender:
        sender = sender or self.sender()
        await sender.tell_all(walk(os.fsencode(self.root)))
        return sender

    async def files(self) -> dict[str, FileRow]:
        rows = await self.live.parts.import_files.files(self.machine, limit=1000)
        return {row.path: row for row in rows}

    async def stands(self) -> dict[str, tuple[str, str]]:
        return {path: (row.state, row.reason) for path, row in (await self.files()).items()}

    async def event(self, event: str) -> None:
        async with self.person.socket() as wire:
            assert (await wire.ask("send", machine=self.machine, event=event, data={}))["type"] == "ok"


@asynccontextmanager
async def sending(live: Live, root: Path) -> AsyncIterator[Sending]:
    async with live.person() as ann, Client(live.url, timeout_s=PATIENCE_S) as client:
        await client.login(ann.email, PASSWORD)
        case = (await ann.case())["id"]
        made = await client.request("POST", f"/api/cases/{case}/imports", {"title": "Boxes"})
        yield Sending(live, client, ann, case, made["machine"], root)


def fill(root: Path, files: int = 5) -> None:
    for number in range(files):
        (root / f"{number}.txt").write_text(f"Text {number}.")


def content(live: Live, row: FileRow) -> bytes:
    return live.parts.blobs.read(row.sha256)


async def test_every_file_arrives_as_it_is(live: Live, tmp_path: Path) -> None:
    fill(tmp_path, 450)
    (tmp_path / "large.bin").write_bytes(os.urandom(3 << 20))
    (tmp_path / "empty.txt").touch()
    async with sending(live, tmp_path) as it:
        sender = await it.listed()
        assert await sender.send_wanted() == 451
        assert await sender.send_wanted() == 0
        rows = await it.files()
        assert rows.pop("empty.txt").reason == "the file is empty"
        assert all(content(live, row) == (tmp_path / p).read_bytes() for p, row in rows.items() if row.sha256)
        assert (
            sum(not row.sha256 for row in rows.values()) <= 1
        )  # the large one's hash comes with its machine


async def test_odd_names_are_shown_and_their_files_arrive(live: Live, tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller.txt")).write_text("odd")
    (tmp_path / "line\nfeed \u202e.txt").write_text("odd, too")
    async with sending(live, tmp_path) as it:
        sender = await it.listed()
        await sender.send_wanted()
        rows = await it.files()
        assert content(live, rows["M\\xfcller.txt"]) == b"odd"
        assert content(live, rows["line\nfeed \u202e.txt"]) == b"odd, too"


async def test_a_file_that_vanished_fails_alone(live: Live, tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "large.bin").write_bytes(b"x" * (2 << 20))
    async with sending(live, tmp_path) as it:
        sender = await it.listed()
        (tmp_path / "3.txt").unlink()
        (tmp_path / "large.bin").unlink()
        await sender.send_wanted()
        await until(it, "large.bin", "failed")
        stands = await it.stands()
        assert stands.pop("3.txt") == stands.pop("large.bin") == ("failed", GONE)
        assert {state for state, _ in stands.values()} <= {"received", "queued"}


async def until(it: Sending, path: str, *states: str) -> None:
    """Wait until a file is in one of these states; its machine tells the list within a second."""
    async with asyncio.timeout(PATIENCE_S):
        while (await it.stands())[path][0] not in states:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)


async def test_a_large_file_that_changes_while_it_is_sent_fails_and_is_not_taken_in_part(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(b"x" * (3 << 20))
    async with sending(live, tmp_path) as it:
        sender = await it.listed()

        def grown(first: os.stat_result, after: os.stat_result, read: int) -> None:
            with path.open("ab") as file:
                file.write(b"y")
            check_same(first, os.stat(path), read)

        monkeypatch.setattr("server.folder_sending.check_same", grown)
        await sender.send_wanted()
        await until(it, "large.bin", "failed")
        row = (await it.files())["large.bin"]
        assert (row.state, row.reason, row.sha256) == ("failed", CHANGED, "")


async def test_what_was_sent_is_not_sent_again_by_the_next_sender(live: Live, tmp_path: Path) -> None:
    fill(tmp_path, 30)
    async with sending(live, tmp_path) as it:
        await (await it.listed()).send_wanted()
        (tmp_path / "7.txt").write_text("Something else.")
        (tmp_path / "new.txt").write_text("New.")
        again = await it.listed()
        assert await again.send_wanted() == 1
        assert again.changed == ["7.txt"]
        assert set(await it.stands()) == {f"{n}.txt" for n in range(30)} | {"new.txt"}


async def test_a_file_that_could_not_be_read_is_sent_when_it_can(live: Live, tmp_path: Path) -> None:
    fill(tmp_path, 2)
    async with sending(live, tmp_path) as it:
        sender = await it.listed()
        (tmp_path / "1.txt").rename(tmp_path / "away")
        await sender.send_wanted()
        (tmp_path / "away").rename(tmp_path / "1.txt")
        assert (await it.stands())["1.txt"][0] == "failed"
        assert await (await it.listed()).send_wanted() == 1
        assert (await it.stands())["1.txt"][0] in ("received", "queued")


async def test_a_server_that_is_away_for_a_moment_is_waited_for(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 30)
    monkeypatch.setattr("server.folder_sending._PAUSES_S", (0.01,))
    async with sending(live, tmp_path) as it:
        request, calls = it.client.request, iter(range(1000))

        async def often_lost(*args: object, **options: object) -> object:
            number = next(calls)
            if number % 3 == 1:
                raise ConnectionError("unplugged before")
            answer = await request(*args, **options)  # type: ignore[arg-type]
            if number % 3 == 2:
                raise ConnectionError("unplugged after")
            return answer

        monkeypatch.setattr(it.client, "request", often_lost)
        sender = await it.listed()
        await sender.send_wanted()
        monkeypatch.undo()
        stands = await it.stands()
        assert len(stands) == 30
        assert {state for state, _ in stands.values()} <= {"received", "queued"}


async def test_a_server_that_stays_away_is_given_up(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    monkeypatch.setattr("server.folder_sending._PAUSES_S", (0.01,))
    monkeypatch.setattr("server.folder_sending.PATIENCE_S", 0.05)
    async with sending(live, tmp_path) as it:

        async def away(*_: object, **__: object) -> None:
            raise ConnectionError("nobody answers")

        monkeypatch.setattr(it.client, "request", away)
        with pytest.raises(ConnectionError, match="nobody answers"):
            await it.listed()


async def test_a_paused_import_keeps_the_sender_waiting_until_it_is_resumed(
    live: Live, tmp_path: Path
) -> None:
    fill(tmp_path)
    async with sending(live, tmp_path) as it:
        sender = await it.listed()
        await it.event("pause")
        task = asyncio.create_task(sender.send_wanted())
        async with asyncio.timeout(PATIENCE_S):
            while not sender.paused:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.02)
        assert {state for state, _ in (await it.stands()).values()} == {"waiting"}
        await it.event("resume")
        assert await task == 5
        assert not sender.paused


async def test_a_cancelled_import_ends_the_sender(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    async with sending(live, tmp_path) as it:
        sender = await it.listed()
        page = sender._page

        async def cancelled_behind_it(after: int) -> Any:
            """The files are cancelled soon after their import, and wanted no more."""
            found = await page(after)
            if not after:
                await it.event("cancel")
            return found

        monkeypatch.setattr(sender, "_page", cancelled_behind_it)
        with pytest.raises(Over):
            await sender.send_wanted()


async def test_a_sender_that_is_ended_within_a_file_leaves_it_to_the_next(live: Live, tmp_path: Path) -> None:
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(200 << 20)
    async with sending(live, tmp_path) as it:
        task = asyncio.create_task((await it.listed()).send_wanted())
        await until(it, "large.bin", "sending", "queued")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(it, "large.bin", "waiting", "queued")
        await (await it.listed()).send_wanted()
        await until(it, "large.bin", "queued")
