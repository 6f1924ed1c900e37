"""What Outlook wraps up for other Outlooks (winmail.dat): the text of a mail, and the files attached to it.

Source: Microsoft, [MS-OXTNEF].
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from handlers.parsing import mail, mapi
from handlers.parsing.lzfu import unpack
from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable

_SIGNATURE = 0x223E9F78
_SUBJECT, _BODY, _MESSAGE_ID, _PROPERTIES, _CODE_PAGE = 0x8004, 0x800C, 0x8009, 0x9003, 0x9007
_NEW_ATTACHMENT, _TITLE, _DATA, _ATTACHMENT_PROPERTIES = 0x9002, 0x8010, 0x800F, 0x9005
_FIXED = {0x02: 4, 0x03: 4, 0x0B: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x14: 8, 0x40: 8, 0x0A: 4, 0x48: 16}
_VARIABLE = (mapi.STRING8, mapi.STRING, mapi.BINARY, mapi.OBJECT)
_MOST_VALUES = 10_000


class _Attribute(NamedTuple):
    number: int
    content: memoryview


def read(source: Source, outlet: Outlet) -> Parsed:
    """Read the mail, and hand out its files.

    Raises:
        Unreadable: It is damaged.
    """
    content = memoryview(source.path.read_bytes())
    if len(content) < 6 or struct.unpack_from("<L", content)[0] != _SIGNATURE:
        raise Unreadable("the Outlook attachment bundle is damaged")
    item, page = mapi.Item({}), 1252
    for number, value in _attributes(content):
        if number == _CODE_PAGE and len(value) >= 4:
            (page,) = struct.unpack_from("<L", value)
        elif number == _NEW_ATTACHMENT:
            item.attachments.append(mapi.Attached({}, []))
        elif item.attachments:
            _of_attachment(item.attachments[-1], number, value, page)
        else:
            _of_message(item.properties, number, value, page)
    if not item.properties and not item.attachments:
        raise Unreadable("the Outlook attachment bundle is damaged: nothing in it can be read")
    return mail.parse(b"".join(mapi.written(item)), outlet)


def _attributes(content: memoryview) -> Iterator[_Attribute]:
    at = 6
    while at + 9 <= len(content):
        number, _, length = struct.unpack_from("<HHL", content, at + 1)
        at += 9
        yield _Attribute(number, content[at : at + length])
        at += length + 2


def _of_message(properties: mapi.Properties, number: int, value: memoryview, page: int) -> None:
    if number in (_SUBJECT, _BODY):
        said = mapi.decoded(bytes(value), mapi.STRING8, page)
        properties[mapi.SUBJECT if number == _SUBJECT else mapi.BODY] = said
    elif number == _PROPERTIES:
        found = _properties(value, page)
        if isinstance(packed := found.get(mapi.RTF), bytes):
            found[mapi.RTF] = unpack(packed)
        properties |= found


def _of_attachment(attached: mapi.Attached, number: int, value: memoryview, page: int) -> None:
    if number == _TITLE:
        attached.properties.setdefault(mapi.FILENAME_SHORT, mapi.decoded(bytes(value), mapi.STRING8, page))
    elif number == _DATA:
        attached.content = [bytes(value)]
    elif number == _ATTACHMENT_PROPERTIES:
        attached.properties |= _properties(value, page)


def _properties(content: memoryview, page: int) -> mapi.Properties:
    """Properties as they stand one after the other, each value filled up to four bytes."""
    properties: mapi.Properties = {}
    try:
        (count,) = struct.unpack_from("<L", content)
        at = 4
        for _ in range(min(count, _MOST_VALUES)):
            kind, number = struct.unpack_from("<2H", content, at)
            at += 4
            if number >= 0x8000:
                at = _after_name(content, at)
            single = kind & ~0x1000
            if single in _FIXED:
                values = struct.unpack_from("<L", content, at)[0] if kind & 0x1000 else 1
                at += 4 if kind & 0x1000 else 0
                if kind == 0x03:
                    (properties[number],) = struct.unpack_from("<l", content, at)
                elif kind == mapi.TIME and (when := mapi.moment(struct.unpack_from("<Q", content, at)[0])):
                    properties[number] = when
                at += _FIXED[single] * values
            elif single in _VARIABLE:
                (values,) = struct.unpack_from("<L", content, at)
                at += 4
                for _ in range(min(values, _MOST_VALUES)):
                    (length,) = struct.unpack_from("<L", content, at)
                    value = bytes(content[at + 4 : at + 4 + length])
                    at += 4 + length + (-length % 4)
                    if single in (mapi.STRING, mapi.STRING8):
                        properties[number] = mapi.decoded(value, single, page)
                    elif single == mapi.BINARY:
                        properties[number] = value
            else:
                break  # how long its value is, nothing says
    except struct.error:
        pass  # cut off; what came before stands
    return properties


def _after_name(content: memoryview, at: int) -> int:
    """Past the name of a property that has one instead of a number of its own."""
    (kind,) = struct.unpack_from("<L", content, at + 16)
    if kind == 0:
        return at + 24
    (length,) = struct.unpack_from("<L", content, at + 20)
    return int(at + 24 + length + (-length % 4))
