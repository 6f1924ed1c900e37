"""Frames on the pipes between the sandbox and its child: one letter, eight bytes of length, content.

The child sends `hello` once, then for each request any number of `progress`, `derived` and `refused`
frames and attachments, and at last one `error` or `result`. An attachment is an `attach` frame, its
`block`s, and `attached` or `dropped`; no other frame stands between these.
"""

from __future__ import annotations

import struct

HEADER = struct.Struct(">cQ")

HELLO = b"h"
REQUEST = b"q"
"""JSON: `reader`, the module; `path`, `media_type`, `password`, `filename`, `tools`; `room`, a pair of
how many files and how many bytes may be attached."""
PROGRESS = b"p"
"""JSON: `[done, total, unit]`."""
ATTACH = b"a"
"""The name of a file found inside."""
BLOCK = b"b"
"""The next bytes of that file, at most `BLOCK_BYTES`."""
ATTACHED = b"f"
"""That file is whole; no content."""
DROPPED = b"d"
"""That file is not to be kept; no content."""
REFUSED = b"n"
"""The name of a file for which there is no room at all."""
DERIVED = b"i"
"""Four bytes of length, JSON `[name, media_type]` of that length, and the content."""
ERROR = b"e"
"""JSON: `kind` (unreadable, password or memory) and `reason`."""
RESULT = b"r"
"""JSON: the fields of `Parsed`."""

BLOCK_BYTES = 1 << 20
LABEL = struct.Struct(">L")


def frame(kind: bytes, content: bytes) -> bytes:
    """One frame, ready to be written."""
    return HEADER.pack(kind, len(content)) + content
