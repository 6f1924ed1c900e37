"""A ZIP archive: every file in it becomes evidence of its own."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from handlers.parsing import zip_aes
from handlers.parsing.parsed import Outlet, Parsed, PasswordNeeded, Source, Unreadable
from handlers.parsing.unpacking import Unpacking

_ENCRYPTED = 0x1
_UTF8 = 0x800
_BLOCK = 1 << 20
_LINK, _KINDS = 0o120000, 0o170000
_REGULAR = (0, 0o100000)

DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, KeyError)


def read(source: Source, outlet: Outlet) -> Parsed:
    """Unpack a ZIP archive.

    Raises:
        PasswordNeeded: A file in it is encrypted and the password does not open it.
        Unreadable: It is damaged, so that nothing comes out.
    """
    try:
        archive = zipfile.ZipFile(source.path)
    except DAMAGED as error:
        raise Unreadable("the ZIP archive is damaged or incomplete; upload it again") from error
    with archive:
        members = [member for member in archive.infolist() if not member.filename.endswith("/")]
        locked = [member for member in members if member.flag_bits & _ENCRYPTED]
        if locked:
            _try(archive, min(locked, key=lambda member: member.file_size), source.password)
        unpacking = Unpacking(outlet)
        for done, member in enumerate(members):
            _take(archive, member, source.password, unpacking)
            if unpacking.full:
                unpacking.leave("too many or too large", len(members) - done)
                break
            outlet.progress(done + 1, len(members), "files")
    if unpacking.empty and not unpacking.full and unpacking.reasons == {"damaged"}:
        raise Unreadable("the ZIP archive is damaged: none of its files can be unpacked")
    return unpacking.parsed("", {"encrypted": True} if locked else None)


def _take(archive: zipfile.ZipFile, member: zipfile.ZipInfo, password: str, unpacking: Unpacking) -> None:
    mode = member.external_attr >> 16 & _KINDS
    if member.create_system == 3 and mode not in _REGULAR:
        unpacking.leave("links" if mode == _LINK else "devices")
    elif not member.file_size:
        unpacking.leave("empty")
    elif member.compress_type not in zip_aes.METHODS:
        unpacking.leave("packed in a way that cannot be read")
    else:
        unpacking.take(_name(member), _content(archive, member, password), DAMAGED)


def _try(archive: zipfile.ZipFile, member: zipfile.ZipInfo, password: str) -> None:
    """Read the smallest encrypted file: the check of a password is one byte, and lets wrong ones through."""
    if not password:
        raise PasswordNeeded("files in the archive are encrypted; give a password")
    try:
        for _ in _content(archive, member, password):
            pass
    except DAMAGED as error:
        raise PasswordNeeded("the password does not open the files in this archive") from error


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, password: str) -> Iterator[bytes]:
    if member.compress_type == zip_aes.METHOD:
        yield from zip_aes.content(archive, member, password)
        return
    try:
        opened: IO[bytes] = archive.open(member, pwd=password.encode() if password else None)
    except (RuntimeError, NotImplementedError) as error:
        # What zipfile says of a wrong password, and of an unknown way to pack.
        raise zipfile.BadZipFile(str(error)) from error
    with opened:
        while block := opened.read(_BLOCK):
            yield block


def _name(member: zipfile.ZipInfo) -> str:
    """Names are UTF-8 or in the code page of DOS; many programs write UTF-8 without saying so."""
    if member.flag_bits & _UTF8:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename
