"""Uploads from their creation to the moment their machine knows that all bytes are there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from redis.asyncio import Redis

from machines.errors import StepError
from machines.event import Role
from server.appending import Appending, Body, check_offset, kept_until
from server.engine import Engine
from server.errors import Clash, Denied, Full, Invalid, Locked, Malformed, TooLarge
from server.expecting import Expecting
from server.handing_over import HandingOver, ended
from server.pouring import Sender
from server.tus import Checksum, Concat, Details
from storage.arrivals import Arrivals
from storage.blobs import Blobs
from storage.machine_store import new_machine_id
from storage.parts import PartStore, PartWriter
from storage.transfers import Transfer, Transfers


@dataclass(frozen=True)
class Asked:
    """An upload as its client asks for it.

    Attributes:
        id: What it will be called; the same for a repeat of the same request.
        length: In bytes; None while it is not known.
    """

    id: str
    case: str
    user: str
    role: Role
    length: int | None
    details: Details
    concat: Concat


@dataclass(frozen=True)
class Standing:
    """How a transfer stands: `offset` bytes are there for good."""

    transfer: Transfer
    offset: int

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return self.offset == self.transfer.length


class Uploading:
    """Takes in files, whole or in parts, for all server processes that share a data folder.

    Args:
        max_bytes: Largest file.
        shards: As the engine's.
    """

    def __init__(
        self,
        engine: Engine,
        parts: PartStore,
        blobs: Blobs,
        arrivals: Arrivals,
        transfers: Transfers,
        redis: Redis,
        *,
        max_bytes: int,
        shards: int,
    ) -> None:
        self.transfers = transfers
        self._engine = engine
        self._parts = parts
        self._max_bytes = max_bytes
        self._shards = shards
        self._expecting = Expecting(engine, parts)
        self._handing = HandingOver(parts, blobs, arrivals, transfers, self._expecting)
        self._appending = Appending(parts, transfers, self._expecting, redis)

    async def create(self, asked: Asked) -> Transfer:
        """Note an upload and spawn its machine, or find the one that the same request has made.

        A `partial` one has a machine only if it names one; a `final` one is handed over at once.

        Raises:
            TooLarge, OverQuota, Full: There is no room for it, or too little.
            Invalid: It is empty.
            Missing, Clash: The machine that it names is not there, or does not wait.
            UnfitPieces: What it joins cannot be joined.
            StepError: No machine can be spawned for it.
        """
        details, kind = asked.details, asked.concat.kind
        if kind == "final":
            earlier = await self.transfers.joined(asked.concat.pieces)
            if earlier is not None and earlier.case_id == asked.case and earlier.state != "open":
                return earlier  # the answer was lost, and its machine waits for nothing any more
        topic, machine = details.topic or f"case:{asked.case}", details.machine
        if machine:
            topic = (await self._expecting.of_case(machine, asked.case)).topic
        new = Transfer(
            id=asked.id,
            case_id=asked.case,
            user_id=asked.user,
            topic=topic,
            machine=machine or ("" if kind == "partial" else new_machine_id("upload", topic, self._shards)),
            kind="final" if kind == "final" else "partial" if kind == "partial" else "whole",
            expires_at=kept_until(),
            length=asked.length,
            details=details.told,
            fingerprint=details.fingerprint,
            sha256=details.sha256,
            pieces=list(asked.concat.pieces),
        )
        if kind == "final":
            there = await self.transfers.join(new)
            self._check_size(there.length)
        else:
            self._check_size(asked.length)
            if asked.length == 0 and kind == "whole":
                raise await self._empty(new, named=bool(machine))
            await self._check_room(asked.length or 0)
            there = await self.transfers.add(new)
        if there.machine and not machine and there.state == "open":
            await self._spawn(there, asked)
        if machine and kind == "whole":
            await self._forget(await self.transfers.drop_of(machine, but=[there.id]))
        if kind == "final" and there.state == "open":
            await self._handing.hand_over(there, asked.user)
            if machine:
                await self._forget(await self.transfers.drop_of(machine, but=[there.id, *there.pieces]))
        return there

    async def look(self, transfer: Transfer, actor: str) -> Standing:
        """Where a transfer is to be gone on with; its own earlier connection is broken off.

        Raises:
            Gone: It has ended.
            Locked: Its earlier connection does not end.
        """
        _check_there(transfer)
        if transfer.state == "open" and transfer.kind != "final":
            async with self._appending.writing(transfer) as writer:
                transfer = await self._still_open(transfer, writer)
                if transfer.state == "open":
                    if writer.offset:
                        await asyncio.to_thread(writer.sync)
                    offset = await self._handing.settle(transfer, writer, None, actor)
                    return Standing(transfer, offset)
        _check_there(transfer)
        assert transfer.length is not None
        return Standing(transfer, transfer.length)

    async def append(
        self,
        transfer: Transfer,
        offset: int,
        stream: AsyncIterator[bytes],
        sender: Sender,
        *,
        declared: int | None,
        length: int | None = None,
        checksum: Checksum | None = None,
    ) -> Standing:
        """Write a body behind the first `offset` bytes; after the last byte the machine goes on.

        Args:
            declared: Content-Length; None where the sender gives none.
            length: Of the whole, from a client that could not tell before.

        Raises:
            Denied: What joins others takes no bytes; or as `Appending.append`, which has more.
            Clash: It is at another offset, or has all its bytes.
            Malformed: `length` is another one than before, or less than what is there.
            Invalid: What arrived is not the file that was announced; its machine has failed.
        """
        if transfer.kind == "final":
            raise Denied("what is joined from parts takes no bytes itself", code="upload.final")
        async with self._appending.writing(transfer) as writer:
            transfer = await self._still_open(transfer, writer)
            _check_there(transfer)
            if transfer.state == "taken":
                raise Clash("this upload has all its content", code="upload.complete")
            check_offset(writer, offset)
            if length is not None:
                transfer = await self._fix_length(transfer, writer.offset, length)
            body = await self._body(transfer, writer.offset, stream, declared, checksum)
            digest = await self._appending.append(transfer, writer, body, sender)
            if writer.offset != transfer.length or digest is None:
                until = await self._appending.keep(transfer, writer)
                transfer = replace(transfer, expires_at=until)
            return Standing(transfer, await self._handing.settle(transfer, writer, digest, sender.actor))

    async def put(
        self, machine: str, case: str, stream: AsyncIterator[bytes], declared: int | None, sender: Sender
    ) -> tuple[str, int]:
        """Take a whole file in one body, for a machine that waits for it; nothing is kept of half a file.

        Returns:
            SHA-256 and size in bytes; the content is stored for good.

        Raises:
            Clash: Somebody else is sending, or the upload does not wait.
            TooLarge, Invalid: Too many bytes, or none; the machine has failed with that reason.
            OverQuota, Full: There is no room for it.
            Denied, NoRoom, ClientDisconnect: As `Appending.append`; the machine is paused.
        """
        snapshot = await self._expecting.of_case(machine, case)
        transfer = Transfer(
            f"put-{machine}", case, sender.actor, snapshot.topic, machine, "whole", kept_until(), declared
        )
        if await asyncio.to_thread(self._parts.being_written, transfer.group):
            raise _busy()
        try:
            self._check_size(declared)
            await self._check_room(declared or 0)
            async with self._appending.writing(transfer, patient=False) as writer:
                await asyncio.to_thread(writer.rewind, 0)
                transfer = await self.transfers.add(transfer, anew=True)
                try:
                    await self._forget(await self.transfers.drop_of(machine, but=[transfer.id]))
                    body = await self._body(transfer, 0, stream, declared, None)
                    digest = await self._appending.append(transfer, writer, body, sender)
                    assert digest is not None
                    if not writer.offset:
                        raise Invalid("the file is empty", code="upload.empty")
                    await self._handing.store(transfer, digest, sender.actor)
                    return digest.hexdigest(), writer.offset
                finally:
                    await asyncio.shield(self._leave_nothing(transfer))
        except Locked:
            raise _busy() from None
        except Invalid as error:
            await self._expecting.refused(transfer, str(error), sender.actor)
            raise

    async def terminate(self, transfer: Transfer, actor: str, role: Role) -> None:
        """End an upload for good, and its machine with it; of a piece, only the piece.

        Raises:
            NotAllowed: Its machine cannot be cancelled any more: the file is evidence.
        """
        _check_there(transfer)
        if transfer.machine and transfer.kind != "partial":
            await self._engine.send(transfer.machine, "cancel", {}, source="client", actor=actor, role=role)
        await self.transfers.drop(transfer.id)
        await asyncio.to_thread(self._parts.delete, transfer.place)

    async def _spawn(self, transfer: Transfer, asked: Asked) -> None:
        data = {
            "filename": asked.details.filename,
            "bytes": transfer.length or 0,
            "parent": asked.details.parent,
        }
        try:
            await self._engine.spawn(
                "upload", transfer.topic, data, source="client", actor=asked.user, role=asked.role,
                event_id=f"transfer:{transfer.id}", machine=transfer.machine,
            )  # fmt: skip
        except StepError:
            await self.transfers.drop(transfer.id)
            raise

    async def _still_open(self, transfer: Transfer, writer: PartWriter) -> Transfer:
        """The transfer as it is now that nobody else writes to it."""
        if writer.offset:
            return transfer
        now = await self.transfers.get(transfer.id)
        if now.state != "open":  # its bytes were taken before the part could be opened, which made it anew
            await asyncio.to_thread(self._parts.delete, transfer.place)
        return now

    async def _fix_length(self, transfer: Transfer, offset: int, length: int) -> Transfer:
        if transfer.length is None:
            if length < offset:
                raise Malformed(f"Upload-Length is {length}, but {offset} bytes are there already")
            self._check_size(length)
            transfer = await self.transfers.set_length(transfer, length)
        if transfer.length != length:
            raise Malformed(f"Upload-Length is {transfer.length}, and cannot be changed to {length}")
        return transfer

    async def _body(
        self,
        transfer: Transfer,
        offset: int,
        stream: AsyncIterator[bytes],
        declared: int | None,
        checksum: Checksum | None,
    ) -> Body:
        """The body with how much of it there may be."""
        await self._check_room(declared or 0)
        if transfer.length is not None:
            too_large = f"the upload was announced with {transfer.length} bytes, and more arrived"
            return Body(stream, declared, transfer.length - offset, too_large, checksum)
        most, too_large = self._max_bytes - offset, str(self._too_large())
        room = await self.transfers.room_for(transfer)
        if room is not None and room < most:
            most, too_large = room, f"only {room} more bytes fit into the quota; ask for more room"
        return Body(stream, declared, most, too_large, checksum)

    async def _leave_nothing(self, transfer: Transfer) -> None:
        await asyncio.to_thread(self._parts.delete, transfer.place)
        await self.transfers.drop(transfer.id)

    async def _forget(self, transfers: list[Transfer]) -> None:
        for transfer in transfers:
            await asyncio.to_thread(self._parts.delete, transfer.place)

    async def _empty(self, transfer: Transfer, *, named: bool) -> Invalid:
        error = Invalid("the file is empty", code="upload.empty")
        if named:
            await self._expecting.refused(transfer, str(error), transfer.user_id)
        return error

    def _check_size(self, length: int | None) -> None:
        if length is not None and length > self._max_bytes:
            raise self._too_large()

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the file is larger than {self._max_bytes} bytes, the most that is accepted",
            code="upload.too_large",
        )

    async def _check_room(self, length: int) -> None:
        free = await asyncio.to_thread(self._parts.free_bytes)
        if length > free:
            raise Full(
                f"the server's disk has room for {free} more bytes, and {length} are needed: "
                "make room there, then try again"
            )


def _check_there(transfer: Transfer) -> None:
    if transfer.state == "gone" or (
        transfer.state == "open" and transfer.expires_at.timestamp() < time.time()
    ):
        raise ended()


def _busy() -> Clash:
    return Clash("this file is being sent on another connection", code="upload.busy")
