"""Transfers: what is on its way, within its bounds, joined once, forgotten in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.cases import CASES
from storage.database import create_engine
from storage.evidence import EvidenceStore
from storage.parts_disk import DiskParts
from storage.transfers import OverQuota, Quotas, Transfers, UnfitPieces, UnknownTransfer
from tests.case_rows import new_evidence
from tests.transfer_rows import case_and_person, new_person, sent, transfer

PAST = datetime.now(UTC) - timedelta(hours=1)
LONG_AGO = datetime.now(UTC) - timedelta(days=3)


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    await case_and_person(engine)
    yield engine
    await engine.dispose()


@pytest.fixture
def transfers(engine: AsyncEngine) -> Transfers:
    return Transfers(engine, Quotas())


@pytest.fixture
def parts(tmp_path: Path) -> DiskParts:
    return DiskParts(tmp_path)


async def test_what_is_noted_is_found_again_as_it_was(transfers: Transfers) -> None:
    new = transfer("a", 7, machine="upload-0-a", details="filename YQ==", fingerprint="f", sha256="ab")
    assert await transfers.add(new) == new == await transfers.get("a")
    assert await transfers.add(transfer("a", 9)) == new
    assert (await transfers.add(transfer("a", 9), anew=True)).length == 9
    with pytest.raises(UnknownTransfer):
        await transfers.get("b")


async def test_a_transfer_goes_with_its_case(transfers: Transfers, engine: AsyncEngine) -> None:
    await transfers.add(transfer("a"))
    async with engine.begin() as connection:
        await connection.execute(delete(CASES))
    with pytest.raises(UnknownTransfer):
        await transfers.get("a")


async def test_pieces_are_joined_once_and_in_their_order(transfers: Transfers, parts: DiskParts) -> None:
    for name, content in (("a", b"one"), ("b", b"three")):
        await sent(transfers, parts, transfer(name, len(content), kind="partial"), content)
    final = transfer("f", None, kind="final", pieces=["b", "a"], machine="upload-0-a")
    joined = await transfers.join(final)
    assert (joined.length, joined.pieces) == (8, ["b", "a"])
    assert (await transfers.get("a")).state == "taken"
    again = await transfers.join(transfer("g", None, kind="final", pieces=["b", "a"]))
    assert again == joined
    with pytest.raises(UnfitPieces):
        await transfers.join(transfer("h", None, kind="final", pieces=["a", "b"]))


async def test_of_two_who_join_the_same_pieces_at_once_both_get_one(
    transfers: Transfers, parts: DiskParts
) -> None:
    await sent(transfers, parts, transfer("a", 3, kind="partial"), b"one")
    finals = [transfer(f"f{n}", None, kind="final", pieces=["a"]) for n in range(5)]
    joined = await asyncio.gather(*(transfers.join(final) for final in finals))
    assert len({one.id for one in joined}) == 1


@pytest.mark.parametrize(
    "piece",
    [
        {"length": 4},
        {"length": None},
        {"kind": "whole"},
        {"machine": "upload-0-other"},
        {"case_id": "case2"},
        {"state": "gone"},
    ],
    ids=str,
)
async def test_what_is_no_whole_piece_is_not_joined(
    transfers: Transfers, parts: DiskParts, engine: AsyncEngine, piece: dict[str, object]
) -> None:
    from tests.case_rows import new_case

    await new_case(engine, "case2")
    await sent(transfers, parts, transfer("a", **{"length": 3, "kind": "partial"} | piece), b"one")
    with pytest.raises(UnfitPieces):
        await transfers.join(transfer("f", None, kind="final", pieces=["a"], machine="upload-0-a"))
    assert (await transfers.get("a")).whole == ""


async def test_every_request_prolongs_all_parts_of_its_upload(transfers: Transfers) -> None:
    one = await transfers.add(transfer("a", kind="partial", machine="upload-0-a", expires_at=PAST))
    await transfers.add(transfer("b", kind="partial", machine="upload-0-a", expires_at=PAST))
    await transfers.add(transfer("c", kind="partial", expires_at=PAST))
    until = datetime.now(UTC) + timedelta(days=1)
    await transfers.note(one, 3, until)
    assert [(await transfers.get(name)).expires_at == until for name in "abc"] == [True, True, False]
    assert [(await transfers.get(name)).received for name in "abc"] == [3, 0, 0]
    await transfers.note(one, 4, until - timedelta(hours=2))
    assert (await transfers.get("a")).expires_at == until


async def test_only_what_is_open_can_be_resumed(transfers: Transfers, engine: AsyncEngine) -> None:
    await new_person(engine, "u2")
    for name, more in (
        ("open", {}), ("taken", {"state": "taken"}), ("gone", {"state": "gone"}),
        ("late", {"expires_at": PAST}), ("another's", {"user_id": "u2"}),
    ):  # fmt: skip
        await transfers.add(transfer(name, fingerprint="f", **more))
    assert [one.id for one in await transfers.open_of("case1", "u1", fingerprint="f")] == ["open"]
    assert await transfers.open_of("case1", "u1", machine="upload-0-a") == []


async def test_what_nobody_keeps_is_found_and_then_forgotten(transfers: Transfers) -> None:
    for name, more in (
        ("late", {"expires_at": PAST}), ("taken", {"expires_at": PAST, "state": "taken"}),
        ("gone", {"expires_at": PAST, "state": "gone"}), ("old", {"expires_at": LONG_AGO, "state": "gone"}),
        ("open", {}),
    ):  # fmt: skip
        await transfers.add(transfer(name, **more))
    assert {one.id for one in await transfers.expired(10)} == {"late", "taken"}
    assert await transfers.known_groups(["late", "gone", "nobody's", "open"]) == {"late", "open"}
    assert await transfers.forget_gone() == 1


async def test_what_is_on_its_way_and_what_is_stored_fill_a_quota_together(engine: AsyncEngine) -> None:
    transfers = Transfers(engine, Quotas(case_bytes=20))
    await EvidenceStore(engine).register(new_evidence("case1", "ab", upload="upload-0-a", bytes=8))
    await transfers.add(transfer("open", 5, machine="upload-0-b"))
    with pytest.raises(OverQuota) as told:
        await transfers.add(transfer("more", 8))
    assert (told.value.whose, told.value.limit, told.value.used, told.value.more) == ("case", 20, 13, 8)
    assert await transfers.room_for(transfer("more")) == 7
    await transfers.take("open")  # on its way to become evidence
    assert await transfers.room_for(transfer("more")) == 7
    await EvidenceStore(engine).register(new_evidence("case1", "cd", upload="upload-0-b", bytes=5))
    assert await transfers.room_for(transfer("more")) == 7
    await transfers.add(transfer("growing", None))
    await transfers.note(await transfers.get("growing"), 3, PAST)
    assert await transfers.room_for(transfer("more")) == 4
    await transfers.drop("growing")
    assert await transfers.room_for(transfer("more")) == 7
    assert await Transfers(engine, Quotas()).room_for(transfer("more")) is None


async def test_a_quota_is_not_exceeded_by_asking_many_times_at_once(engine: AsyncEngine) -> None:
    transfers = Transfers(engine, Quotas(user_bytes=20))
    asked = [transfers.add(transfer(f"t{n}", 5)) for n in range(10)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, OverQuota) for answer in answers) == 6
