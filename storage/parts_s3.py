"""Uploads whose parts go straight to an S3 store: `uploads/<machine>/…`, one for each upload machine.

The store knows which parts it has; a table knows the uploads, so that none is forgotten there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING

from sqlalchemy import Table, delete, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.s3_place import LEAST_PART_BYTES, MOST_PARTS, KeyMissing, Part
from storage.schema import MultipartRecord

# Only for their types: botocore takes half a second, which a server without S3 need not wait for.
if TYPE_CHECKING:
    from storage.blobs_s3 import S3Blobs
    from storage.s3_bucket import S3Bucket

PREFIX = "s3:"
"""Begins the names of parts that are in an S3 store."""

PART_BYTES = 16 << 20
"""Of files up to 150 GB; the parts of larger ones are as large as their number demands."""

URL_S = 3600
"""How long a part may be sent to its address."""

_MIB = 1 << 20
_TABLE: Table = MultipartRecord.metadata.tables["multiparts"]


class NotWhole(Exception):
    """Some parts have not arrived, or not as a whole.

    Attributes:
        missing: How many.
    """

    def __init__(self, missing: int) -> None:
        super().__init__(f"{missing} {'part' if missing == 1 else 'parts'} of the file are not there yet")
        self.missing = missing


class AnotherFile(Exception):
    """What is being sent is announced with another size."""


@dataclass(frozen=True)
class Multipart:
    """One file on its way; part `n` (from 1) holds bytes `(n - 1) * part_bytes` and on.

    Attributes:
        sha256: "" until its content has an address.
    """

    machine: str
    key: str
    upload: str
    bytes: int
    part_bytes: int
    sha256: str = ""

    @property
    def name(self) -> str:
        """Of what was gathered, for the upload machine."""
        return PREFIX + self.key

    def spans(self) -> list[tuple[int, int, int]]:
        """Number, first byte and end of each part."""
        starts = range(0, self.bytes, self.part_bytes)
        return [(i, at, min(at + self.part_bytes, self.bytes)) for i, at in enumerate(starts, 1)]


class Multiparts:
    """All uploads of one bucket that clients send parts of."""

    def __init__(self, bucket: S3Bucket, database: AsyncEngine) -> None:
        self._bucket = bucket
        self._database = database

    @property
    def direct(self) -> bool:
        """Whether clients reach the store."""
        return bool(self._bucket.place.public_endpoint)

    async def begin(self, machine: str, size: int) -> Multipart:
        """The upload of a machine, made if there is none.

        Raises:
            AnotherFile: There is one, of another size.
            BlobsUnavailable: The store does not answer.
        """
        there = await self.find(machine)
        if there is None:
            key = f"uploads/{machine}/{token_hex(8)}"
            upload = await asyncio.to_thread(self._bucket.begin, key)
            new = Multipart(machine, key, upload, size, part_bytes_for(size))
            there = await self._add(new)
            if there.upload != upload:  # somebody else was faster
                await asyncio.to_thread(self._bucket.abort, key, upload)
        if there.bytes != size:
            raise AnotherFile
        return there

    async def find(self, machine: str) -> Multipart | None:
        """The upload of a machine, if it has one."""
        columns = [_TABLE.c[name] for name in Multipart.__dataclass_fields__]
        async with self._database.connect() as connection:
            row = (
                await connection.execute(select(*columns).where(_TABLE.c.machine == machine))
            ).one_or_none()
        return None if row is None else Multipart(*row)

    async def whole_parts(self, multipart: Multipart) -> dict[int, Part]:
        """The parts that are there in their whole length, by number.

        Raises:
            KeyMissing: The store has completed or forgotten the upload.
        """
        found = await asyncio.to_thread(self._bucket.parts, multipart.key, multipart.upload)
        sizes = {number: end - start for number, start, end in multipart.spans()}
        return {part.number: part for part in found if sizes.get(part.number) == part.bytes}

    def url(self, multipart: Multipart, number: int) -> str:
        """Where a part is to be put within the hour, by whoever has this address."""
        return self._bucket.presigned_part(multipart.key, multipart.upload, number, expires_s=URL_S)

    async def complete(self, multipart: Multipart) -> None:
        """Have the store put the parts together; done before, it is done.

        Raises:
            NotWhole: Parts are missing.
            KeyMissing: The store has forgotten the upload.
        """
        try:
            parts = await self.whole_parts(multipart)
            missing = len(multipart.spans()) - len(parts)
            if missing:
                raise NotWhole(missing)
            listed = [parts[number] for number in sorted(parts)]
            await asyncio.to_thread(self._bucket.complete, multipart.key, multipart.upload, listed)
        except KeyMissing:
            if await asyncio.to_thread(self._bucket.size, multipart.key) != multipart.bytes:
                raise

    async def store(
        self, multipart: Multipart, blobs: S3Blobs, *, told: Callable[[int], None]
    ) -> tuple[str, int]:
        """Hash what was completed, and have it copied to its address; done before, it is done.

        Args:
            told: Called in a thread with the bytes hashed so far; what it raises ends the work.

        Returns:
            Hex SHA-256 and size in bytes.

        Raises:
            KeyMissing: It is not there.
        """
        if multipart.sha256:
            there = await asyncio.to_thread(blobs.exists, multipart.sha256)
            if there:
                return multipart.sha256, multipart.bytes
        sha256, size = await asyncio.to_thread(blobs.take_over, multipart.key, told=told)
        # Only then the object goes: a worker that dies in between leaves what another one finds.
        await self._set(multipart.machine, sha256=sha256)
        await asyncio.to_thread(self._bucket.delete, multipart.key)
        return sha256, size

    async def drop(self, machine: str) -> bool:
        """Forget what a machine has been sent; whether there was anything."""
        there = await self.find(machine)
        if there is None:
            return False
        await asyncio.to_thread(self._bucket.abort, there.key, there.upload)
        await asyncio.to_thread(self._bucket.delete, there.key)
        async with self._database.begin() as connection:
            await connection.execute(delete(_TABLE).where(_TABLE.c.machine == machine))
        return True

    async def older(self, age_s: float) -> list[str]:
        """Machines whose upload began so many seconds ago, the oldest first, a thousand at most."""
        before = datetime.fromtimestamp(time.time() - age_s, UTC)
        query = select(_TABLE.c.machine).where(_TABLE.c.created_at < before)
        async with self._database.connect() as connection:
            found = await connection.execute(query.order_by(_TABLE.c.created_at).limit(1000))
            return list(found.scalars())

    async def _add(self, new: Multipart) -> Multipart:
        values = {name: getattr(new, name) for name in Multipart.__dataclass_fields__}
        async with self._database.begin() as connection:
            await connection.execute(upsert(_TABLE).values(values).on_conflict_do_nothing())
        made = await self.find(new.machine)
        assert made is not None, "it was there or is there now"
        return made

    async def _set(self, machine: str, **values: str) -> None:
        async with self._database.begin() as connection:
            await connection.execute(update(_TABLE).where(_TABLE.c.machine == machine).values(**values))


def part_bytes_for(size: int) -> int:
    """How large parts must be for a file to fit into the number that a store takes.

    >>> part_bytes_for(1 << 30) >> 20, part_bytes_for(1 << 40) >> 20
    (16, 117)
    """
    needed = -(-size // (MOST_PARTS - 1000))
    return max(PART_BYTES, LEAST_PART_BYTES, -(-needed // _MIB) * _MIB)
