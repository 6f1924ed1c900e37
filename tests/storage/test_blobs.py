"""Blobs: an address holds the whole content or nothing, whatever happens on the way."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from storage.blobs import BlobMissing
from storage.blobs_disk import ABANDONED_S, DiskBlobs

NOTHING = sha256(b"").hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    return DiskBlobs(tmp_path / "blobs")


def store(blobs: DiskBlobs, *blocks: bytes) -> str:
    writer = blobs.open_writer()
    for block in blocks:
        writer.write(block)
    return writer.commit()[0]


def files(blobs: DiskBlobs) -> list[Path]:
    return [path for path in blobs.root.rglob("*") if path.is_file()]


def test_content_stands_under_its_sha256(blobs: DiskBlobs) -> None:
    writer = blobs.open_writer()
    writer.write(b"one ")
    writer.write(b"two")
    assert writer.commit() == (sha256(b"one two").hexdigest(), 7)
    address = sha256(b"one two").hexdigest()
    assert blobs.exists(address)
    assert blobs.read(address) == blobs.path(address).read_bytes() == b"one two"


def test_nothing_can_be_read_before_the_commit(blobs: DiskBlobs) -> None:
    writer = blobs.open_writer()
    writer.write(b"half")
    assert not blobs.exists(sha256(b"half").hexdigest())
    writer.abort()
    writer.abort()
    assert files(blobs) == []


def test_aborting_after_the_commit_leaves_the_content(blobs: DiskBlobs) -> None:
    writer = blobs.open_writer()
    writer.write(b"whole")
    address, _ = writer.commit()
    writer.abort()
    assert blobs.read(address) == b"whole"


def test_the_same_content_is_kept_once_and_never_rewritten(blobs: DiskBlobs) -> None:
    address = store(blobs, b"same")
    before = blobs.path(address).stat()
    assert store(blobs, b"sa", b"me") == address
    after = blobs.path(address).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert len(files(blobs)) == 1


def test_many_writers_of_one_content_do_not_meet(blobs: DiskBlobs) -> None:
    content = os.urandom(200_000)
    with ThreadPoolExecutor(8) as pool:
        addresses = set(pool.map(lambda _: store(blobs, content[:100_000], content[100_000:]), range(32)))
    assert addresses == {sha256(content).hexdigest()}
    assert [path.read_bytes() for path in files(blobs)] == [content]


def test_what_is_not_there_is_missing(blobs: DiskBlobs) -> None:
    assert not blobs.exists(NOTHING)
    with pytest.raises(BlobMissing):
        blobs.path(NOTHING)
    with pytest.raises(BlobMissing):
        blobs.read(NOTHING)


@pytest.mark.parametrize(
    "address", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n", "/" + "0" * 63]
)
def test_an_address_that_is_no_sha256_becomes_no_path(blobs: DiskBlobs, address: str) -> None:
    for look in (blobs.exists, blobs.path, blobs.read):
        with pytest.raises(ValueError, match="not a hex SHA-256"):
            look(address)


def test_only_what_a_crash_left_long_ago_is_cleared_away(blobs: DiskBlobs) -> None:
    address = store(blobs, b"kept")
    old, new = blobs.open_writer(), blobs.open_writer()
    for writer in (old, new):
        writer.write(b"half")
    first = min(blobs.unfinished.iterdir(), key=lambda path: path.stat().st_ino)
    os.utime(first, (0, first.stat().st_mtime - ABANDONED_S - 1))
    assert blobs.clear_abandoned() == 1
    assert len(list(blobs.unfinished.iterdir())) == 1
    assert blobs.read(address) == b"kept"
    old.abort()
    new.abort()


def test_others_of_this_machine_cannot_read(blobs: DiskBlobs) -> None:
    address = store(blobs, b"secret")
    assert blobs.path(address).stat().st_mode & 0o077 == 0
    assert blobs.path(address).parent.stat().st_mode & 0o077 == 0
