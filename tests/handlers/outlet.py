"""What readers send, kept: an outlet for readers without the sandbox, a sink for those within."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from handlers.parsing.parsed import Outlet, Parsed, Source, TooMuch


class Kept:
    """Accepts `files` files; `attached` and `derived` are in the order of their coming."""

    def __init__(self, scratch: Path, files: int = 1_000_000) -> None:
        self.scratch = scratch
        self.attached: list[tuple[str, bytes]] = []
        self.derived: list[tuple[str, str, bytes]] = []
        self.told: list[tuple[int, int, str]] = []
        self._files = files

    def progress(self, done: int, total: int, unit: str = "pages") -> None:
        self.told.append((done, total, unit))

    def attach(self, filename: str, content: Iterable[bytes]) -> None:
        if len(self.attached) >= self._files:
            raise TooMuch(f"more than {self._files} files are inside")
        self.attached.append((filename, b"".join(content)))

    def derive(self, name: str, media_type: str, content: bytes) -> None:
        self.derived.append((name, media_type, content))


def read_with(
    read: Callable[[Source, Outlet], Parsed],
    content: bytes | Path,
    media_type: str,
    *,
    password: str = "",
    filename: str = "",
    files: int = 1_000_000,
    **tools: str,
) -> tuple[Parsed, Kept]:
    """What a reader makes of a content, and what it sent."""
    with tempfile.TemporaryDirectory() as folder:
        path = content if isinstance(content, Path) else Path(folder, "content")
        if isinstance(content, bytes):
            path.write_bytes(content)
        scratch = Path(folder, "scratch")
        scratch.mkdir()
        kept = Kept(scratch, files)
        return read(Source(path, media_type, password, filename, tools), kept), kept


class Sunk:
    """A sink that keeps what comes, and how it came."""

    def __init__(self) -> None:
        self.attached: list[tuple[str, bytes]] = []
        self.derived: list[tuple[str, str, bytes]] = []
        self.dropped: list[str] = []
        self.refused: list[str] = []
        self.largest_block = 0
        self._open: tuple[str, bytearray] | None = None

    async def begin(self, filename: str) -> None:
        assert self._open is None
        self._open = filename, bytearray()

    async def write(self, block: bytes) -> None:
        assert self._open is not None
        self.largest_block = max(self.largest_block, len(block))
        self._open[1].extend(block)

    async def end(self) -> None:
        assert self._open is not None
        self.attached.append((self._open[0], bytes(self._open[1])))
        self._open = None

    async def drop(self) -> None:
        assert self._open is not None
        self.dropped.append(self._open[0])
        self._open = None

    async def refuse(self, filename: str) -> None:
        self.refused.append(filename)

    async def derive(self, name: str, media_type: str, content: bytes) -> None:
        self.derived.append((name, media_type, content))
