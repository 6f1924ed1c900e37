"""Folders are walked in one order, and whatever cannot be read is told with its reason."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.folder_walk import (
    CHANGED,
    GONE,
    LINK,
    SPECIAL,
    Found,
    Unstable,
    hash_of,
    open_file,
    read_whole,
    reason_of,
    shown,
    walk,
)


def walked(root: Path) -> list[Found]:
    return list(walk(os.fsencode(root)))


def test_files_come_in_the_same_order_however_they_were_made(tmp_path: Path) -> None:
    names = ["b.txt", "a/z.txt", "a/b/c.txt", "a.txt", "ä.txt", "Z.txt", "a b.txt"]
    orders = []
    for seed in range(3):
        root = tmp_path / str(seed)
        for name in random.Random(seed).sample(names, len(names)):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(name)
        orders.append([found.path for found in walked(root)])
    assert orders[0] == orders[1] == orders[2]
    assert sorted(orders[0]) == sorted(names)


def test_sizes_and_times_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"12345")
    os.utime(tmp_path / "a.txt", (1, 1_700_000_000.5))
    (tmp_path / "empty").touch()
    first, second = walked(tmp_path)
    assert (first.bytes, first.modified, first.failed, first.skipped) == (5, 1_700_000_000.5, "", "")
    assert second.bytes == 0


def test_links_are_not_followed_so_no_loop_is_walked(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file.txt").touch()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "outside.txt").symlink_to("/etc/hostname")
    found = walked(tmp_path)
    assert [f.path for f in found if not f.skipped] == ["a/file.txt"]
    assert {f.skipped for f in found if f.skipped} == {LINK}


def test_pipes_and_sockets_are_no_files_and_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        assert {(f.path, f.skipped) for f in walked(tmp_path)} == {("pipe", SPECIAL), ("s", SPECIAL)}
    with pytest.raises(Unstable, match="not a file"):
        read_whole(os.fsencode(tmp_path / "pipe"), 10)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    for name in ("closed", "open"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").touch()
    (tmp_path / "secret.txt").touch(mode=0)
    (tmp_path / "closed").chmod(0)
    found = {f.path: f.failed for f in walked(tmp_path)}
    (tmp_path / "closed").chmod(0o700)
    assert found["open/a.txt"] == ""
    assert "Permission denied" in found["closed"]
    assert "Permission denied" in found["secret.txt"]


def test_a_folder_that_is_not_there_is_an_error_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        walked(tmp_path / "nothing")


def test_names_that_are_not_utf8_are_shown_and_still_opened(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/M\xfcller.txt"
    Path(os.fsdecode(odd)).write_text("odd")
    [found] = walked(tmp_path)
    assert (found.path, found.real) == ("M\\xfcller.txt", odd)
    assert read_whole(found.real, 10) == b"odd"


@given(st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name))
def test_a_shown_name_is_always_text_that_json_and_databases_take(name: bytes) -> None:
    assert shown(name).encode("utf-8")


def test_paths_that_are_too_long_are_told(tmp_path: Path) -> None:
    deep = os.fsencode(tmp_path)
    here = os.open(deep, os.O_RDONLY)
    try:
        for _ in range(18):
            os.mkdir(b"d" * 250, dir_fd=here)
            inner = os.open(b"d" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
        os.close(os.open(b"f.txt", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    finally:
        os.close(here)
    [found] = walked(tmp_path)
    assert "too long" in found.failed


def test_folders_may_lie_deeper_than_calls(tmp_path: Path) -> None:
    levels = sys.getrecursionlimit() + 200
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(b"d", dir_fd=here)
        inner = os.open(b"d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open(b"f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    try:
        [found] = walked(tmp_path)
    finally:  # pytest's own removal goes deeper with every folder
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)
    assert found.path == "d/" * levels + "f"


def test_a_file_that_grows_while_it_is_read_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"one")
    real = os.fsencode(path)
    fstat = os.fstat
    looks = iter(range(10))

    def grows(descriptor: int) -> os.stat_result:
        if next(looks) == 2:  # the look after reading
            with path.open("ab") as file:
                file.write(b" and more")
        return fstat(descriptor)

    monkeypatch.setattr("server.folder_walk.os.fstat", grows)
    with pytest.raises(Unstable, match=CHANGED):
        read_whole(real, 100)


def test_a_file_larger_than_was_listed_is_not_taken_in_part(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 20)
    with pytest.raises(Unstable):
        read_whole(os.fsencode(tmp_path / "a"), 10)


def test_a_file_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("/etc/hostname")
    with pytest.raises(OSError, match="Too many levels"):
        open_file(os.fsencode(tmp_path / "a"))


def test_what_has_vanished_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        read_whole(os.fsencode(tmp_path / "gone"), 10)
    assert reason_of(caught.value) == GONE


def test_small_files_are_hashed_when_listed_and_large_ones_are_not(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with (tmp_path / "b").open("wb") as file:
        file.truncate(2 << 20)
    small, large = walked(tmp_path)
    assert (len(hash_of(small)), hash_of(large)) == (64, "")
    (tmp_path / "a").unlink()
    assert hash_of(small) == ""
