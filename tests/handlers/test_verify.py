"""Kinds are told by content, duplicates by bytes."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.job import Permanent
from handlers.kinds import HEAD_BYTES, kind_of, look
from handlers.verify import verify_upload
from machines.upload_events import Recognised, Unsupported, Verified, VerifyUpload
from storage.arrivals import Arrivals
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
        (b"a,b\n1,2,3\n", "a.csv", "text/plain"),
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
        (b"\xffWPC....", "a WordPerfect document"),
        (b"SQLite format 3\x00....", "an SQLite database"),
        (b"%!PS-Adobe-3.0", "a PostScript document"),
        (b"\x28\xb5\x2f\xfd....", "a Zstandard archive"),
        (b"\x7fELF\x02\x01", "a program"),
        (files.ole("VisioDocument"), "a Visio drawing"),
        (files.ole("Something"), "an old Office document of an unknown kind"),
        (files.archive({"Index/Document.iwa": b"x"}), "a document of Pages"),
        (files.archive({"xl/workbook.bin": b"x"}), "a binary Excel workbook"),
        (bytes(range(256)), "binary data"),
    ],
)
def test_an_unsupported_kind_is_named(content: bytes, says: str) -> None:
    reason = kind_of(content, "a.txt", whole=True).reason
    assert says in reason
    assert "supported are PDF" in reason


OFFICE = "application/vnd.openxmlformats-officedocument."


@pytest.mark.parametrize(
    ("content", "name", "media_type"),
    [
        (files.archive({"a.txt": b"x"}), "a.docx", "application/zip"),
        (files.archive({"word/document.xml": b"x"}), "a.zip", f"{OFFICE}wordprocessingml.document"),
        (b"PK\x03\x04" + bytes(26) + b"word/document.xml", "a", f"{OFFICE}wordprocessingml.document"),
        (files.archive({"xl/workbook.xml": b"x"}), "a", f"{OFFICE}spreadsheetml.sheet"),
        (files.archive({"ppt/presentation.xml": b"x"}), "a", f"{OFFICE}presentationml.presentation"),
        (
            files.archive({"mimetype": b"application/vnd.oasis.opendocument.text"}),
            "a",
            "application/vnd.oasis.opendocument.text",
        ),
        (
            files.archive({"mimetype": b"application/vnd.oasis.opendocument.spreadsheet", "b": b"x"}),
            "a",
            "application/vnd.oasis.opendocument.spreadsheet",
        ),
        (files.archive({"mimetype": b"application/epub+zip", "b": b"x"}), "a", "application/epub+zip"),
        (files.ole("WordDocument"), "a", "application/msword"),
        (files.ole("Workbook"), "a", "application/vnd.ms-excel"),
        (files.ole("PowerPoint Document"), "a", "application/vnd.ms-powerpoint"),
        (files.ole("__properties_version1.0", "WordDocument"), "a", "application/vnd.ms-outlook"),
        (files.ole("EncryptedPackage"), "a.xlsx", f"{OFFICE}spreadsheetml.sheet"),
        (b"7z\xbc\xaf\x27\x1c", "a", "application/x-7z-compressed"),
        (b"\x1f\x8b\x08....", "a", "application/gzip"),
        (bytes(257) + b"ustar", "a", "application/x-tar"),
        (b"{\\rtf1 words}", "a", "application/rtf"),
        (b"<!DOCTYPE html><html>", "a", "text/html"),
        (b"<?xml version='1.0'?>\n<!-- drawn -->\n<svg xmlns='x'>", "a", "image/svg+xml"),
        (b"x\x9f\x3e\x22....", "winmail.dat", "application/vnd.ms-tnef"),
        (
            2 * (b"From a@example.org Tue Jun  4 2019\n" + files.mail().as_bytes() + b"\n\n"),
            "a.txt",
            "application/mbox",
        ),
        (b"!BDN....", "a", "application/vnd.ms-outlook-pst"),
        (b"RIFF....WAVEfmt ", "a", "audio/wav"),
        (b"RIFF....WEBP", "a", "image/webp"),
        (b"....ftypM4A ", "a", "audio/mp4"),
        (b"....ftypqt  ", "a", "video/quicktime"),
        (b"ID3\x04\x00\x00", "a", "audio/mpeg"),
        (b"\xff\xfb\x90\x00" + bytes(60), "a", "audio/mpeg"),
        (b"\xff\xf1\x50\x80" + bytes(60), "a", "audio/aac"),
    ],
)
def test_kinds_that_look_alike_are_told_apart(content: bytes, name: str, media_type: str) -> None:
    assert kind_of(content, name, whole=True).media_type == media_type


def test_an_office_document_is_known_by_parts_that_lie_far_behind(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(
        files.archive({"media/a.bin": os.urandom(3 * HEAD_BYTES), "word/document.xml": b"x"})
    )
    assert look(tmp_path / "a", "a.zip").media_type.endswith("wordprocessingml.document")
    (tmp_path / "b").write_bytes(files.ole("WordDocument", before=200))
    assert look(tmp_path / "b", "b").media_type == "application/msword"


@given(st.binary(max_size=3000), st.sampled_from([b"", b"PK\x03\x04", files.ole("x")[:600]]), st.booleans())
def test_no_content_disturbs_the_look(content: bytes, start: bytes, whole: bool) -> None:
    found = kind_of(start + content + b"PK\x05\x06" + content[:40], "a.csv", whole=whole)
    assert found.media_type.count("/") == 1


def test_a_character_cut_at_the_end_of_the_beginning_is_no_binary_data() -> None:
    assert kind_of("ä".encode()[:1], "a", whole=False).media_type == "text/plain"


class Place:
    """A case with a blob store, and what machines in it are cancelled."""

    def __init__(self, engine: AsyncEngine, folder: Path) -> None:
        self.evidence = EvidenceStore(engine)
        self.blobs = DiskBlobs(folder)
        self.arrivals = Arrivals(engine, self.blobs)
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
        return await verify_upload(
            effect,
            job,
            evidence=self.evidence,
            blobs=self.blobs,
            arrivals=self.arrivals,
            abandoned=abandoned,
        )


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
    found = await place.verify(b"SQLite format 3\x00....", "upload-0-a")
    assert isinstance(found, Unsupported)
    assert "an SQLite database" in found.reason
    assert await place.evidence.of_case("case1") == []


async def test_a_parent_must_be_in_the_same_case(place: Place, engine: AsyncEngine) -> None:
    foreign = await store(engine, await new_case(engine, "case2"), "outer", "text")
    with pytest.raises(Permanent, match="not in this case"):
        await place.verify(b"Some words.", "upload-0-a", parent=foreign)
    async with engine.connect() as connection:  # from where it could become the parent of other evidence
        assert await connection.scalar(text("SELECT count(*) FROM arrivals")) == 0
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
            effect,
            QuietJob(),
            evidence=place.evidence,
            blobs=place.blobs,
            arrivals=place.arrivals,
            abandoned=abandoned,
        )
