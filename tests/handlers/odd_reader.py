"""A reader that does what the file says, one command a line: for tests of the sandbox."""

from __future__ import annotations

import time
from collections.abc import Iterator

from handlers.parsing.parsed import Outlet, Parsed, Source, TooMuch


def read(source: Source, outlet: Outlet) -> Parsed:
    said: list[str] = []
    for line in source.path.read_text("utf-8").splitlines():
        command, _, argument = line.partition(" ")
        said.append(str(_COMMANDS[command](source, outlet, argument)))
    return Parsed(text="\n".join(said), meta={"filename": source.filename, "tools": source.tools})


def _attach(_: Source, outlet: Outlet, argument: str) -> str:
    """`NAME BLOCKS BLOCK_BYTES`"""
    name, blocks, size = argument.split()
    try:
        outlet.attach(name, (bytes([i % 251]) * int(size) for i in range(int(blocks))))
    except TooMuch as error:
        return f"too much: {error}"
    return "attached"


def _break_off(_: Source, outlet: Outlet, argument: str) -> str:
    def content() -> Iterator[bytes]:
        yield b"begun"
        raise ValueError("checksum")

    try:
        outlet.attach(argument, content())
    except ValueError as error:
        return f"dropped: {error}"
    return "attached"


def _derive(_: Source, outlet: Outlet, argument: str) -> str:
    outlet.derive(argument, "image/png", b"picture")
    return "derived"


def _say(_: Source, __: Outlet, argument: str) -> str:
    return "x" * int(argument)


def _progress(_: Source, outlet: Outlet, argument: str) -> str:
    outlet.progress(7, 7, argument)
    return "told"


def _work(_: Source, outlet: Outlet, argument: str) -> str:
    """`PAGES SECONDS_A_PAGE HOW`, computing, not sleeping, as the reader of a long scan does."""
    pages, seconds, how = argument.split()
    for page in range(int(pages)):
        until = time.process_time() + float(seconds)
        while time.process_time() < until:
            pass
        if how == "page":
            outlet.progress(page + 1, int(pages))
        elif how == "file":
            outlet.attach(f"{page}", [b"content"])
    return "worked"


_COMMANDS = {
    "work": _work,
    "attach": _attach,
    "break-off": _break_off,
    "derive": _derive,
    "say": _say,
    "progress": _progress,
}
