"""One request's bytes, appended to the part of a transfer by its only writer."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis
from starlette.requests import ClientDisconnect

from machines.upload_actions import RECEIVE_SILENCE_S
from server.errors import Clash, Corrupt, Denied, Locked, TooLarge
from server.expecting import PROGRESS_S, Expecting
from server.pouring import Inlet, Sender, watched
from server.tus import Checksum
from storage.parts import NoRoom, PartBusy, PartStore, PartWriter
from storage.transfers import KEEP_S, Transfer, Transfers

CHECK_S = 0.5
"""Between two looks at whether this sender still may, and the upload still waits."""

TAKEOVER_S = 5
"""How long a writer that was asked to let go is waited for."""

_POLL_S = 0.05
_DIGESTS = 1024
"""Uploads whose hash is carried from one request to the next."""


@dataclass(frozen=True)
class Body:
    """What one request brings.

    Attributes:
        stream: The bytes as they come.
        declared: Content-Length; None where the sender gives none.
        most: How many bytes there may be at most; None for any number.
        too_large: The sentence for whoever sends more.
        checksum: What they must hash to, so that all are kept or none.
    """

    stream: AsyncIterator[bytes]
    declared: int | None
    most: int | None
    too_large: str
    checksum: Checksum | None = None


class Digests:
    """SHA-256 of what has come so far, as long as all came through this process."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[int, hashlib._Hash]] = OrderedDict()

    def take(self, transfer: Transfer, offset: int) -> hashlib._Hash | None:
        """The hash of the first `offset` bytes; None where it is not known, or never of use."""
        known = self._known.pop(transfer.id, None)
        if transfer.kind != "whole":
            return None
        if offset == 0:
            return hashlib.sha256()
        return known[1] if known is not None and known[0] == offset else None

    def keep(self, transfer: Transfer, offset: int, digest: hashlib._Hash) -> None:
        """Remember it; the one that has waited longest is forgotten where there are too many."""
        self._known[transfer.id] = (offset, digest)
        if len(self._known) > _DIGESTS:
            self._known.popitem(last=False)


class Appending:
    """Writers of parts, one a part over all processes; who comes again takes over from a lost connection."""

    def __init__(self, parts: PartStore, transfers: Transfers, expecting: Expecting, redis: Redis) -> None:
        self.digests = Digests()
        self._parts = parts
        self._transfers = transfers
        self._expecting = expecting
        self._redis = redis

    @asynccontextmanager
    async def writing(self, transfer: Transfer, *, patient: bool = True) -> AsyncIterator[PartWriter]:
        """The writer of a transfer's part, for this block.

        Whoever holds it is asked to let go: it is most often the same client, whose earlier
        connection was lost on its side alone.

        Args:
            patient: False where nobody is to be asked.

        Raises:
            Locked: It did not, in `TAKEOVER_S` seconds.
        """
        writer = await self._open(transfer, TAKEOVER_S if patient else 0)
        try:
            yield writer
        finally:
            await asyncio.shield(asyncio.to_thread(writer.close))

    async def _open(self, transfer: Transfer, within_s: int) -> PartWriter:
        until, asked = time.monotonic() + within_s, False
        while True:
            try:
                writer = await asyncio.to_thread(self._parts.open, transfer.place)
                break
            except PartBusy:
                if time.monotonic() >= until:
                    raise Locked("this upload is being sent on another connection; try again") from None
                if not asked:
                    await self._redis.set(_wanted(transfer), b"1", ex=within_s)
                    asked = True
                await asyncio.sleep(_POLL_S)
        if asked:
            await self._redis.delete(_wanted(transfer))
        return writer

    async def append(
        self, transfer: Transfer, writer: PartWriter, body: Body, sender: Sender
    ) -> hashlib._Hash | None:
        """Write a body behind what is there; the SHA-256 of the whole part, where it is known.

        What has come lasts when this returns or raises, and the machine knows of a cut.

        Raises:
            Corrupt: The checksum does not fit; nothing is kept of the body.
            TooLarge: More came than may; nothing is kept of the body.
            Denied: The sender's right has ended.
            Locked: Another connection has taken over.
            Gone, Clash: The upload does not wait for bytes (any more).
            NoRoom: The store is full; what fitted is kept.
            ClientDisconnect: The connection was cut; what came is kept, unless a checksum was to be checked.
        """
        start, checksum = writer.offset, body.checksum
        if body.declared is not None and body.most is not None and body.declared > body.most:
            raise TooLarge(body.too_large, code="upload.too_large")
        total = transfer.length or 0
        if transfer.machine:
            announced = await self._expecting.wake(transfer, sender.actor)
            total = announced if transfer.kind == "partial" else total or announced
        digest = self.digests.take(transfer, start)
        before = digest.copy() if digest is not None and checksum is not None else None
        check = checksum.begin() if checksum is not None else None
        inlet = Inlet(
            writer, [one for one in (digest, check) if one is not None],
            most=body.most, too_large=body.too_large,
        )  # fmt: skip
        try:
            await watched(inlet.pour(body.stream), self._watch(transfer, inlet, sender, total))
            await _check_right(sender)
            if checksum is not None and check is not None and check.digest() != checksum.digest:
                raise Corrupt(
                    "the bytes that arrived do not have the checksum sent with them; send them again"
                )
        except BaseException as error:
            all_or_none = checksum is not None or isinstance(error, TooLarge)
            if all_or_none:
                await asyncio.shield(asyncio.to_thread(writer.rewind, start))
                digest = before
            if digest is not None and (all_or_none or start + inlet.hashed == writer.offset):
                self.digests.keep(transfer, writer.offset, digest)
            await asyncio.shield(self._broken_off(transfer, writer, error, sender))
            raise
        await self._expecting.progress(transfer, total)
        if digest is not None:
            self.digests.keep(transfer, writer.offset, digest)
        return digest

    async def keep(self, transfer: Transfer, writer: PartWriter) -> datetime:
        """Have what was written last, and note it; until when it will be kept."""
        await asyncio.to_thread(writer.sync)
        until = kept_until()
        await self._transfers.note(transfer, writer.offset, until)
        return until

    async def _broken_off(
        self, transfer: Transfer, writer: PartWriter, error: BaseException, sender: Sender
    ) -> None:
        await self.keep(transfer, writer)
        reason = _reason(error)
        if reason:
            await self._expecting.interrupted(transfer, reason, sender.actor)

    async def _watch(self, transfer: Transfer, inlet: Inlet, sender: Sender, total: int) -> None:
        checked = time.monotonic()
        while True:
            await asyncio.sleep(PROGRESS_S)
            await inlet.flush()  # of a slow sender, too, what has come is there
            await self._expecting.progress(transfer, total)
            now = time.monotonic()
            if now - inlet.heard_at > RECEIVE_SILENCE_S:
                raise ClientDisconnect
            if now - checked < CHECK_S:
                continue
            checked = now
            if await self._redis.get(_wanted(transfer)):
                raise Locked("another connection goes on with this upload")
            await _check_right(sender)
            if transfer.machine:
                await self._expecting.wake(transfer, sender.actor)


def kept_until() -> datetime:
    """Until when what was sent now can be resumed."""
    return datetime.now(UTC) + timedelta(seconds=KEEP_S)


def check_offset(writer: PartWriter, offset: int) -> None:
    """Raises Clash where the client goes on from elsewhere than the part ends."""
    if offset != writer.offset:
        raise Clash(
            f"the next byte of this upload is {writer.offset}, not {offset}; ask where to go on",
            code="upload.offset",
        )


async def _check_right(sender: Sender) -> None:
    if not await sender.may():
        raise Denied("your right to add to this case has ended", code="access.ended")


def _wanted(transfer: Transfer) -> str:
    return f"receiving:{transfer.id}"


def _reason(error: BaseException) -> str:
    """What the users read on the paused upload; nothing where it has not paused."""
    match error:
        case ClientDisconnect():
            return "the connection ended before the last byte"
        case asyncio.CancelledError():
            return "the server stopped before the last byte"
        case Denied():
            return "the sender's right to add to this case has ended"
        case NoRoom():
            return str(error)
    return ""
