"""What was begun and never finished is forgotten, and nothing that somebody still needs."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta

from server.parts_sweeper import PartsSweeper
from storage.parts import Place
from storage.parts_disk import DiskParts
from tests.server.live import Live
from tests.server.test_uploads import eventually, machine_in
from tests.server.tusing import begun, create, head, patch


def sweeper_of(live: Live) -> tuple[PartsSweeper, DiskParts]:
    parts = DiskParts(live.parts.settings.data_dir / "parts")
    transfers = live.parts.uploading.transfers
    return PartsSweeper(live.parts.engine, transfers, parts, holder="test", orphan_s=3600), parts


async def expire(live: Live, url: str) -> None:
    transfers = live.parts.uploading.transfers
    transfer = await transfers.get(url.rpartition("/")[2])
    await transfers.prolong(transfer, datetime.now(UTC) - timedelta(seconds=1))


async def test_what_expired_is_gone_with_its_bytes(live: Live) -> None:
    sweeper, parts = sweeper_of(live)
    async with live.person() as ann:
        url, _ = await begun(
            ann, await ann.case(), upload_length="5", upload_concat="partial", content=b"123"
        )
        await expire(live, url)
        assert (await head(ann, url)).status_code == 410
        assert (await patch(ann, url, 3, b"45")).status_code == 410
        assert await sweeper.sweep() == 1
        assert parts.received(url.rpartition("/")[2]) == 0
        assert await sweeper.sweep() == 0


async def test_what_a_machine_still_waits_for_is_left_to_that_machines_own_timer(live: Live) -> None:
    sweeper, parts = sweeper_of(live)
    async with live.person() as ann:
        url, machine = await begun(ann, await ann.case(), upload_length="5", content=b"123")
        await expire(live, url)
        assert await sweeper.sweep() == 0
        assert parts.received(machine) == 3
        engine = live.parts.engine
        for _ in range(2):
            await engine.send(machine, "silent", {}, source="timer")
        snapshot = await machine_in(live, machine, "failed")
        assert "not resumed within a day" in snapshot.context["reason"]

        async def dropped() -> bool:
            return parts.received(machine) == 0

        await eventually(dropped)
        assert (await head(ann, url)).status_code == 410


async def test_what_failed_with_all_its_bytes_there_is_kept_for_another_try(live: Live) -> None:
    sweeper, parts = sweeper_of(live)
    async with live.person() as ann:
        case = await ann.case()
        piece, _ = await begun(ann, case, upload_length="3", upload_concat="partial", content=b"123")
        answer = await create(ann, case, upload_concat=f"final;{piece}")
        machine = answer.headers["casewire-machine"]
        (effect,) = (await machine_in(live, machine, "assembling")).awaiting
        broke = {"effect": effect, "stage": "assembling", "reason": "a fault", "temporary": False}
        await live.parts.engine.send(machine, "broke", broke, source="handler")
        for url in (piece, answer.headers["location"]):
            await expire(live, url)
        assert await sweeper.sweep() == 0
        assert parts.received(piece.rpartition("/")[2]) == 3


async def test_bytes_that_belong_to_nobody_are_forgotten_once_they_are_old(live: Live) -> None:
    sweeper, parts = sweeper_of(live)
    for group in ("orphan", "young"):
        writer = parts.open(Place(group, "one"))
        writer.write(b"123")
        writer.close()
    long_ago = time.time() - 7200
    for path in (parts.root / "orphan" / "one", parts.root / "orphan"):
        os.utime(path, (long_ago, long_ago))
    await sweeper.sweep()
    assert (parts.received("orphan"), parts.received("young")) == (0, 3)
    parts.delete_group("young")
