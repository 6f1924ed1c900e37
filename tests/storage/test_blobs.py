"""Blobs: an address holds the whole content or nothing, and nothing else is ever read from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import blobs_s3, s3_bucket
from storage.blobs import BLOCK_BYTES, BlobDamaged, BlobMissing, Blobs, BlobsUnavailable
from storage.blobs_disk import ABANDONED_S, DiskBlobs
from storage.blobs_s3 import S3Blobs, key_of
from storage.file_cache import FileCache
from storage.s3_bucket import S3Bucket
from storage.s3_place import S3Place
from tests.contracts import RanAgainst
from tests.s3 import s3_version

NOTHING = sha256(b"").hexdigest()
ADAPTERS = ("disk", "s3")


@dataclass
class Kept:
    """A store, and what somebody with access to its machine can do to it."""

    blobs: Blobs
    change: Callable[[str, bytes], None]
    """Overwrites what stands at an address."""
    names: Callable[[], list[str]]
    """Everything that the store holds: contents, what comes in, what was set aside."""


@pytest.fixture
def disk(tmp_path: Path) -> Kept:
    blobs = DiskBlobs(tmp_path / "blobs")

    def change(address: str, content: bytes) -> None:
        blobs.address(address).write_bytes(content)

    return Kept(blobs, change, lambda: [path.name for path in blobs.root.rglob("*") if path.is_file()])


@pytest.fixture
def s3_blobs(tmp_path: Path, s3_place: S3Place) -> Iterator[S3Blobs]:
    cache = FileCache(tmp_path / "cache", 10 << 20)
    yield S3Blobs(S3Bucket(s3_place), cache)
    cache.close()


@pytest.fixture
def s3(s3_blobs: S3Blobs) -> Kept:
    bucket = s3_blobs.bucket
    return Kept(
        s3_blobs,
        lambda address, content: bucket.put(key_of(address), content),
        lambda: [key.rpartition("/")[2] for key in bucket.keys("")],
    )


@pytest.fixture(params=ADAPTERS)
def kept(request: pytest.FixtureRequest, ran_against: RanAgainst) -> Kept:
    ran_against(*{"disk": ("DiskBlobs", "a folder"), "s3": ("S3Blobs", s3_version())}[request.param])
    found: Kept = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def blobs(kept: Kept) -> Blobs:
    return kept.blobs


def store(blobs: Blobs, *blocks: bytes) -> str:
    writer = blobs.open_writer()
    for block in blocks:
        writer.write(block)
    return writer.commit()[0]


def test_content_stands_under_its_sha256(blobs: Blobs) -> None:
    writer = blobs.open_writer()
    writer.write(b"one ")
    writer.write(b"two")
    assert writer.commit() == (sha256(b"one two").hexdigest(), 7)
    address = sha256(b"one two").hexdigest()
    assert blobs.exists(address)
    assert blobs.size(address) == blobs.verify(address) == 7
    assert blobs.read(address) == blobs.path(address).read_bytes() == b"one two"


def test_an_empty_content_is_a_content(blobs: Blobs) -> None:
    assert store(blobs) == NOTHING
    assert blobs.size(NOTHING) == blobs.verify(NOTHING) == 0
    assert list(blobs.stream(NOTHING)) == []


def test_nothing_can_be_read_before_the_commit(kept: Kept) -> None:
    writer = kept.blobs.open_writer()
    writer.write(b"half")
    assert not kept.blobs.exists(sha256(b"half").hexdigest())
    writer.abort()
    writer.abort()
    assert kept.names() == []


def test_aborting_after_the_commit_leaves_the_content(blobs: Blobs) -> None:
    writer = blobs.open_writer()
    writer.write(b"whole")
    address, _ = writer.commit()
    writer.abort()
    assert blobs.read(address) == b"whole"


def test_the_same_content_is_kept_once(kept: Kept) -> None:
    address = store(kept.blobs, b"same")
    assert store(kept.blobs, b"sa", b"me") == address
    assert kept.names() == [address]


def test_many_writers_of_one_content_do_not_meet(kept: Kept) -> None:
    content = os.urandom(200_000)
    with ThreadPoolExecutor(8) as pool:
        addresses = set(
            pool.map(lambda _: store(kept.blobs, content[:100_000], content[100_000:]), range(32))
        )
    assert addresses == {sha256(content).hexdigest()}
    assert kept.names() == [*addresses]
    assert kept.blobs.read(addresses.pop()) == content


def test_a_whole_file_is_taken_and_a_second_one_like_it_is_removed(kept: Kept, tmp_path: Path) -> None:
    address = sha256(b"put together").hexdigest()
    for _ in range(2):
        path = tmp_path / "parts"
        path.write_bytes(b"put together")
        kept.blobs.take(path, address)
        assert not path.exists()
        assert kept.blobs.read(address) == b"put together"
        assert kept.names() == [address]
    with pytest.raises(FileNotFoundError):
        kept.blobs.take(tmp_path / "parts", address)


def test_what_is_not_there_is_missing(blobs: Blobs) -> None:
    assert not blobs.exists(NOTHING)
    for look in (blobs.path, blobs.read, blobs.size, blobs.verify, blobs.stream):
        with pytest.raises(BlobMissing) as missing:
            look(NOTHING)
        assert not isinstance(missing.value, BlobDamaged)


@pytest.mark.parametrize(
    "address", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n", "/" + "0" * 63]
)
def test_an_address_that_is_no_sha256_becomes_no_path(blobs: Blobs, address: str) -> None:
    for look in (blobs.exists, blobs.path, blobs.read, blobs.size, blobs.stream, blobs.verify, blobs.delete):
        with pytest.raises(ValueError, match="not a hex SHA-256"):
            look(address)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_range_is_that_part_of_the_content(adapter: str, request: pytest.FixtureRequest) -> None:
    kept: Kept = request.getfixturevalue(adapter)
    content = os.urandom(2 * BLOCK_BYTES + 777)
    address = store(kept.blobs, content)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, len(content)), st.one_of(st.none(), st.integers(0, len(content) + 5)))
    def holds(start: int, end: int | None) -> None:
        blocks = list(kept.blobs.stream(address, start, end))
        assert b"".join(blocks) == content[start:end]
        assert all(0 < len(block) <= BLOCK_BYTES for block in blocks)

    holds()


def test_a_stream_that_is_left_early_costs_nothing_more(blobs: Blobs) -> None:
    content = os.urandom(3 * BLOCK_BYTES)
    blocks = blobs.stream(store(blobs, content))
    assert next(blocks) == content[:BLOCK_BYTES]
    blocks.close()  # type: ignore[attr-defined]
    blobs.stream(sha256(content).hexdigest())  # and one that is never begun


LOOKS: dict[str, Callable[[Blobs, str], object]] = {
    "path": lambda blobs, address: blobs.path(address),
    "read": lambda blobs, address: blobs.read(address),
    "whole stream": lambda blobs, address: list(blobs.stream(address)),
    "verify": lambda blobs, address: blobs.verify(address),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_flipped_byte_is_found_and_the_content_is_never_read_again(kept: Kept, look: str) -> None:
    content = os.urandom(3000)
    address = store(kept.blobs, content)
    kept.change(address, content[:1500] + bytes([content[1500] ^ 1]) + content[1501:])
    with pytest.raises(BlobDamaged, match=address):
        LOOKS[look](kept.blobs, address)
    for again in (*LOOKS.values(), lambda blobs, one: blobs.size(one), lambda b, one: b.stream(one, 5, 9)):
        with pytest.raises(BlobDamaged, match=address):
            again(kept.blobs, address)
    assert not kept.blobs.exists(address)
    assert list(kept.blobs.addresses()) == [address]


def test_a_changed_content_is_not_passed_on_to_its_end(kept: Kept) -> None:
    content = os.urandom(2 * BLOCK_BYTES + 9)
    address = store(kept.blobs, content)
    kept.change(address, content[:-1] + bytes([content[-1] ^ 1]))
    came: list[bytes] = []
    with pytest.raises(BlobDamaged):
        came.extend(kept.blobs.stream(address))
    assert b"".join(came) == content[: 2 * BLOCK_BYTES]


def test_what_was_set_aside_is_replaced_when_the_bytes_come_again(kept: Kept) -> None:
    address = store(kept.blobs, b"as it was")
    kept.change(address, b"as it isn't")
    with pytest.raises(BlobDamaged):
        kept.blobs.verify(address)
    assert store(kept.blobs, b"as it was") == address
    assert kept.blobs.read(address) == kept.blobs.path(address).read_bytes() == b"as it was"
    assert list(kept.blobs.addresses()) == [address]


def test_a_content_that_was_cut_short_is_replaced_when_the_bytes_come_again(kept: Kept) -> None:
    address = store(kept.blobs, b"as it was")
    kept.change(address, b"as it")
    assert store(kept.blobs, b"as it was") == address
    assert kept.blobs.read(address) == b"as it was"


def test_what_is_deleted_is_gone_with_what_was_set_aside(kept: Kept) -> None:
    whole, changed = store(kept.blobs, b"whole"), store(kept.blobs, b"changed")
    kept.blobs.path(whole)
    kept.change(changed, b"Changed")
    with pytest.raises(BlobDamaged):
        kept.blobs.read(changed)
    assert kept.blobs.delete(whole)
    assert kept.blobs.delete(changed)
    assert not kept.blobs.delete(whole)
    assert kept.names() == []
    with pytest.raises(BlobMissing) as missing:
        kept.blobs.path(whole)
    assert not isinstance(missing.value, BlobDamaged)


def test_all_addresses_are_told_in_order(blobs: Blobs) -> None:
    wanted = sorted(store(blobs, bytes([i])) for i in range(20))
    assert list(blobs.addresses()) == wanted


def test_a_store_that_works_passes_its_check_and_keeps_nothing_of_it(kept: Kept) -> None:
    kept.blobs.check()
    assert kept.names() == []
    assert "secret" not in kept.blobs.where()


# Of the folder alone.


def test_a_file_at_an_address_is_never_rewritten(disk: Kept) -> None:
    address = store(disk.blobs, b"same")
    before = disk.blobs.path(address).stat()
    store(disk.blobs, b"same")
    after = disk.blobs.path(address).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_is_hashed_once_and_again_only_when_it_was_touched(
    disk: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = store(disk.blobs, b"content")
    hashed: list[str] = []
    verify = DiskBlobs.verify
    monkeypatch.setattr(DiskBlobs, "verify", lambda self, one: (hashed.append(one), verify(self, one))[1])
    disk.blobs.path(address)
    disk.blobs.path(address)
    assert hashed == [address]
    os.utime(disk.blobs.path(address), (1, 1))
    disk.blobs.path(address)
    assert hashed == [address, address]


def test_only_what_a_crash_left_long_ago_is_cleared_away(disk: Kept) -> None:
    blobs = disk.blobs
    assert isinstance(blobs, DiskBlobs)
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


def test_others_of_this_machine_cannot_read(disk: Kept) -> None:
    address = store(disk.blobs, b"secret")
    assert disk.blobs.path(address).stat().st_mode & 0o077 == 0
    assert disk.blobs.path(address).parent.stat().st_mode & 0o077 == 0


# Of S3 alone.


def test_a_large_content_comes_in_parts_and_is_copied_by_the_store(
    s3_place: S3Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs_s3, "PART_BYTES", 5 << 20)
    content = os.urandom(11 << 20)
    for place in ("at once", "in parts"):
        bucket = S3Bucket(s3_place) if place == "at once" else S3Bucket(
            s3_place, copy_bytes=6 << 20, part_bytes=5 << 20
        )  # fmt: skip
        cache = FileCache(tmp_path / place, 1 << 20)
        blobs = S3Blobs(bucket, cache)
        address = store(blobs, content[: 6 << 20], content[6 << 20 :])
        assert blobs.verify(address) == len(content)
        assert list(bucket.keys("")) == [key_of(address)]
        assert blobs.path(address).read_bytes() == content
        blobs.delete(address)
        cache.close()


def test_an_object_that_is_there_becomes_a_content(s3_blobs: S3Blobs) -> None:
    s3_blobs.bucket.put("uploads/one", b"sent straight")
    told: list[int] = []
    for _ in range(2):
        taken = s3_blobs.take_over("uploads/one", told=told.append)
        assert taken == (sha256(b"sent straight").hexdigest(), 13)
    assert s3_blobs.read(sha256(b"sent straight").hexdigest()) == b"sent straight"
    assert told == [13, 13]


def test_what_writers_left_behind_is_removed_once_it_is_old(
    s3_blobs: S3Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_blobs.bucket
    address = store(s3_blobs, b"kept")
    bucket.put("incoming/one", b"complete, and never copied")
    assert s3_blobs.clear_abandoned() == 0
    bucket.put_part("incoming/two", bucket.begin("incoming/two"), 1, b"never completed")
    monkeypatch.setattr(blobs_s3, "ABANDONED_S", -60.0)
    assert s3_blobs.clear_abandoned() >= 1  # a store may end uploads itself, and not list them
    assert list(bucket.keys("")) == [key_of(address)]


def test_a_fetched_file_that_was_changed_is_fetched_anew(
    s3_blobs: S3Blobs, s3_place: S3Place, tmp_path: Path
) -> None:
    address = store(s3_blobs, b"as it was")
    s3_blobs.path(address).write_bytes(b"as it isn't")
    other = FileCache(tmp_path / "cache", 10 << 20)
    assert S3Blobs(S3Bucket(s3_place), other).path(address).read_bytes() == b"as it was"
    other.close()


def test_what_was_deleted_elsewhere_is_not_read_from_this_machine(s3_blobs: S3Blobs) -> None:
    address = store(s3_blobs, b"gone")
    path = s3_blobs.path(address)
    s3_blobs.bucket.delete(key_of(address))
    with pytest.raises(BlobMissing):
        s3_blobs.path(address)
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"endpoint": "http://127.0.0.1:9"}, "does not answer"),
        ({"bucket": "casewire-test-there-is-none"}, "no such bucket; create it"),
    ],
)
def test_a_store_that_cannot_be_used_is_told_and_not_taken_for_an_empty_one(
    s3_place: S3Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], said: str
) -> None:
    monkeypatch.setattr(s3_bucket, "TRIES", 1)
    place = S3Place(**(vars(s3_place) | change))
    blobs = S3Blobs(S3Bucket(place), FileCache(tmp_path / "other", 1 << 20))
    with pytest.raises(BlobsUnavailable, match=said):
        blobs.check()
    for look in (
        *LOOKS.values(),
        lambda there, one: there.exists(one),
        lambda there, _: store(there, b"lost?"),
    ):
        with pytest.raises(BlobsUnavailable):
            look(blobs, NOTHING)
