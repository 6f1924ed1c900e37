"""Archives hand out their files, and bombs, locks and damage end in a sentence."""

import bz2
import gzip
import io
import lzma
import os
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import py7zr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.parsing import archive_7z, archive_foreign, archive_stream, archive_zip, unpacking
from handlers.parsing.parsed import Parsed, PasswordNeeded, Unreadable
from tests.handlers import files
from tests.handlers.outlet import Kept, read_with

WORDS = {"a/one.txt": b"first words", "two.bin": bytes(range(256)) * 9000}


def read_zip(content: bytes, password: str = "", files: int = 1000) -> tuple[Parsed, Kept]:
    return read_with(archive_zip.read, content, "application/zip", password=password, files=files)


def read_7z(content: bytes, password: str = "") -> tuple[Parsed, Kept]:
    return read_with(archive_7z.read, content, "application/x-7z-compressed", password=password)


def seven(members: dict[str, bytes], password: str | None = None, *, hidden: bool = False) -> bytes:
    content = io.BytesIO()
    with py7zr.SevenZipFile(content, "w", password=password, header_encryption=hidden) as archive:
        for name, inner in members.items():
            archive.writestr(inner, name)
    return content.getvalue()


def tar(members: dict[str, bytes], *special: tarfile.TarInfo) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for one in special:
            archive.addfile(one)
        for name, inner in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(inner)
            archive.addfile(info, io.BytesIO(inner))
    return content.getvalue()


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    ("read", "media_type", "content"),
    [
        (archive_zip.read, "application/zip", files.archive(WORDS)),
        (archive_7z.read, "application/x-7z-compressed", seven(WORDS)),
        (archive_stream.read, "application/x-tar", tar(WORDS)),
        (archive_stream.read, "application/gzip", gzip.compress(tar(WORDS))),
        (archive_stream.read, "application/x-bzip2", bz2.compress(tar(WORDS))),
        (archive_stream.read, "application/x-xz", lzma.compress(tar(WORDS))),
    ],
)
def test_every_file_comes_out_whole_and_under_its_name(
    read: Callable[..., Parsed], media_type: str, content: bytes
) -> None:
    parsed, kept = read_with(read, content, media_type)
    assert dict(kept.attached) == WORDS
    assert parsed.meta == {"entries": 2}
    assert parsed.text.splitlines() == ["2 files", "", "a/one.txt", "two.bin"]


@pytest.mark.parametrize(
    ("filename", "media_type", "content", "name"),
    [
        ("notes.txt.gz", "application/gzip", gzip.compress(b"words", mtime=0), "notes.txt"),
        ("dir/notes.txt.BZ2", "application/x-bzip2", bz2.compress(b"words"), "notes.txt"),
        ("notes", "application/x-xz", lzma.compress(b"words"), "notes.unpacked"),
    ],
)
def test_a_packed_file_comes_out_under_its_own_name(
    filename: str, media_type: str, content: bytes, name: str
) -> None:
    _, kept = read_with(archive_stream.read, content, media_type, filename=filename)
    assert kept.attached == [(name, b"words")]


def test_names_lead_nowhere_else() -> None:
    names = ["../../etc/passwd", "/srv/a", "C:\\Windows\\b", "./c/../d\x00\u202e", "..", "\u200b"]
    assert [unpacking.harmless(name) for name in names] == [
        "etc/passwd", "srv/a", "Windows/b", "c/d\u202e", "", "",
    ]  # fmt: skip
    _, kept = read_zip(files.archive({"../up.txt": b"x", "..": b"y"}))
    assert [name for name, _ in kept.attached] == ["up.txt", "unnamed-2"]


@given(st.text(max_size=60))
def test_no_name_steps_upwards(name: str) -> None:
    parts = unpacking.harmless(name).split("/")
    assert parts == [""] or not {"", ".", ".."} & set(parts)


def test_links_devices_and_empty_files_are_counted_and_left_out() -> None:
    content = tar(
        {"a": b"x", "b": b""},
        special("l", tarfile.SYMTYPE),
        special("h", tarfile.LNKTYPE),
        special("d", tarfile.CHRTYPE),
        special("p", tarfile.FIFOTYPE),
        special("f", tarfile.DIRTYPE),
    )
    parsed, kept = read_with(archive_stream.read, content, "application/x-tar")
    assert kept.attached == [("a", b"x")]
    assert (parsed.meta["entries"], parsed.meta["left_out"]) == (6, 5)
    assert parsed.meta["notice"] == "2 left out (links); 2 left out (devices); 1 left out (empty)"


def test_a_link_in_a_zip_archive_is_left_out() -> None:
    link = zipfile.ZipInfo("secret.txt")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    parsed, kept = read_zip(content.getvalue())
    assert kept.attached == []
    assert "links" in parsed.meta["notice"]


