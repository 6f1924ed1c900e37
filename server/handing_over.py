"""The moment at which all bytes of an upload are there: their machine is told, once, and they are taken."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

from machines.errors import NotAllowed
from server.errors import Gone, Invalid
from server.expecting import Expecting
from storage.arrivals import Arrivals, Arriving
from storage.blobs import Blobs
from storage.departed import Departed
from storage.parts import PartStore, PartWriter
from storage.transfers import Transfer, Transfers


class HandingOver:
    """Stores what is hashed already, and leaves the rest to a worker.

    A process that dies at any point leaves what the next one finds: the address is noted before the
    bytes move there, and the machine is told under an event id that counts once.
    """

    def __init__(
        self,
        parts: PartStore,
        blobs: Blobs,
        arrivals: Arrivals,
        transfers: Transfers,
        expecting: Expecting,
    ) -> None:
        self._parts = parts
        self._blobs = blobs
        self._arrivals = arrivals
        self._transfers = transfers
        self._expecting = expecting

    async def settle(
        self, transfer: Transfer, writer: PartWriter, digest: hashlib._Hash | None, actor: str
    ) -> int:
        """How many bytes are there; if that is all of a whole file, its machine is told.

        Args:
            digest: SHA-256 of what is there; None where it is not known.

        Raises:
            Invalid: It is not the file that was announced; its machine has failed.
            Gone, Clash: The machine does not wait for it any more.
        """
        if transfer.kind != "whole" or transfer.length is None:
            return writer.offset
        stored = transfer.stored != "" and await asyncio.to_thread(self._blobs.exists, transfer.stored)
        if stored:  # a process died between storing the bytes and telling the machine
            await self._received(transfer, transfer.stored, transfer.length, actor)
            await asyncio.to_thread(self._parts.delete, transfer.place)
            return transfer.length
        if writer.offset == transfer.length:
            if digest is None:
                await self.hand_over(transfer, actor)
            else:
                await self.store(transfer, digest, actor)
        return writer.offset

    async def store(self, transfer: Transfer, digest: hashlib._Hash, actor: str) -> None:
        """Move the bytes, whose hash is known, to their address.

        Raises:
            Invalid, Gone, Clash: As `settle`.
        """
        sha256 = digest.hexdigest()
        if transfer.sha256 not in ("", sha256):
            reason = mismatch(transfer.sha256, sha256)
            await self._expecting.refused(transfer, reason, actor)
            raise Invalid(reason, code="upload.mismatch")
        await self._transfers.note_stored(transfer.id, sha256)
        try:
            await self._arrivals.expect(Arriving(transfer.machine, transfer.case_id), sha256)
        except Departed:
            raise ended() from None
        path = await asyncio.to_thread(self._parts.path, transfer.place)
        try:
            size = (await asyncio.to_thread(path.stat)).st_size
            await asyncio.to_thread(self._blobs.take, path, sha256)
        except FileNotFoundError:
            raise ended() from None
        try:
            await self._received(transfer, sha256, size, actor)
        except Gone:  # cancelled meanwhile: what it needed then was dropped, this came later
            await self._arrivals.leave(transfer.machine)
            await self._arrivals.clear(sha256)
            raise

    async def hand_over(self, transfer: Transfer, actor: str) -> None:
        """Have a worker put the bytes together and hash them.

        Raises:
            Gone, Clash: As `settle`.
        """
        data = {"parts": transfer.id, "bytes": transfer.length}
        await self._tell(transfer, "gathered", data, actor)

    async def _received(self, transfer: Transfer, sha256: str, size: int, actor: str) -> None:
        await self._tell(transfer, "received", {"sha256": sha256, "bytes": size}, actor)

    async def _tell(self, transfer: Transfer, event: str, data: Mapping[str, Any], actor: str) -> None:
        try:
            await self._expecting.tell(transfer, event, data, actor, once=True)
        except NotAllowed:  # it may only have paused
            await self._expecting.wake(transfer, actor)
            await self._expecting.tell(transfer, event, data, actor, once=True)
        await self._transfers.take(transfer.id)


def mismatch(announced: str, found: str) -> str:
    """The sentence for a file that is another one than its sender said."""
    return (
        f"the file that arrived is not the one announced: its SHA-256 is {found}, not {announced}; "
        "send it again"
    )


def ended() -> Gone:
    """For whoever asks for an upload that takes nothing more."""
    return Gone("this upload has ended: it was cancelled, replaced, or not resumed in time; begin it anew")
