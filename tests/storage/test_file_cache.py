"""A cache of files: made once, bounded in bytes, and nothing leaves that somebody uses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from storage.file_cache import ABANDONED_S, HELD, FileCache

KIB = 1 << 10


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[FileCache]:
    cache = FileCache(tmp_path, 100 * KIB)
    yield cache
    cache.close()


def fill(cache: FileCache, name: str, size: int = 10 * KIB) -> Path:
    return cache.make(name, lambda file: write(file, bytes(size)))


def write(file: BinaryIO, content: bytes) -> None:
    file.write(content)


def age(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_a_file_is_made_once_and_found_again(cache: FileCache) -> None:
    assert cache.get("one") is None
    path = cache.make("one", lambda file: write(file, b"made"))
    assert cache.make("one", lambda file: write(file, b"made anew")) == path == cache.get("one")
    assert path.read_bytes() == b"made"


def test_many_threads_that_want_one_file_make_it_once(cache: FileCache) -> None:
    made: list[int] = []

    def slowly(file: BinaryIO) -> None:
        made.append(1)
        file.write(bytes(KIB))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: cache.make("one", slowly), range(32)))
    assert made == [1]


def test_what_cannot_be_made_leaves_nothing(cache: FileCache, tmp_path: Path) -> None:
    def fails(file: BinaryIO) -> None:
        file.write(b"half")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        cache.make("one", fails)
    assert cache.get("one") is None
    assert list((tmp_path / "making").iterdir()) == []


def test_the_least_recently_used_leave_first_and_the_bound_holds(cache: FileCache) -> None:
    for i in range(9):
        age(fill(cache, f"file-{i}"), 1000 - i)
    cache.close()
    cache.get("file-0")
    cache.close()
    fill(cache, "more", 30 * KIB)
    assert cache.bytes() <= 100 * KIB
    assert cache.get("file-0") is not None
    assert cache.get("more") is not None
    assert [i for i in range(9) if cache.get(f"file-{i}") is None] == [1, 2, 3]


def test_what_a_process_holds_does_not_leave_and_what_it_asked_for_long_ago_does(cache: FileCache) -> None:
    for i in range(HELD + 3):
        age(fill(cache, f"file-{i}", 90 * KIB), 1000 - i)
    other = FileCache(cache.get("file-14").parents[1], 0)  # type: ignore[union-attr]
    other.trim()
    kept = [i for i in range(HELD + 3) if other.get(f"file-{i}") is not None]
    assert kept == list(range(3, HELD + 3))
    cache.close()
    other.close()
    other.trim()
    assert other.bytes() == 0


def test_a_file_that_another_process_has_open_stays(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 0)
    holder = subprocess.Popen(
        [
            sys.executable, "-c",
            "import sys; from pathlib import Path; from storage.file_cache import FileCache; "
            "c = FileCache(Path(sys.argv[1]), 0); c.make('one', lambda f: f.write(b'x')); "
            "print('held', flush=True); sys.stdin.read()",
            str(tmp_path),
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        cache.trim()
        assert cache.bytes() == 1
        holder.kill()
    cache.trim()
    assert cache.bytes() == 0
    cache.close()


def test_what_a_crash_left_in_the_making_is_cleared_away_later(cache: FileCache, tmp_path: Path) -> None:
    old, new = tmp_path / "making" / "old", tmp_path / "making" / "new"
    for path in (old, new):
        path.write_bytes(b"half")
    age(old, ABANDONED_S + 1)
    cache.trim()
    assert (old.exists(), new.exists()) == (False, True)


def test_what_is_dropped_is_gone(cache: FileCache) -> None:
    path = fill(cache, "one")
    assert cache.drop("one")
    assert not cache.drop("one")
    assert not path.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../one", "a/b", "a\n", "-a", "x" * 201])
def test_a_name_that_could_lead_elsewhere_is_refused(cache: FileCache, name: str) -> None:
    for use in (cache.get, cache.drop, lambda one: fill(cache, one)):
        with pytest.raises(ValueError, match="not a name"):
            use(name)


def test_others_of_this_machine_cannot_read(cache: FileCache) -> None:
    path = fill(cache, "one")
    assert path.stat().st_mode & 0o077 == path.parent.stat().st_mode & 0o077 == 0
