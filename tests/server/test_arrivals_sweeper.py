"""What an upload expected and never came to is forgotten, and nothing that somebody may still come to."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import text

from server.arrivals_sweeper import ArrivalsSweeper
from storage.arrivals import Arriving
from storage.evidence import NewEvidence
from tests.patience import PATIENCE_S
from tests.server.live import Live

OLD_S = 3600.0


def sweeper_of(live: Live) -> ArrivalsSweeper:
    parts = live.parts
    return ArrivalsSweeper(parts.engine, parts.database, parts.arrivals, holder="test", older_s=OLD_S)


async def aged(live: Live, upload: str) -> None:
    async with live.parts.database.begin() as connection:
        await connection.execute(
            text("UPDATE arrivals SET at = at - interval '2 hours' WHERE upload = :u"), {"u": upload}
        )


def stored(live: Live, content: bytes) -> str:
    writer = live.parts.blobs.open_writer()
    writer.write(content)
    return writer.commit()[0]


async def expecting(live: Live, case: dict[str, Any], content: bytes, *, upload: str = "") -> tuple[str, str]:
    """An upload that has expected bytes long ago, which are stored; its machine unless one is named."""
    if not upload:
        data = {"filename": "a.txt", "bytes": len(content)}
        upload = (await live.parts.engine.spawn("upload", f"case:{case['id']}", data)).machine
    sha256 = stored(live, content)
    await live.parts.arrivals.expect(Arriving(upload, case["id"], 0, "a.txt"), sha256)
    await aged(live, upload)
    return upload, sha256


async def gone(live: Live, sha256: str) -> None:
    """Wait until a content is: the end of its upload lets go of it, too, and may be who deletes it."""
    async with asyncio.timeout(PATIENCE_S):
        while live.parts.blobs.exists(sha256):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


async def test_what_was_noted_before_a_crash_goes_with_its_bytes(live: Live) -> None:
    async with live.person() as ann:
        _, sha256 = await expecting(live, await ann.case(), b"nobody's", upload="upload-0-never")
        assert await sweeper_of(live).sweep() == 1
        assert not live.parts.blobs.exists(sha256)
        assert await sweeper_of(live).sweep() == 0


async def test_what_is_young_or_on_its_way_or_evidence_stays(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        young = stored(live, b"young")
        await live.parts.arrivals.expect(Arriving("upload-0-young", case["id"]), young)
        machine, waiting = await expecting(live, case, b"waiting")
        slow, verifying = await expecting(live, case, b"verifying")
        data = {"sha256": verifying, "bytes": 9}
        await live.parts.engine.send(slow, "received", data, source="handler")
        whole, file = await expecting(live, case, b"evidence", upload="upload-0-whole")
        still = stored(live, b"still")
        await live.parts.arrivals.arrive(Arriving(whole, case["id"], 7), still)
        await aged(live, whole)
        await live.parts.evidence.register(
            NewEvidence(case["id"], file, whole, "a.txt", "a", 8, "text/plain", ann.id)
        )
        spare, _ = await expecting(live, case, b"evidence", upload="upload-0-spare")
        assert await live.parts.arrivals.spare(spare, file)
        assert await sweeper_of(live).sweep() == 0
        assert all(live.parts.blobs.exists(sha256) for sha256 in (young, waiting, verifying, file, still))
        await live.parts.engine.send(machine, "cancel", {}, source="client", actor=ann.id, role="editor")
        await sweeper_of(live).sweep()
        await gone(live, waiting)


async def test_what_failed_before_it_came_whole_goes_and_what_can_be_tried_again_stays(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        never, early = await expecting(live, case, b"early")
        await live.parts.engine.send(never, "refused", {"reason": "too large"}, source="handler")
        odd, late = await expecting(live, case, b"late")
        data = {"sha256": late, "bytes": 4}
        made = await live.parts.engine.send(odd, "received", data, source="handler")
        assert made.snapshot is not None
        effect = made.snapshot.context["work"]["verifying"]["effect"]
        why = {"effect": effect, "reason": "of no kind", "media_type": "x/y"}
        await live.parts.engine.send(odd, "unsupported", why, source="handler")
        await sweeper_of(live).sweep()
        await gone(live, early)
        assert live.parts.blobs.exists(late)


async def test_a_file_of_a_folder_whose_turn_has_not_come_for_days_is_kept(live: Live) -> None:
    async with live.person() as ann:
        case = await ann.case()
        made = await ann.call("POST", f"/api/cases/{case['id']}/imports", {"title": "Boxes"})
        _, sha256 = await expecting(live, case, b"waits", upload="upload-0-listed")
        async with live.parts.database.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO import_files (import_id, path, path_key, bytes, modified, kind, found, "
                    "sha256, state, machine, attempt, revision, machine_at, reason, pages, busy_s, "
                    "retryable, asker) VALUES (:import, 'a', 'k', 5, 0, 'txt', false, :sha256, 'received', "
                    "'upload-0-listed', 1, 0, 0, '', 0, 0, false, '')"
                ),
                {"import": made.json()["machine"], "sha256": sha256},
            )
        assert await sweeper_of(live).sweep() == 0
        assert live.parts.blobs.exists(sha256)


async def test_an_adoption_that_was_slow_but_lives_loses_nothing(live: Live) -> None:
    """It expects its bytes anew at the very moment at which they were found to be nobody's."""
    async with live.person() as ann:
        case, arrivals = await ann.case(), live.parts.arrivals
        for number in range(10):
            content = f"slow {number}".encode()
            upload, sha256 = await expecting(live, case, content, upload=f"upload-0-slow{number}")

            async def come(upload: str = upload, sha256: str = sha256, content: bytes = content) -> None:
                await arrivals.expect(Arriving(upload, case["id"], 0, "a.txt"), sha256)
                await asyncio.to_thread(stored, live, content)

            found = await arrivals.stale(older_s=OLD_S)
            assert upload in found
            if number == 0:  # wholly between the look and the deed
                await come()
                assert await arrivals.abandon(upload, older_s=OLD_S) == 0
            else:
                await asyncio.gather(come(), arrivals.abandon(upload, older_s=OLD_S))
            assert live.parts.blobs.exists(sha256)
            assert await arrivals.stale(older_s=OLD_S) == []
