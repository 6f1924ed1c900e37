"""Frames on the pipes between the sandbox and its child: one letter, eight bytes of length, content.

The child sends `hello` once, then for each request any number of `progress` frames and either an
`error` or a `result` followed by as many `attachment` frames as it announces.
"""

from __future__ import annotations

import struct

HEADER = struct.Struct(">cQ")

HELLO = b"h"
REQUEST = b"q"
"""JSON: `path`, `media_type`, `password`."""
PROGRESS = b"p"
"""JSON: `[done, total]`."""
ERROR = b"e"
"""JSON: `kind` (unreadable, password or memory) and `reason`."""
RESULT = b"r"
"""JSON: the fields of `Parsed`; of attachments their names only."""
ATTACHMENT = b"a"
"""The content of one."""


def frame(kind: bytes, content: bytes) -> bytes:
    """One frame, ready to be written."""
    return HEADER.pack(kind, len(content)) + content
