"""Which module reads which media type; it is imported in the child, on the first file of its kind."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from handlers.parsing.parsed import Outlet, Parsed, Source

Read = Callable[[Source, Outlet], Parsed]

READERS: dict[str, str] = {
    "application/pdf": "handlers.parsing.pdf",
    "application/gzip": "handlers.parsing.archive_stream",
    "application/mbox": "handlers.parsing.mbox",
    "application/vnd.ms-cab-compressed": "handlers.parsing.archive_foreign",
    "application/vnd.ms-outlook": "handlers.parsing.msg",
    "application/vnd.ms-outlook-pst": "handlers.parsing.pst",
    "application/vnd.ms-tnef": "handlers.parsing.tnef",
    "application/vnd.rar": "handlers.parsing.archive_foreign",
    "application/x-7z-compressed": "handlers.parsing.archive_7z",
    "application/x-bzip2": "handlers.parsing.archive_stream",
    "application/x-iso9660-image": "handlers.parsing.archive_foreign",
    "application/x-tar": "handlers.parsing.archive_stream",
    "application/x-xz": "handlers.parsing.archive_stream",
    "application/zip": "handlers.parsing.archive_zip",
    "image/svg+xml": "handlers.parsing.svg",
    "message/rfc822": "handlers.parsing.mail",
    "text/markdown": "handlers.parsing.plain",
    "text/plain": "handlers.parsing.plain",
}


def reader(module: str) -> Read:
    """The `read` of a reader's module."""
    read: Read = import_module(module).read
    return read
