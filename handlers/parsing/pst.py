"""An Outlook mail archive (PST, OST): each of its messages becomes evidence of its own, folder by folder."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import count
from typing import Any

import pypff

from handlers.parsing import mapi
from handlers.parsing.lzfu import unpack
from handlers.parsing.parsed import Outlet, Parsed, Source, Unreadable
from handlers.parsing.unpacking import Unpacking, harmless

_BLOCK = 1 << 20
_BROKEN = (OSError, ValueError, TypeError, AttributeError, struct.error)
"""What the library raises where a part is damaged; the parts beside it may be whole."""
_FOLDERS = 50_000
_STRINGS = (mapi.STRING, mapi.STRING8)
_BODIES = ((mapi.BODY, "plain_text_body"), (mapi.HTML, "html_body"), (mapi.RTF, "rtf_body"))
_WANTED = frozenset(
    {
        0x001A, 0x0042, 0x0065, 0x0C1A, 0x0C1F, 0x5D01, 0x5D02, mapi.SUBJECT, mapi.SUBMITTED, mapi.DELIVERED,
        mapi.HEADERS, mapi.MESSAGE_ID, mapi.IN_REPLY_TO, mapi.REFERENCES, mapi.RECIPIENT_TYPE,
        mapi.DISPLAY_NAME, mapi.ADDRESS, mapi.SMTP_ADDRESS, mapi.FILENAME, mapi.FILENAME_SHORT,
        mapi.MIME_TYPE, *mapi.CODE_PAGES,
    }
)  # fmt: skip


def read(source: Source, outlet: Outlet) -> Parsed:
    """Take the messages out of a mail archive.

    Raises:
        Unreadable: It cannot be opened.
    """
    archive = pypff.file()
    try:
        archive.open(str(source.path))
        root = archive.get_root_folder()
    except _BROKEN as error:
        raise Unreadable("the Outlook mail archive is damaged or incomplete; upload it again") from error
    unpacking = Unpacking(outlet, "messages")
    folders = list(_folders(root, unpacking))
    total = sum(number for _, _, number in folders)
    done = 0
    for where, folder, number in folders:
        for index in range(number):
            if unpacking.full:
                break
            _take(folder, index, where, unpacking)
            done += 1
            outlet.progress(done, total, "messages")
    if unpacking.full:
        unpacking.leave("too many or too large", total - done + 1)
    elif lost := _number(archive.get_number_of_orphan_items):
        unpacking.leave("deleted remains without a folder", lost)
    archive.close()
    names = [f"{where or 'top'} ({number})" for where, _, number in folders if number]
    return unpacking.parsed("", {"folders": names[:1000]})


def _folders(root: Any, unpacking: Unpacking) -> Iterator[tuple[str, Any, int]]:
    """Each folder with its path and the number of its messages, the upper ones first."""
    waiting = [("", root)]
    for taken in count():
        if not waiting:
            return
        if taken >= _FOLDERS:
            unpacking.leave("in too many folders", len(waiting))
            return
        where, folder = waiting.pop()
        yield where, folder, _number(folder.get_number_of_sub_messages)
        inner = []
        for index in range(_number(folder.get_number_of_sub_folders)):
            try:
                below = folder.get_sub_folder(index)
                name = harmless((below.get_name() or f"folder {index + 1}").replace("/", " "))
            except _BROKEN:
                unpacking.leave("damaged folders")
                continue
            inner.append((f"{where}/{name}" if where else name, below))
        waiting += reversed(inner)


def _take(folder: Any, index: int, where: str, unpacking: Unpacking) -> None:
    try:
        message = folder.get_sub_message(index)
        item = _item(message, 0)
    except _BROKEN:
        unpacking.leave("damaged")
        return
    about = harmless(mapi.text(item.properties, mapi.SUBJECT).replace("/", " ").replace("\\", " "))
    name = f"{index + 1:04} {about[:100].strip() or 'no subject'}.eml"
    unpacking.take(f"{where}/{name}" if where else name, mapi.written(item), _BROKEN)


def _item(message: Any, depth: int) -> mapi.Item:
    properties = _properties(message)
    if isinstance(about := properties.get(mapi.SUBJECT), str) and about[:1] == "\x01":
        properties[mapi.SUBJECT] = about[2:]  # two characters tell how long its “Re:” is
    page = next((v for n in mapi.CODE_PAGES if isinstance(v := properties.get(n), int)), 1252)
    for number, name in _BODIES:
        content = _part(message, name)
        if content:
            properties[number] = _plain(content, page) if number == mapi.BODY else content
    item = mapi.Item(properties)
    if recipients := _part(message, "recipients"):
        sets = range(_number(recipients.get_number_of_record_sets))
        item.recipients = [_entries(recipients.get_record_set(i)) for i in sets]
    for index in range(_number(getattr(message, "get_number_of_attachments", int))):
        item.attachments.append(_attached(message, index, depth))
    return item


def _attached(message: Any, index: int, depth: int) -> mapi.Attached:
    attachment = message.get_attachment(index)
    properties = _properties(attachment)
    if _number(attachment.get_number_of_sub_items) and depth < mapi.MAX_DEPTH:
        return mapi.Attached(properties, _item(attachment.get_sub_item(0), depth + 1))
    return mapi.Attached(properties, _blocks(attachment))


def _blocks(attachment: Any) -> Iterator[bytes]:
    left = _number(attachment.get_size)
    attachment.seek_offset(0, 0)
    while left > 0:
        block = attachment.read_buffer(min(_BLOCK, left))
        if not block:
            return
        left -= len(block)
        yield block


def _properties(item: Any) -> mapi.Properties:
    # Items of a class that the library does not know have no bodies but as properties.
    wanted = _WANTED if hasattr(item, "get_plain_text_body") else _WANTED | dict(_BODIES).keys()
    return _entries(item.get_record_set(0), wanted) if _number(item.get_number_of_record_sets) else {}


def _entries(record_set: Any, wanted: frozenset[int] = _WANTED) -> mapi.Properties:
    found: mapi.Properties = {}
    for index in range(_number(record_set.get_number_of_entries)):
        try:
            entry = record_set.get_entry(index)
            number, kind = entry.get_entry_type(), entry.get_value_type()
            if number not in wanted:
                continue
            if kind in _STRINGS:
                found[number] = entry.get_data_as_string() or ""
            elif kind == 0x03:
                (found[number],) = struct.unpack("<l", entry.get_data())
            elif kind == mapi.TIME:
                when = mapi.moment(struct.unpack("<Q", entry.get_data())[0])
                if when is not None:
                    found[number] = when
            elif kind == mapi.BINARY:
                content = entry.get_data() or b""
                found[number] = unpack(content) if number == mapi.RTF else content
        except _BROKEN:
            continue  # one property; a mail is worth having without it
    return found


def _part(message: Any, name: str) -> Any:
    try:
        return getattr(message, name, None)
    except _BROKEN:
        return None


def _plain(content: bytes, page: int) -> str:
    # The library has made UTF-8 of what was UTF-16, and left the rest as it was.
    try:
        return content.decode("utf-8").rstrip("\0")
    except UnicodeDecodeError:
        return mapi.decoded(content, mapi.STRING8, page)


def _number(ask: Any) -> int:
    """A count that a damaged part may not have."""
    try:
        return max(0, int(ask()))
    except _BROKEN:
        return 0
