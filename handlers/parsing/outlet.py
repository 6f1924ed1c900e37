"""What a reader sends before its end, put into frames; here the child counts what is inside a file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from handlers.parsing import wire
from handlers.parsing.parsed import DERIVED_BYTES, TooMuch, Unreadable

FILENAME = 500
"""Characters of a name; the rest of a longer one is cut off from its beginning."""

PROGRESS_S = 0.1


class PipeOutlet:
    """The outlet of one file.

    Args:
        answers: Where the frames go.
        scratch: Folder for temporary files.
        room: How many files and how many bytes may be attached; no files means that none is taken up.
        getting_on: Called whenever something is sent.
    """

    def __init__(
        self, answers: BinaryIO, scratch: Path, room: tuple[int, int], *, getting_on: Callable[[], None]
    ) -> None:
        self.scratch = scratch
        self._getting_on = getting_on
        self._answers = answers
        self._files, self._bytes = room
        self._files_left, self._bytes_left = room
        self._told = 0.0

    def progress(self, done: int, total: int, unit: str = "pages") -> None:
        now = time.monotonic()
        if now - self._told >= PROGRESS_S or done == total:
            self._told = now
            self._send(wire.PROGRESS, json.dumps([done, total, unit]).encode())

    def attach(self, filename: str, content: Iterable[bytes]) -> None:
        name = filename[-FILENAME:].encode("utf-8", "replace")
        if not self._files:
            self._send(wire.REFUSED, name)
            return
        if not self._files_left:
            raise TooMuch(f"more than {self._files:,} files are inside")
        self._files_left -= 1
        self._send(wire.ATTACH, name)
        try:
            for block in _cut(content):
                if len(block) > self._bytes_left:
                    self._bytes_left = 0
                    raise TooMuch(f"what is inside takes more than {self._bytes >> 20:,} MiB")
                self._bytes_left -= len(block)
                self._send(wire.BLOCK, block)
        except BaseException:
            self._send(wire.DROPPED, b"")
            raise
        self._send(wire.ATTACHED, b"")

    def derive(self, name: str, media_type: str, content: bytes) -> None:
        if len(content) > DERIVED_BYTES:
            raise Unreadable(f"a picture made from it takes more than {DERIVED_BYTES >> 20} MiB")
        label = json.dumps([name[-FILENAME:], media_type]).encode()
        self._send(wire.DERIVED, wire.LABEL.pack(len(label)) + label + content)

    def _send(self, kind: bytes, content: bytes) -> None:
        send(self._answers, kind, content)
        self._getting_on()


def send(answers: BinaryIO, kind: bytes, content: bytes) -> None:
    """Write one frame."""
    answers.write(wire.HEADER.pack(kind, len(content)))
    answers.write(content)
    answers.flush()


def _cut(content: Iterable[bytes]) -> Iterator[bytes]:
    for piece in content:
        view = memoryview(piece)
        for at in range(0, len(view), wire.BLOCK_BYTES):
            yield bytes(view[at : at + wire.BLOCK_BYTES])
