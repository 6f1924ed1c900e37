"""Which store holds the bytes of evidence, whether it answers, and that all of them are gone through."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from server.blob_store import blobs_folder, blobs_health, blobs_of
from server.blobs_commands import move_blobs, verify_blobs
from server.cli import main
from server.prepare import prepare
from server.services import Services, ServicesError
from server.settings import Settings
from server.status import format_status, gather_status
from storage.blobs import Blobs
from storage.blobs_disk import DiskBlobs
from storage.blobs_s3 import S3Blobs
from storage.census import Census
from storage.s3_place import S3Place
from tests.contracts import RanAgainst
from tests.s3 import s3_version
from tests.server.live import Live
from tests.server.test_evidence import evidence_of


@pytest.fixture
def in_s3(settings: Settings, s3_place: S3Place, ran_against: RanAgainst) -> Settings:
    ran_against("a server with S3Blobs", s3_version())
    return settings.model_copy(
        update={
            "s3_endpoint": s3_place.endpoint,
            "s3_bucket": s3_place.bucket,
            "s3_access_key": s3_place.access_key,
            "s3_secret_key": s3_place.secret_key,
        }
    )


def store(blobs: Blobs, content: bytes) -> str:
    writer = blobs.open_writer()
    writer.write(content)
    return writer.commit()[0]


async def test_the_settings_choose_the_store_and_the_status_names_it(
    settings: Settings, in_s3: Settings, services: Services, database: str
) -> None:
    assert isinstance(blobs_of(settings), DiskBlobs)
    assert isinstance(blobs_of(in_s3), S3Blobs)
    engine = create_async_engine(database)
    for given, product in ((settings, "a folder"), (in_s3, "S3")):
        status = await gather_status(given, services, Census(engine))
        (told,) = (one for one in status["services"] if one["name"] == "blobs")
        assert (told["ok"], told["version"]) == (True, product)
        assert given.s3_endpoint is None or given.s3_endpoint in told["where"]
        assert f"blobs           {product}" in format_status(status)
    await engine.dispose()


async def test_a_store_that_does_not_answer_keeps_the_server_from_starting(
    in_s3: Settings, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.s3_bucket.TRIES", 1)
    away = in_s3.model_copy(update={"s3_endpoint": "http://127.0.0.1:9"})
    health = await blobs_health(away)
    assert health.problem is not None
    assert "does not answer" in health.problem
    with pytest.raises(ServicesError, match=r"Evidence cannot be stored: .* does not answer"):
        await prepare(away, services)


async def test_going_through_all_contents_names_what_is_damaged_and_what_is_missing(
    live: Live, settings: Settings
) -> None:
    blobs = live.parts.blobs
    assert isinstance(blobs, DiskBlobs)
    for address in list(blobs.addresses()):
        blobs.delete(address)
    async with live.person() as ann:
        await evidence_of(live, ann, b"whole", "whole.txt")
        damaged = await evidence_of(live, ann, b"damaged", "ledger.txt")
        missing = await evidence_of(live, ann, b"missing", "letter.txt")
    well, lines = await verify_blobs(settings)
    assert (well, len(lines)) == (True, 1)
    assert "3 contents, 19 bytes" in lines[0]
    rows = [await live.parts.evidence.get(one) for one in (damaged, missing)]
    blobs.address(rows[0].sha256).write_bytes(b"damageD")
    blobs.delete(rows[1].sha256)
    loose = store(blobs, b"of no evidence")
    blobs.address(loose).write_bytes(b"of no evidencE")
    well, lines = await verify_blobs(settings)
    assert not well
    assert lines[:3] == [
        f"damaged {rows[0].sha256}: evidence {damaged} of case {rows[0].case_id}, ledger.txt",
        f"missing {rows[1].sha256}: evidence {missing} of case {rows[1].case_id}, letter.txt",
        f"damaged {loose}: no evidence needs it",
    ]
    assert "2 damaged, 1 missing" in lines[3]
    assert await verify_blobs(settings) == (False, [*lines[:3], lines[3].replace(" 26 ", " 5 ")])


async def test_contents_of_the_folder_are_moved_to_the_store_when_it_is_configured(
    in_s3: Settings, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    there = in_s3.model_copy(update={"data": tmp_path_factory.mktemp("data")})
    folder = DiskBlobs(blobs_folder(there))
    whole, changed = store(folder, b"whole"), store(folder, b"changed")
    folder.address(changed).write_bytes(b"CHANGED")
    health = await blobs_health(there)
    assert health.ok
    assert "casewire blobs move" in (health.advice or "")
    well, lines = await move_blobs(there)
    assert not well
    assert lines[0].startswith(f"damaged {changed}: left in ")
    assert lines[1].startswith("1 contents moved to the bucket")
    assert blobs_of(there).read(whole) == b"whole"
    assert not folder.exists(whole)
    with pytest.raises(ServicesError, match="set S3_ENDPOINT"):
        await move_blobs(settings)


def test_the_command_ends_with_the_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def verdict(_: Settings) -> tuple[bool, list[str]]:
        return False, ["damaged"]

    monkeypatch.setattr("server.blobs_commands.verify_blobs", verdict)
    with pytest.raises(SystemExit) as ended:
        main(["blobs", "verify"])
    assert ended.value.code == 1
    assert capsys.readouterr().out == "damaged\n"
