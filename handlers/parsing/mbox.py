"""A mailbox in one file (mbox): each mail becomes evidence of its own, read line by line."""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from typing import BinaryIO

from handlers.parsing import mail
from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable
from handlers.parsing.unpacking import Unpacking, harmless

_SEPARATOR = re.compile(rb"From \S.*\d{4}|From -\s|From \S+@\S+\s")
_QUOTED = re.compile(rb">+From ")
_HEADER_BYTES = 256 << 10
_LINE_BYTES = 1 << 20
_BLOCK = 1 << 18


def read(source: Source, outlet: Outlet) -> Parsed:
    """Take the mails out of a mailbox.

    Raises:
        Unreadable: It does not begin with a mail.
    """
    size = source.path.stat().st_size
    with source.path.open("rb") as file:
        lines = _Lines(file)
        if not lines.at_separator:
            raise Unreadable("the mailbox does not begin with a mail")
        unpacking = Unpacking(outlet, "mails")
        number = 0
        while lines.at_separator and not unpacking.full:
            number += 1
            head = b"".join(lines.header())
            if head.strip():
                content = _joined(head, lines.rest())
                unpacking.take(f"{number:04} {subject(head)}.eml", content, ())
            else:
                unpacking.leave("empty")
            for _ in lines.rest():
                pass  # of a mail that was not accepted
            outlet.progress(file.tell(), size, "bytes")
        if unpacking.full:
            unpacking.leave("too many or too large", 1 + sum(1 for _ in lines.others()))
    return unpacking.parsed("")


def subject(head: bytes) -> str:
    """A part of a file name that tells what a mail is about."""
    message = email.message_from_bytes(head, policy=mail.AsWritten())
    said = harmless(mail.header(message, "subject").replace("/", " ").replace("\\", " "))
    return said[:100].strip() or "no subject"


def _joined(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


class _Lines:
    """The lines of a mailbox, one mail after the other.

    Attributes:
        at_separator: The line at hand begins a mail.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._line = file.readline(_LINE_BYTES)
        while self._line.strip() == b"" and self._line:
            self._line = file.readline(_LINE_BYTES)
        self.at_separator = bool(_SEPARATOR.match(self._line))
        self._ended = False

    def header(self) -> Iterator[bytes]:
        """The lines of the header of the mail that begins here, and the empty one behind it."""
        self._ended = False
        self._line = self._file.readline(_LINE_BYTES)
        taken = 0
        while self._line.strip() and taken < _HEADER_BYTES:
            taken += len(self._line)
            yield self._line
            self._line = self._file.readline(_LINE_BYTES)

    def rest(self) -> Iterator[bytes]:
        """The mail's other lines in larger blocks, nothing once they have been taken."""
        held = bytearray()
        blank = False
        while self._line and not self._ended:
            if blank and _SEPARATOR.match(self._line):
                break
            blank = not self._line.strip()
            # Programs quote a line that would look like a separator.
            held += self._line[1:] if _QUOTED.match(self._line) else self._line
            self._line = self._file.readline(_LINE_BYTES)
            if len(held) >= _BLOCK:
                yield bytes(held)
                held.clear()
        self._ended = True
        self.at_separator = bool(self._line)
        if held:
            yield bytes(held)

    def others(self) -> Iterator[None]:
        """Once for each mail that begins here or later."""
        while self._line:
            yield
            for _ in self.header():
                pass
            for _ in self.rest():
                pass
