"""Files that clients send straight to the S3 store: which parts are wanted, and when all are there.

The upload machine is told of each step, as if the bytes came through this server. A client asks for
the parts that are missing, puts them to the addresses it is given, and asks again until none is.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from typing_extensions import TypedDict

from machines.snapshot import Snapshot
from machines.topics import case_of
from server.ending import pass_on_cancellation
from server.engine import Engine
from server.errors import Clash, Missing, TooLarge
from storage.parts_s3 import PREFIX, AnotherFile, Multipart, Multiparts, NotWhole
from storage.s3_place import KeyMissing
from storage.transfers import KEEP_S, Transfer, Transfers

logger = logging.getLogger(__name__)

PAGE = 24
"""Parts that a client is given addresses for at once."""

SWEEP_EVERY_S = 3600.0
SWEEP_AGE_S = 2 * 86_400.0
"""A machine gives up an upload on which nothing has happened for a day."""

_BUSY = frozenset({"receiving", "paused", "assembling"})


class PartUrl(TypedDict):
    """A part that is missing: bytes `start`..`end` (exclusive) of the file, to be PUT to `url` unchanged."""

    number: int
    start: int
    end: int
    url: str


class PartPage(TypedDict):
    """What is there of a file, and the first parts that are missing; none when all are there.

    Addresses are good for an hour. Ask again at least every two minutes, so that the upload is known
    to go on.
    """

    received: int
    parts: list[PartUrl]


class DirectUploads:
    """Uploads of clients that reach the store themselves."""

    def __init__(
        self, engine: Engine, multiparts: Multiparts, transfers: Transfers, *, max_bytes: int
    ) -> None:
        self._engine = engine
        self._multiparts = multiparts
        self._transfers = transfers
        self._max_bytes = max_bytes

    async def wanted(self, upload: Snapshot, size: int, actor: str) -> PartPage:
        """Begin or go on: the parts that are missing.

        Raises:
            TooLarge: The file is larger than accepted.
            OverQuota: It does not fit into what its person or its case may hold.
            Clash: The upload does not wait for content, or began with another size.
        """
        if size > self._max_bytes:
            reason = f"the file is larger than {self._max_bytes} bytes, the most that is accepted"
            raise TooLarge(reason, code="upload.too_large")
        states = await self._waiting(upload)
        await self._count(upload, size, actor)
        multipart, whole = await self._begun(upload, size)
        spans = multipart.spans()
        received = sum(end - start for number, start, end in spans if number in whole)
        if "paused" in states:
            await self._tell(upload, "resumed", {"received": received}, actor)
        else:
            await self._tell(upload, "receiving_on", {"received": received}, actor)
        progress = {"stage": "receiving", "done": received, "total": size, "unit": "bytes"}
        await self._engine.publish(upload.topic, upload.id, "progress", progress)
        missing = [span for span in spans if span[0] not in whole][:PAGE]
        parts: list[PartUrl] = [
            {"number": number, "start": start, "end": end, "url": self._multiparts.url(multipart, number)}
            for number, start, end in missing
        ]
        return {"received": received, "parts": parts}

    async def complete(self, upload: Snapshot, actor: str) -> int:
        """All parts are there: have them put together, and tell the machine; returns the bytes.

        Raises:
            Clash: Parts are missing, or the upload does not wait for content.
            Missing: Nothing of it was begun.
        """
        multipart = await self._multiparts.find(upload.id)
        if multipart is None:
            raise Missing("nothing of this file was sent to the store")
        current = await self._engine.load(upload.id)
        if current is not None and current.context["parts"] == multipart.name:
            return multipart.bytes  # a repeat
        states = await self._waiting(upload)
        try:
            await self._multiparts.complete(multipart)
        except NotWhole as error:
            raise Clash(str(error), code="upload.incomplete") from error
        except KeyMissing as error:
            await self._multiparts.drop(upload.id)
            raise Clash("the store has forgotten it; send it anew", code="upload.incomplete") from error
        if "paused" in states:
            await self._tell(upload, "resumed", {"received": multipart.bytes}, actor)
        await self._tell(upload, "gathered", {"parts": multipart.name, "bytes": multipart.bytes}, actor)
        return multipart.bytes

    async def abort(self, upload: Snapshot) -> None:
        """Forget the parts that were sent; the machine waits on, or is cancelled by its own event.

        Raises:
            Clash: The upload does not wait for content.
        """
        await self._waiting(upload)
        await self._multiparts.drop(upload.id)
        await self._transfers.drop(_counted(upload))

    async def run(self) -> None:
        """Sweep every hour until cancelled.

        Raises:
            BlobsUnavailable, Unavailable: The store or the machines' does not answer.
        """
        while True:
            pass_on_cancellation()
            await self.sweep()
            await asyncio.sleep(SWEEP_EVERY_S)

    async def sweep(self, age_s: float = SWEEP_AGE_S) -> int:
        """Forget what belongs to uploads that do not need it any more; returns how many."""
        swept = 0
        for machine in await self._multiparts.older(age_s):
            if not _needs_parts(await self._engine.load(machine)):
                swept += await self._multiparts.drop(machine)
        if swept:
            logger.info("Abandoned uploads were ended.", extra={"action": "multipart.sweep", "swept": swept})
        return swept

    async def _count(self, upload: Snapshot, size: int, actor: str) -> None:
        """Note once that it takes so much of what its person and its case may hold."""
        until = datetime.now(UTC) + timedelta(seconds=KEEP_S)
        new = Transfer(
            id=_counted(upload),
            case_id=case_of(upload.topic),
            user_id=actor,
            topic=upload.topic,
            machine=upload.id,
            kind="whole",
            expires_at=until,
            length=size,
            state="taken",  # so that nobody goes on with it here
        )
        there = await self._transfers.add(new)
        if there.state == "gone" or there.length != size:
            await self._transfers.add(new, anew=True)

    async def _begun(self, upload: Snapshot, size: int) -> tuple[Multipart, set[int]]:
        try:
            multipart = await self._multiparts.begin(upload.id, size)
            try:
                return multipart, set(await self._multiparts.whole_parts(multipart))
            except KeyMissing:  # the store has ended it, as some do after a day
                await self._multiparts.drop(upload.id)
                return await self._multiparts.begin(upload.id, size), set()
        except AnotherFile as error:
            raise Clash(
                "this upload began with a file of another size; choose that one, or cancel it",
                code="upload.other_file",
            ) from error

    async def _waiting(self, upload: Snapshot) -> list[str]:
        current = await self._engine.load(upload.id)
        states = current.configuration if current else []
        if not {"receiving", "paused"} & set(states):
            raise Clash("this upload does not wait for content", code="upload.not_receiving")
        return states

    async def _tell(self, upload: Snapshot, event: str, data: dict[str, Any], actor: str) -> None:
        await self._engine.send(upload.id, event, data, source="handler", actor=actor)


def _counted(upload: Snapshot) -> str:
    return f"s3-{upload.id}"


def _needs_parts(upload: Snapshot | None) -> bool:
    """Whether a machine waits for the rest, or may yet have the whole stored."""
    if upload is None:
        return False
    mine = str(upload.context["parts"]).startswith(PREFIX) and not upload.context["sha256"]
    return mine or bool(_BUSY & set(upload.configuration))
