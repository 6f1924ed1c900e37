"""Which module reads which media type; it is imported in the child, on the first file of its kind."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from handlers.parsing.parsed import Outlet, Parsed, Source

Read = Callable[[Source, Outlet], Parsed]

_OOXML = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."
_HERE = "handlers.parsing."

_BY_MODULE: dict[str, tuple[str, ...]] = {
    "archive_7z": ("application/x-7z-compressed",),
    "archive_foreign": (
        "application/vnd.ms-cab-compressed", "application/vnd.rar", "application/x-iso9660-image",
    ),
    "archive_stream": (
        "application/gzip", "application/x-bzip2", "application/x-tar", "application/x-xz",
    ),
    "archive_zip": ("application/zip",),
    "csv_table": ("text/csv", "text/tab-separated-values"),
    "doc": ("application/msword",),
    "epub": ("application/epub+zip",),
    "html": ("text/html",),
    "mail": ("message/rfc822",),
    "mbox": ("application/mbox",),
    "msg": ("application/vnd.ms-outlook",),
    "odf": (
        f"{_ODF}text-master", f"{_ODF}text-web",
        *(
            f"{_ODF}{form}{template}"
            for form in ("text", "spreadsheet", "presentation", "graphics")
            for template in ("", "-template")
        ),
    ),
    "ooxml": (
        f"{_OOXML}wordprocessingml.document", f"{_OOXML}spreadsheetml.sheet",
        f"{_OOXML}presentationml.presentation", "application/x-encrypted-office",
    ),
    "pdf": ("application/pdf",),
    "picture": (
        "image/avif", "image/bmp", "image/gif", "image/heic", "image/heif", "image/jp2", "image/jpeg",
        "image/png", "image/tiff", "image/vnd.adobe.photoshop", "image/webp",
    ),
    "plain": ("text/markdown", "text/plain"),
    "ppt": ("application/vnd.ms-powerpoint",),
    "pst": ("application/vnd.ms-outlook-pst",),
    "recording": (
        "audio/aac", "audio/aiff", "audio/amr", "audio/basic", "audio/flac", "audio/mp4", "audio/mpeg",
        "audio/ogg", "audio/wav", "video/3gpp", "video/mp4", "video/mpeg", "video/quicktime", "video/x-flv",
        "video/x-matroska", "video/x-ms-asf", "video/x-msvideo",
    ),
    "rtf": ("application/rtf",),
    "svg": ("image/svg+xml",),
    "tnef": ("application/vnd.ms-tnef",),
    "xls": ("application/vnd.ms-excel",),
}  # fmt: skip

READERS: dict[str, str] = {
    media_type: _HERE + module for module, media_types in _BY_MODULE.items() for media_type in media_types
}


def reader(module: str) -> Read:
    """The `read` of a reader's module."""
    read: Read = import_module(module).read
    return read