def test_too_many_files_are_counted_not_hidden() -> None:
    parsed, kept = read_zip(files.archive({f"{i}": b"x" for i in range(9)}), files=4)
    assert len(kept.attached) == 4
    assert (parsed.meta["entries"], parsed.meta["left_out"]) == (9, 5)
    assert "more than 4 files" in parsed.meta["notice"]
    members = {f"{i}": bytes(range(200)) * 5000 for i in range(9)}
    parsed, kept = read_with(archive_7z.read, seven(members), "application/x-7z-compressed", files=4)
    assert len(kept.attached) == 4
    assert (parsed.meta["entries"], parsed.meta["left_out"]) == (9, 5)


def test_one_damaged_file_does_not_cost_the_others() -> None:
    content = bytearray(
        files.archive({"good": b"good words", "bad": os.urandom(5000), "fine": b"fine words"})
    )
    at = content.index(b"bad") + 200
    content[at : at + 50] = bytes(50)
    parsed, kept = read_zip(bytes(content))
    assert [name for name, _ in kept.attached] == ["good", "fine"]
    assert parsed.meta["notice"] == "1 left out (damaged)"


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9])
def test_an_archive_that_is_cut_off_gives_what_it_has_or_says_so(cut: float) -> None:
    members = {f"{i}.txt": os.urandom(20_000) for i in range(10)}
    packed = tar(members)
    parsed, kept = read_with(
        archive_stream.read, gzip.compress(packed)[: int(len(packed) * cut)], "application/gzip"
    )
    assert len(kept.attached) < 10
    assert "cut off" in parsed.meta["notice"]
    with pytest.raises(Unreadable, match="damaged or incomplete"):
        read_zip(files.archive(members)[: int(len(packed) * cut)])
    with pytest.raises(Unreadable, match="damaged"):
        read_7z(seven(members)[: int(len(packed) * cut)])


def test_locked_archives_ask_for_their_password(documents: Path) -> None:
    for content in (seven(WORDS, "sesame"), seven(WORDS, "sesame", hidden=True)):
        with pytest.raises(PasswordNeeded, match="give a password"):
            read_7z(content)
        with pytest.raises(PasswordNeeded, match="does not open"):
            read_7z(content, "guess")
        parsed, kept = read_7z(content, "sesame")
        assert dict(kept.attached) == WORDS
        assert parsed.meta["encrypted"] is True
    locked = (documents / "encrypted" / "testZipEncrypted.zip").read_bytes()
    with pytest.raises(PasswordNeeded, match="give a password"):
        read_zip(locked)
    with pytest.raises(PasswordNeeded, match="does not open"):
        read_zip(locked, "guess")


@pytest.mark.parametrize("strength", ["aes128", "aes256", "zipcrypt"])
def test_zip_archives_open_however_they_are_locked(tmp_path: Path, strength: str) -> None:
    libarchive = pytest.importorskip("libarchive", exc_type=Exception, reason="needs the library libarchive")
    path = str(tmp_path / "a.zip")
    with libarchive.file_writer(
        path, "zip", options=f"encryption={strength}", passphrase="sesame"
    ) as archive:
        for name, inner in WORDS.items():
            archive.add_file_from_memory(name, len(inner), inner)
    content = Path(path).read_bytes()
    with pytest.raises(PasswordNeeded, match="give a password"):
        read_zip(content)
    with pytest.raises(PasswordNeeded, match="does not open"):
        read_zip(content, "guess")
    _, kept = read_zip(content, "sesame")
    assert dict(kept.attached) == WORDS
    at = content.index(b"two.bin") + 400
    _, kept = read_zip(content[:at] + b"damaged" + content[at + 7 :], "sesame")
    assert [name for name, _ in kept.attached] == ["a/one.txt"]


def test_images_of_discs_are_unpacked_where_the_library_is(tmp_path: Path) -> None:
    libarchive = pytest.importorskip("libarchive", exc_type=Exception, reason="needs the library libarchive")
    path = str(tmp_path / "a.iso")
    with libarchive.file_writer(path, "iso9660") as archive:
        archive.add_file_from_memory("one.txt", 5, b"words")
    _, kept = read_with(archive_foreign.read, Path(path), "application/x-iso9660-image")
    assert kept.attached == [("one.txt", b"words")]
    with pytest.raises(Unreadable, match="damaged or incomplete"):
        read_with(archive_foreign.read, b"Rar!\x1a\x07\x01\x00 and nothing more", "application/vnd.rar")


def test_without_the_library_the_state_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libarchive", None)
    with pytest.raises(Unreadable, match=r"libarchive.*Install it, or unpack the files"):
        read_with(archive_foreign.read, b"Rar!\x1a\x07\x01\x00", "application/vnd.rar")


def test_old_names_in_utf_8_are_read() -> None:
    content = files.archive({"Übung.txt": b"x"})
    unmarked = content.replace(b"\x00\x08", b"\x00\x00")
    assert unmarked != content
    _, kept = read_zip(unmarked)
    assert kept.attached == [("Übung.txt", b"x")]
