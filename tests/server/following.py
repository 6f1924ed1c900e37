"""A subscriber as a client is one: applies what it gets, notes what it gets twice or out of order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from machines.event import Role
from server.hub import Hub, Since
from server.published import for_role
from server.subscription import Subscription
from tests.patience import PATIENCE_S


class View:
    """The machines of a topic as a role sees them, from a first answer and what follows it."""

    def __init__(self, first: Mapping[str, Any], role: Role = "owner") -> None:
        self.role: Role = role
        self.machines: dict[str, dict[str, Any]] = {}
        self.offsets: list[int] = []
        self.snapshots = 0
        self.epoch: str = first["epoch"]
        self.offset: int = first["offset"] if not first["recovered"] else 0
        if first["recovered"]:
            for entry in first["entries"]:
                self.apply(entry)
        else:
            self._begin(for_role(first, role))

    def apply(self, message: Mapping[str, Any]) -> None:
        """As the wire demands: the next offset of the same epoch, or a whole snapshot."""
        seen = for_role(message, self.role)
        if seen["type"] == "snapshot":
            self.snapshots += 1
            self._begin(seen)
        elif seen["type"] == "entry":
            assert seen["epoch"] == self.epoch
            self.offset = seen["offset"]
            self.offsets.append(seen["offset"])
            if seen["gone"]:
                self.machines.pop(seen["machine"], None)
                return
            old = self.machines.get(seen["machine"], {"context": {}})
            context = {**old["context"], **seen["context"]}
            self.machines[seen["machine"]] = {
                "machine": seen["machine"],
                "kind": seen["kind"],
                "topic": seen["topic"],
                "revision": seen["revision"],
                "configuration": seen["to"],
                "context": {k: v for k, v in context.items() if k not in seen["removed"]},
                "allowed": seen["allowed"],
                "terminated": seen["terminated"],
                "updated_at": seen["at"],
            }

    def _begin(self, snapshot: Mapping[str, Any]) -> None:
        self.epoch, self.offset = snapshot["epoch"], snapshot["offset"]
        self.machines = {machine["machine"]: machine for machine in snapshot["machines"]}

    @property
    def since(self) -> Since:
        return Since(self.epoch, self.offset)


async def follow(
    subscription: Subscription, view: View, *, until: int, timeout_s: float = PATIENCE_S
) -> View:
    """Apply what comes until an offset is reached."""
    async with asyncio.timeout(timeout_s):
        while view.offset < until:
            view.apply(await anext(subscription))
    return view


async def fresh(hub: Hub, topic: str, role: Role = "owner") -> View:
    """The topic as a subscriber without a past sees it."""
    subscription = await hub.subscribe(topic)
    view = View(subscription.first, role)
    while subscription.waiting:
        view.apply(await anext(subscription))
    subscription.close()
    return view
