"""Parts: one writer each, kept byte by byte whatever happens to it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.parts import NoRoom, PartBusy, Place
from storage.parts_disk import DiskParts

ONE, TWO = Place("upload-0-a", "one"), Place("upload-0-a", "two")


@pytest.fixture
def parts(tmp_path: Path) -> DiskParts:
    return DiskParts(tmp_path / "parts")


def test_what_was_never_written_is_empty(parts: DiskParts) -> None:
    assert (parts.size(ONE), parts.received("upload-0-a"), parts.being_written("upload-0-a")) == (0, 0, False)
    assert list(parts.groups(idle_s=-60)) == []


def test_a_writer_goes_on_where_the_last_one_ended(parts: DiskParts) -> None:
    for block in (b"one ", b"two"):
        writer = parts.open(ONE)
        writer.write(block)
        writer.sync()
        writer.close()
    assert parts.open(ONE).offset == parts.size(ONE) == 7
    assert parts.path(ONE).read_bytes() == b"one two"


def test_a_part_has_one_writer_at_a_time(parts: DiskParts) -> None:
    writer = parts.open(ONE)
    with pytest.raises(PartBusy):
        parts.open(ONE)
    with pytest.raises(PartBusy):
        DiskParts(parts.root).open(ONE)
    assert parts.being_written("upload-0-a")
    assert not parts.being_written("upload-0-a", but="one")
    parts.open(TWO).close()
    writer.close()
    writer.close()
    assert not parts.being_written("upload-0-a")
    parts.open(ONE).close()


def test_the_writer_of_a_process_that_was_killed_is_gone_at_once_and_its_bytes_are_there(
    parts: DiskParts,
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from storage.parts import Place;"
        "from storage.parts_disk import DiskParts;"
        "writer = DiskParts(Path(sys.argv[1])).open(Place('g', 'p'));"
        "writer.write(b'12345'); print(flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(parts.root)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(PartBusy):
        parts.open(Place("g", "p"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    writer = parts.open(Place("g", "p"))
    assert writer.offset == 5


def test_a_rewound_part_forgets_its_end(parts: DiskParts) -> None:
    writer = parts.open(ONE)
    writer.write(b"12345")
    writer.rewind(2)
    writer.write(b"x")
    assert writer.offset == 3
    assert parts.path(ONE).read_bytes() == b"12x"


def test_a_deleted_part_is_begun_anew_while_its_writer_writes_to_nowhere(parts: DiskParts) -> None:
    writer = parts.open(ONE)
    writer.write(b"old")
    parts.delete(ONE)
    assert parts.size(ONE) == 0
    writer.write(b"er")
    writer.sync()
    fresh = parts.open(ONE)
    assert fresh.offset == 0
    fresh.write(b"new")
    writer.close()
    assert parts.path(ONE).read_bytes() == b"new"


def test_deleting_what_is_not_there_does_nothing(parts: DiskParts) -> None:
    parts.delete(ONE)
    parts.delete_group("upload-0-a")


def test_a_group_counts_all_its_parts_and_goes_as_a_whole(parts: DiskParts) -> None:
    for place, block in ((ONE, b"12345"), (TWO, b"678"), (Place("other", "one"), b"9")):
        writer = parts.open(place)
        writer.write(block)
        writer.close()
    assert parts.received("upload-0-a") == 8
    parts.delete(TWO)
    assert parts.received("upload-0-a") == 5
    parts.delete_group("upload-0-a")
    assert list(parts.groups(idle_s=-60)) == ["other"]


def test_only_groups_that_nobody_writes_to_are_idle(parts: DiskParts) -> None:
    for group in ("old", "new"):
        writer = parts.open(Place(group, "one"))
        writer.write(b"x")
        writer.close()
    long_ago = time.time() - 1000
    for path in (parts.root / "old", parts.root / "old" / "one", parts.root / "new"):
        os.utime(path, (long_ago, long_ago))
    assert list(parts.groups(idle_s=500)) == ["old"]


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\0", "ü", "x" * 129])
def test_what_is_no_name_becomes_no_path(parts: DiskParts, name: str) -> None:
    for place in (Place(name, "a"), Place("a", name)):
        with pytest.raises(ValueError, match="not the name"):
            parts.open(place)


def test_a_full_disk_keeps_what_fitted(parts: DiskParts, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = parts.open(ONE)
    real, room = os.pwrite, [4]

    def pwrite(descriptor: int, block: memoryview, offset: int) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(descriptor, block[: room[0]], offset)
        room[0] -= written
        return written

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(NoRoom, match="make room"):
        writer.write(b"123456")
    assert writer.offset == parts.size(ONE) == 4


def test_the_reserve_is_not_given_away(tmp_path: Path) -> None:
    all_of_it = DiskParts(tmp_path, reserve_bytes=0).free_bytes()
    assert 0 < DiskParts(tmp_path, reserve_bytes=1 << 20).free_bytes() < all_of_it
    assert DiskParts(tmp_path, reserve_bytes=1 << 60).free_bytes() == 0


@settings(max_examples=50, deadline=None)
@given(steps=st.lists(st.one_of(st.binary(max_size=300), st.floats(0, 1), st.just("again")), max_size=20))
def test_a_part_holds_what_was_written_and_not_rewound(
    tmp_path_factory: pytest.TempPathFactory, steps: list[bytes | float | str]
) -> None:
    parts = DiskParts(tmp_path_factory.mktemp("parts"))
    writer, expected = parts.open(ONE), b""
    for step in steps:
        if isinstance(step, bytes):
            writer.write(step)
            expected += step
        elif isinstance(step, float):
            expected = expected[: int(step * len(expected))]
            writer.rewind(len(expected))
        else:
            writer.sync()
            writer.close()
            writer = parts.open(ONE)
        assert writer.offset == len(expected)
    assert parts.path(ONE).read_bytes() == expected
