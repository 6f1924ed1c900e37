"""An Outlook message (.msg): the properties of a mail in the streams of an OLE file.

Source: Microsoft, [MS-OXMSG].
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import olefile

from handlers.parsing import mail, mapi
from handlers.parsing.lzfu import unpack
from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable

_STREAM = "__substg1.0_"
_FIXED = "__properties_version1.0"
_RECIPIENT, _ATTACHMENT = "__recip_version1.0_", "__attach_version1.0_"
_BLOCK = 1 << 20

Path = tuple[str, ...]


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read an Outlook message.

    Raises:
        Unreadable: It is damaged.
    """
    try:
        with olefile.OleFileIO(source.path) as ole:
            item = _Message(ole).item((), 32, 0)
            content = b"".join(mapi.written(item))
    except (OSError, ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise Unreadable("the Outlook message is damaged") from error
    if not item.properties:
        raise Unreadable("the Outlook message is damaged: it says nothing")
    parsed = mail.parse(content, outlet)
    kind = mapi.text(item.properties, 0x001A)
    if kind and not kind.upper().startswith("IPM.NOTE"):
        parsed.meta["outlook_kind"] = kind
    return parsed


class _Message:
    """The storages of one file."""

    def __init__(self, ole: olefile.OleFileIO) -> None:
        self._ole = ole
        self._inside: dict[Path, list[str]] = {}
        for path in ole.listdir(streams=True, storages=True):
            self._inside.setdefault(tuple(path[:-1]), []).append(path[-1])

    def item(self, where: Path, header_bytes: int, depth: int) -> mapi.Item:
        properties = self._properties(where, header_bytes, 1252)
        page = next((v for n in mapi.CODE_PAGES if isinstance(v := properties.get(n), int)), 1252)
        if page != 1252:
            properties = self._properties(where, header_bytes, page)
        if isinstance(packed := properties.get(mapi.RTF), bytes):
            properties[mapi.RTF] = unpack(packed)
        found = mapi.Item(properties)
        for name in sorted(self._inside.get(where, ())):
            inner = (*where, name)
            if name.startswith(_RECIPIENT):
                found.recipients.append(self._properties(inner, 8, page))
            elif name.startswith(_ATTACHMENT):
                found.attachments.append(self._attached(inner, page, depth))
        return found

    def _attached(self, where: Path, page: int, depth: int) -> mapi.Attached:
        properties = self._properties(where, 8, page)
        file = f"{_STREAM}{mapi.FILE:04X}"
        message = (*where, f"{file}{mapi.OBJECT:04X}")
        if message in self._inside and f"{_FIXED}" in self._inside[message]:
            if depth < mapi.MAX_DEPTH:
                return mapi.Attached(properties, self.item(message, 24, depth + 1))
            return mapi.Attached(properties, [])
        stream = (*where, f"{file}{mapi.BINARY:04X}")
        return mapi.Attached(properties, self._blocks(stream) if self._ole.exists(list(stream)) else [])

    def _blocks(self, where: Path) -> Iterator[bytes]:
        with self._ole.openstream(list(where)) as stream:
            while block := stream.read(_BLOCK):
                yield block

    def _properties(self, where: Path, header_bytes: int, page: int) -> mapi.Properties:
        properties: mapi.Properties = {}
        for name in self._inside.get(where, ()):
            if name == _FIXED:
                properties |= _fixed(self._content((*where, name))[header_bytes:])
            elif name.startswith(_STREAM) and len(name) == len(_STREAM) + 8:
                number, kind = (int(name[at : at + 4], 16) for at in (len(_STREAM), len(_STREAM) + 4))
                if kind in (mapi.STRING, mapi.STRING8):
                    properties[number] = mapi.decoded(self._content((*where, name)), kind, page)
                elif kind == mapi.BINARY and number != mapi.FILE:
                    properties[number] = self._content((*where, name))
        return properties

    def _content(self, where: Path) -> bytes:
        with self._ole.openstream(list(where)) as stream:
            content: Any = stream.read()
        return bytes(content)


def _fixed(content: bytes) -> mapi.Properties:
    """Properties whose value fits in eight bytes."""
    properties: mapi.Properties = {}
    for at in range(0, len(content) - 15, 16):
        kind, number = struct.unpack_from("<2H", content, at)
        if kind in (0x02, 0x03, 0x0B):
            (properties[number],) = struct.unpack_from("<l", content, at + 8)
        elif kind == mapi.TIME:
            when = mapi.moment(struct.unpack_from("<Q", content, at + 8)[0])
            if when is not None:
                properties[number] = when
    return properties
