"""Where the bytes of an upload lie while they come in: appended, cut back, and taken when they are whole.

The parts of one upload form a *group*; each has a name. Both are letters, digits, `-` and `_`. What has
never been written counts as empty, so nothing has to be created first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol


class Place(NamedTuple):
    """Which part: its upload's group, and its name there."""

    group: str
    name: str


class PartBusy(Exception):
    """Somebody else, perhaps in another process, is writing this part."""

    def __init__(self, place: Place) -> None:
        super().__init__(f"{place.group}/{place.name} is being written")
        self.place = place


class NoRoom(Exception):
    """The store is full; what was written before is there still."""

    def __init__(self) -> None:
        super().__init__("the server's disk is full: make room there, then resume")


class PartWriter(Protocol):
    """The only writer of one part, until `close`; every method blocks, so call it from a thread."""

    offset: int
    """How many bytes the part has."""

    def write(self, block: bytes | bytearray | memoryview) -> None:
        """Append a block. It is kept when this process dies; `sync` makes it last a power cut, too.

        Raises:
            NoRoom: It did not fit, or only in part; `offset` tells.
        """

    def sync(self) -> None:
        """Make all that was written last: after it returns a power cut does not lose it."""

    def rewind(self, offset: int) -> None:
        """Forget what lies behind the first `offset` bytes."""

    def close(self) -> None:
        """Let others write; does nothing the second time."""


class PartStore(Protocol):
    """Parts by place, the same for all processes; every method blocks."""

    def open(self, place: Place) -> PartWriter:
        """Become the writer of a part. A writer's death frees its part.

        Raises:
            PartBusy: It has one.
        """

    def size(self, place: Place) -> int:
        """Bytes of a part; 0 where there is none."""

    def received(self, group: str) -> int:
        """Bytes of all parts of a group."""

    def being_written(self, group: str, *, but: str = "") -> bool:
        """Whether any part of the group has a writer now, but for the part of that name."""

    def path(self, place: Place) -> Path:
        """A file with the bytes of a part, for the one who puts the upload together."""

    def delete(self, place: Place) -> None:
        """Forget a part; its writer, if there is one, goes on writing to nowhere."""

    def delete_group(self, group: str) -> None:
        """Forget all parts of a group."""

    def groups(self, *, idle_s: float) -> Iterator[str]:
        """Groups of which nothing was written for so many seconds."""

    def free_bytes(self) -> int:
        """How much more fits, without what the rest of the server needs to go on."""
