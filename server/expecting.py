"""An upload machine while its bytes come in: woken, kept awake, told how far it is and how it ended."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from machines.errors import NotAllowed
from machines.snapshot import Snapshot
from machines.topics import case_of
from server.engine import Engine
from server.errors import Clash, Gone, Missing
from storage.parts import PartStore
from storage.transfers import Transfer

PROGRESS_S = 0.25
"""Least time between two reports of progress of one machine."""

SIGN_OF_LIFE_S = 60.0
"""Between two `receiving_on`: well below the silence after which the machine pauses."""

_MANY = 10_000
"""Machines whose last report is remembered."""

_TRIES = 3


class Expecting:
    """Tells upload machines; several parts of one upload may come in at once, through any process."""

    def __init__(self, engine: Engine, parts: PartStore) -> None:
        self._engine = engine
        self._parts = parts
        self._told_at: OrderedDict[str, float] = OrderedDict()

    async def of_case(self, machine: str, case: str) -> Snapshot:
        """An upload of a case that waits for its bytes.

        Raises:
            Missing: There is no such upload in the case.
            Clash: It does not wait (any more).
        """
        snapshot = await self._engine.load(machine)
        if snapshot is None or snapshot.kind != "upload" or case_of(snapshot.topic) != case:
            raise Missing("there is no such upload")
        if not {"receiving", "paused"} & set(snapshot.configuration):
            raise Clash("this upload does not wait for content", code="upload.not_receiving")
        return snapshot

    async def wake(self, transfer: Transfer, actor: str) -> int:
        """Have the machine wait for bytes, and tell it now and then that they come; its size in bytes.

        Raises:
            Gone: It was cancelled, has failed, or is not there any more.
            Clash: It has all its bytes.
        """
        for _ in range(_TRIES):
            snapshot = await self._engine.load(transfer.machine)
            states = snapshot.configuration if snapshot else ["cancelled"]
            try:
                if "paused" in states:
                    await self.tell(transfer, "resumed", {"received": await self.received(transfer)}, actor)
                elif "receiving" not in states:
                    raise _not_expected(states)
                elif snapshot is not None and time.time() - snapshot.updated_at > SIGN_OF_LIFE_S:
                    await self.tell(
                        transfer, "receiving_on", {"received": await self.received(transfer)}, actor
                    )
                return int(snapshot.context["bytes"]) if snapshot else 0
            except NotAllowed:  # something else happened to it in between
                continue
        raise Clash("this upload is changing too fast; try again", code="upload.not_receiving")

    async def interrupted(self, transfer: Transfer, reason: str, actor: str) -> None:
        """Pause the machine, unless another of its parts is still coming in or it does not wait."""
        if not transfer.machine or await asyncio.to_thread(
            self._parts.being_written, transfer.group, but=transfer.id
        ):
            return
        data = {"reason": reason, "received": await self.received(transfer)}
        try:
            await self.tell(transfer, "interrupted", data, actor)
        except NotAllowed:
            return

    async def refused(self, transfer: Transfer, reason: str, actor: str) -> None:
        """Have the machine fail, unless it does not wait any more."""
        try:
            await self.tell(transfer, "refused", {"reason": reason}, actor)
        except NotAllowed:
            return

    async def received(self, transfer: Transfer) -> int:
        """Bytes that are there of all parts of the upload."""
        return await asyncio.to_thread(self._parts.received, transfer.group)

    async def progress(self, transfer: Transfer, total: int) -> None:
        """Show how far the upload is, four times a second at most."""
        now = time.monotonic()
        if now - self._told_at.get(transfer.machine, -PROGRESS_S) < PROGRESS_S or not transfer.machine:
            return
        self._told_at[transfer.machine] = now
        self._told_at.move_to_end(transfer.machine)
        if len(self._told_at) > _MANY:
            self._told_at.popitem(last=False)
        data = {
            "stage": "receiving", "done": await self.received(transfer), "total": total, "unit": "bytes"
        }  # fmt: skip
        await self._engine.publish(transfer.topic, transfer.machine, "progress", data)

    async def tell(
        self, transfer: Transfer, event: str, data: Mapping[str, Any], actor: str, *, once: bool = False
    ) -> None:
        """Send the machine an event; with `once` only the first time for this transfer.

        Raises:
            StepError: It does not take the event now.
        """
        event_id = f"transfer:{transfer.id}:{event}" if once else None
        await self._engine.send(
            transfer.machine, event, data, source="handler", actor=actor, event_id=event_id
        )


def _not_expected(states: list[str]) -> Gone | Clash:
    if {"cancelled", "failed", "deleted"} & set(states):
        return Gone("this upload was cancelled or has failed; upload the file again")
    return Clash("this upload has all its content", code="upload.complete")
