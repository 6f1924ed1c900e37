"""A stored content as a response: whole, or in the ranges that the request asks for, block by block.

It goes through this process in constant memory, from the disk or from S3 alike. A whole content is
hashed on its way and ends short, with its connection, where it turns out to be damaged.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import closing
from email.utils import quote as escaped
from secrets import token_hex
from unicodedata import normalize
from urllib.parse import quote

from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from server.ranges import Span, Unsatisfiable, spans_of
from storage.blobs import Blobs

INLINE = frozenset(
    {
        "application/pdf", "text/plain",
        "image/avif", "image/bmp", "image/gif", "image/jpeg", "image/png", "image/webp",
        "audio/aac", "audio/flac", "audio/mp4", "audio/mpeg", "audio/ogg", "audio/wav", "audio/webm",
        "video/mp4", "video/ogg", "video/webm",
    }
)  # fmt: skip
"""Kinds that a browser shows by itself without running anything; all others are downloads."""

PRIVATE = "private, no-cache"
"""A copy of one's own may be kept, and is used only after asking whether one still may."""

SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'"
"""A file is a stranger's, and must not act as this site when it is opened on its own."""


async def content_response(
    request: Request, blobs: Blobs, sha256: str, *, media_type: str, filename: str, charset: str = ""
) -> Response:
    """Answer a GET or a HEAD with a content; the caller has checked the right to it.

    Args:
        charset: Of a text, where it is known.

    Raises:
        BlobMissing: It is not stored.
        BlobDamaged: It was found changed before.
        BlobsUnavailable: The store does not answer.
    """
    size = await asyncio.to_thread(blobs.size, sha256)
    etag = f'"{sha256}"'
    inline = media_type in INLINE
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": PRIVATE,
        "Content-Disposition": disposition("inline" if inline else "attachment", filename),
        "Content-Security-Policy": SANDBOX,
        "ETag": etag,
        "X-Content-Type-Options": "nosniff",
    }
    if has_it(request, etag):
        return Response(status_code=304, headers=headers)
    try:
        spans = spans_of(request.headers.get("range"), request.headers.get("if-range"), etag, size)
    except Unsatisfiable:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    shown = media_type if inline else "application/octet-stream"
    if inline and charset and media_type.startswith("text/"):
        shown += f"; charset={charset}"
    if len(spans) > 1:
        several = _Several(spans, shown, size)
        headers |= {"Content-Type": several.content_type, "Content-Length": str(several.bytes)}
        status, blocks = 206, several.blocks(blobs, sha256)
    else:
        span = spans[0] if spans else Span(0, size)
        headers |= {"Content-Type": shown, "Content-Length": str(span.end - span.start)}
        headers |= {"Content-Range": span.of(size)} if spans else {}
        status, blocks = 206 if spans else 200, blobs.stream(sha256, *span)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_closing(blocks), status, headers)


def has_it(request: Request, etag: str) -> bool:
    """Whether the client says that it has this very content."""
    given = request.headers.get("if-none-match")
    return given is not None and (
        given.strip() == "*" or etag in [one.strip().removeprefix("W/") for one in given.split(",")]
    )


def disposition(kind: str, filename: str) -> str:
    """`Content-Disposition` with a name that ends no header and names no folder (RFC 6266).

    >>> disposition("attachment", 'mail/"Ünder.pdf')
    'attachment; filename="\\\\"Under.pdf"; filename*=UTF-8\\'\\'%22%C3%9Cnder.pdf'
    """
    name = filename.replace("\\", "/").rpartition("/")[2]
    name = "".join(letter for letter in name if letter.isprintable()).strip(". ") or "file"
    plain = normalize("NFKD", name).encode("ascii", "ignore").decode().strip() or "file"
    same = plain == name
    return f'{kind}; filename="{escaped(plain)}"' + (
        "" if same else f"; filename*=UTF-8''{quote(name, safe='')}"
    )


class _Several:
    """A body of several ranges, each with a head of its own."""

    def __init__(self, spans: list[Span], media_type: str, size: int) -> None:
        boundary = token_hex(16)
        self.content_type = f"multipart/byteranges; boundary={boundary}"
        begin = f"--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: "
        self._parts = [(f"{begin}{span.of(size)}\r\n\r\n".encode(), span) for span in spans]
        self._end = f"--{boundary}--\r\n".encode()
        self.bytes = sum(len(head) + span.end - span.start + 2 for head, span in self._parts) + len(self._end)

    def blocks(self, blobs: Blobs, sha256: str) -> Generator[bytes, None, None]:
        for head, span in self._parts:
            yield head
            yield from blobs.stream(sha256, *span)
            yield b"\r\n"
        yield self._end


async def _closing(blocks: Generator[bytes, None, None]) -> AsyncIterator[bytes]:
    """The blocks, each read in a thread; whoever leaves early lets go of the file or the connection."""
    with closing(blocks):
        async for block in iterate_in_threadpool(blocks):
            yield block
