"""Many small files in one request: each stored and noted by itself, in constant memory.

The body is one line of JSON, `{"files": [{"file": 7, "bytes": 12, "sha256": "…"}, …]}`, a line feed,
and the contents of these files, one directly after the other. A request that breaks off has brought
the files that came whole; whatever is sent again although it is here is passed over.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from pydantic import Field, ValidationError

from machines.errors import StepError
from machines.import_files import UNSENT
from server.bodies import Body
from server.engine import Engine
from server.errors import Denied, Full, Invalid, TooLarge
from server.import_machines import spawning_id
from storage.arrivals import Arrivals, Arriving
from storage.blobs import Blobs
from storage.import_files import FileRow, ImportFiles
from storage.import_listing import EMPTY
from storage.imports import ImportRow
from storage.transfers import Transfers

HEADER_BYTES = 256 * 1024
BATCH_FILES = 1000
BATCH_FILE_BYTES = 4 << 20
"""Largest file in a batch; larger ones have a request of their own."""
_GROUP_BYTES = 4 << 20
"""Of contents that are held before they are stored."""
_GROUP_FILES = 32

Received = tuple[FileRow, str, int]
"""A file, its SHA-256 and its size."""


class Sent(Body):
    """A file of a batch; `sha256`, where it is given, is compared with what arrives."""

    file: int = Field(ge=1, le=2**62)
    bytes: int = Field(ge=0, le=BATCH_FILE_BYTES)
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""


class Header(Body):
    """What a batch holds, in its order."""

    files: list[Sent] = Field(min_length=1, max_length=BATCH_FILES)


class Batches:
    """Receives batches for one import after the other."""

    def __init__(
        self, engine: Engine, blobs: Blobs, arrivals: Arrivals, files: ImportFiles, transfers: Transfers
    ) -> None:
        self._engine = engine
        self._transfers = transfers
        self._blobs = blobs
        self._arrivals = arrivals
        self._files = files

    async def receive(
        self,
        row: ImportRow,
        stream: AsyncIterator[bytes],
        actor: str,
        *,
        may: Callable[[], Awaitable[bool]],
    ) -> tuple[list[FileRow], dict[int, str]]:
        """Store what arrives, and tell where each file of the batch stands now, in its order.

        Args:
            may: Whether the sender still has the right; asked before each group is noted.

        Returns:
            The files, and by number why one that arrived was not taken.

        Raises:
            Invalid: It is no batch, or names a file that is not on the list.
            OverQuota, Full: There is no room for the files that are not noted yet.
            Denied: The sender's right has ended meanwhile.
            ClientDisconnect: The connection was cut; what had come whole is noted.
        """
        reader = _Reader(stream)
        header = await _header(reader)
        numbers = [sent.file for sent in header.files]
        if len(set(numbers)) < len(numbers):
            raise Invalid("a batch names each file once", code="batch.invalid")
        known = await self._files.some(row.id, numbers)
        if missing := [number for number in numbers if number not in known]:
            raise Invalid(f"the import has no file {missing[0]}", code="batch.invalid")
        refused: dict[int, str] = {}
        group: list[tuple[FileRow, bytes]] = []
        held = 0
        try:
            for sent in header.files:
                file = known[sent.file]
                content = await reader.take(sent.bytes)
                if file.state not in UNSENT:
                    continue
                if sent.sha256 and hashlib.sha256(content).hexdigest() != sent.sha256:
                    refused[file.id] = (
                        "the bytes that arrived are not those that were announced; send it again"
                    )
                    continue
                group.append((file, content))
                held += len(content)
                if held >= _GROUP_BYTES or len(group) >= _GROUP_FILES:
                    whole, group, held = group, [], 0
                    await self._note(row, whole, actor, may)
            await reader.expect_end()
        finally:  # what has come whole is here, also when the rest does not come
            await self._note(row, group, actor, may)
        now = await self._files.some(row.id, numbers)
        return [now[number] for number in numbers], refused

    async def _note(
        self,
        row: ImportRow,
        group: list[tuple[FileRow, bytes]],
        actor: str,
        may: Callable[[], Awaitable[bool]],
    ) -> None:
        """Store a group, then note that it is here."""
        if not group:
            return
        size = sum(len(content) for _, content in group)
        await self._transfers.check_room(row.case_id, row.owner, size)
        hashes = [hashlib.sha256(content).hexdigest() for _, content in group if content]
        machines = [file.machine or self._machine(row, file) for file, content in group if content]
        arriving = [Arriving(machine, row.case_id) for machine in machines]
        await self._arrivals.expect_all(list(zip(arriving, hashes, strict=True)))
        stored = await asyncio.gather(
            *(asyncio.to_thread(self._store, content) for _, content in group if content)
        )
        if not await may():
            raise Denied("your right to add to this case has ended", code="access.ended")
        found = iter(stored)
        arrived = [(file, next(found), len(content)) for file, content in group if content]
        await self._files.fail(row.id, [(file.id, EMPTY) for file, content in group if not content])
        fresh = [each for each in arrived if not each[0].machine]
        await self._files.receive(
            row.case_id,
            row.id,
            [
                (file.id, sha256, size, self._machine(row, file))
                for file, sha256, size in sorted(fresh, key=lambda each: each[0].id)
            ],
        )
        for each in arrived:
            if each[0].machine:
                await self._tell(each, actor)

    async def _tell(self, received: Received, actor: str) -> None:
        """A machine that waited for the content has it."""
        file, sha256, size = received
        data = {"sha256": sha256, "bytes": size}
        for event, given in (("resumed", {}), ("received", data)):
            try:
                await self._engine.send(file.machine, event, given, source="handler", actor=actor)
            except StepError:
                continue  # it was not paused; or it has its content, or has ended: its file will say so

    def _machine(self, row: ImportRow, file: FileRow) -> str:
        return self._engine.machine_for("upload", row.topic, spawning_id(file.id, file.attempt))

    def _store(self, content: bytes) -> str:
        try:
            writer = self._blobs.open_writer()
            try:
                writer.write(content)
                return writer.commit()[0]
            finally:
                writer.abort()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Full("the server's disk is full: make room there, then try again") from error
            raise


class _Reader:
    """A stream read in pieces of a wanted length."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._held = bytearray()

    async def line(self, most: int) -> bytes:
        """Up to the first line feed, without it."""
        while (end := self._held.find(b"\n")) < 0:
            if len(self._held) > most:
                raise TooLarge(f"the first line of a batch is longer than {most} bytes")
            if not await self._more():
                raise Invalid("a batch begins with a line of JSON", code="batch.invalid")
        found = bytes(self._held[:end])
        del self._held[: end + 1]
        return found

    async def take(self, size: int) -> bytes:
        """Exactly so many bytes."""
        while len(self._held) < size:
            if not await self._more():
                raise Invalid("the batch ends before the last file does", code="batch.invalid")
        found = bytes(self._held[:size])
        del self._held[:size]
        return found

    async def expect_end(self) -> None:
        """Nothing follows."""
        if self._held or await self._more():
            raise Invalid("the batch holds more than the files that it names", code="batch.invalid")

    async def _more(self) -> bool:
        async for piece in self._stream:
            if piece:
                self._held += piece
                return True
        return False


async def _header(reader: _Reader) -> Header:
    try:
        return Header.model_validate_json(await reader.line(HEADER_BYTES))
    except ValidationError as error:
        raise Invalid(str(Invalid.of(error)), code="batch.invalid") from error
