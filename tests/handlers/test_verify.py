"""Kinds are told by content, duplicates by bytes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.job import Permanent
from handlers.kinds import kind_of
from handlers.verify import verify_upload
from machines.upload_events import Recognised, Unsupported, Verified, VerifyUpload
from storage.blobs_disk import DiskBlobs
from storage.database import create_engine
from storage.evidence import EvidenceStore
from tests.case_rows import QuietJob, new_case, store
from tests.handlers import files


@pytest_asyncio.fixture(loop_scope="session")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


def kind(content: bytes, name: str = "file") -> str:
    return kind_of(content, name, whole=True).media_type


@pytest.mark.parametrize(
    ("content", "name", "media_type"),
    [
        (b"\n%PDF-1.4\n...", "letter.txt", "application/pdf"),
        (b"Just words, no more.", "a.pdf", "text/plain"),
        (b"# Title\n\n- [ ] one\n- [x] two\n", "a", "text/markdown"),
        (b"Words.", "notes.MD", "text/markdown"),
        ("Grüße".encode("utf-16"), "a", "text/plain"),
        (b"BMW sold. MZ too.", "a", "text/plain"),
        (b"a,b\n1,2\n", "a.csv", "text/plain"),
        (files.mail().as_bytes(), "a", "message/rfc822"),
        (b"From x@example.org Tue Jun  4 2019\n" + files.mail().as_bytes(), "a", "message/rfc822"),
        (b"From: Ann\nTo: Ben\n\nShort.", "a.eml", "message/rfc822"),
        (
            b"FROM: Ann Orr\nTO: Ben Poe\nDATE: June 4, 2019\nRE: Bridge\n\nIt stands.",
            "memo.txt",
            "text/plain",
        ),
    ],
)
def test_a_supported_kind_is_told_by_content(content: bytes, name: str, media_type: str) -> None:
    found = kind_of(content, name, whole=True)
    assert (found.media_type, found.reason) == (media_type, "")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\x03\x04\x14\x00", "a ZIP archive"),
        (b"PK\x03\x04\x14\x00......word/document.xml", "a Word document"),
        (b"\x89PNG\r\n\x1a\n....", "a PNG picture"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1...", "Office document or Outlook"),
        (b"{\\rtf1 words}", "RTF"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"ID3\x04\x00\x00", "MP3"),
        (bytes(range(256)), "binary data"),
        (
            2 * (b"From a@example.org Tue Jun  4 2019\n" + files.mail().as_bytes() + b"\n\n"),
            "a mailbox of several mails",
        ),
    ],
)
def test_an_unsupported_kind_is_named(content: bytes, says: str) -> None:
    reason = kind_of(content, "a.txt", whole=True).reason
    assert says in reason
    assert "supported are PDF" in reason


def test_a_character_cut_at_the_end_of_the_beginning_is_no_binary_data() -> None:
    assert kind_of("ä".encode()[:1], "a", whole=False).media_type == "text/plain"


class Place:
    """A case with a blob store, and what machines in it are cancelled."""

    def __init__(self, engine: AsyncEngine, folder: Path) -> None:
        self.evidence = EvidenceStore(engine)
        self.blobs = DiskBlobs(folder)
        self.cancelled: set[str] = set()

    async def verify(
        self, content: bytes, machine: str, *, topic: str = "case:case1", parent: int = 0
    ) -> Verified | Recognised | Unsupported:
        writer = self.blobs.open_writer()
        writer.write(content)
        sha256, size = writer.commit()
        effect = VerifyUpload(topic, "memo.txt", sha256, size, parent, "u1")

        async def abandoned(machine: str) -> bool:
            return machine in self.cancelled

        job = QuietJob(machine=machine)
        return await verify_upload(effect, job, evidence=self.evidence, blobs=self.blobs, abandoned=abandoned)


@pytest_asyncio.fixture(loop_scope="session")
async def place(engine: AsyncEngine, tmp_path: Path) -> Place:
    await new_case(engine)
    return Place(engine, tmp_path / "blobs")


async def test_new_bytes_become_evidence_and_a_second_look_finds_it(place: Place) -> None:
    first = await place.verify(b"Some words.", "upload-0-a")
    assert isinstance(first, Verified)
    assert (first.media_type, first.title) == ("text/plain", "memo.txt")
    assert await place.verify(b"Some words.", "upload-0-a") == first
    row = await place.evidence.get(first.evidence)
    assert (row.case_id, row.upload, row.uploaded_by, row.bytes) == ("case1", "upload-0-a", "u1", 11)


async def test_the_same_bytes_from_another_upload_are_recognised(place: Place) -> None:
    first = await place.verify(b"Some words.", "upload-0-a")
    second = await place.verify(b"Some words.", "upload-0-b")
    assert isinstance(second, Recognised)
    assert isinstance(first, Verified)
    assert second.evidence == first.evidence


async def test_what_a_cancelled_upload_left_passes_to_the_next(place: Place) -> None:
    first = await place.verify(b"Some words.", "upload-0-a")
    place.cancelled.add("upload-0-a")
    second = await place.verify(b"Some words.", "upload-0-b")
    assert isinstance(first, Verified)
    assert isinstance(second, Verified)
    assert second.evidence == first.evidence
    assert isinstance(await place.verify(b"Some words.", "upload-0-c"), Recognised)


async def test_an_unsupported_file_leaves_no_evidence(place: Place) -> None:
    found = await place.verify(b"\x89PNG\r\n\x1a\n...", "upload-0-a")
    assert isinstance(found, Unsupported)
    assert found.media_type == "image/png"
    assert await place.evidence.of_case("case1") == []


async def test_a_parent_must_be_in_the_same_case(place: Place, engine: AsyncEngine) -> None:
    foreign = await store(engine, await new_case(engine, "case2"), "outer", "text")
    with pytest.raises(Permanent, match="not in this case"):
        await place.verify(b"Some words.", "upload-0-a", parent=foreign)
    mine = await store(engine, "case1", "outer", "text")
    found = await place.verify(b"Some words.", "upload-0-a", parent=mine)
    assert isinstance(found, Verified)
    assert (await place.evidence.get(found.evidence)).parent_id == mine


async def test_bytes_that_are_gone_fail_for_good(place: Place) -> None:
    effect = VerifyUpload("case:case1", "a.txt", "0" * 64, 1, 0, "u1")

    async def abandoned(machine: str) -> bool:
        return False

    with pytest.raises(Permanent, match="upload the file again"):
        await verify_upload(
            effect, QuietJob(), evidence=place.evidence, blobs=place.blobs, abandoned=abandoned
        )
