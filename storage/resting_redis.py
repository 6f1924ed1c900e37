"""Machines that rest outside of Redis until something happens to them."""

from __future__ import annotations

from secrets import token_hex
from typing import Any

from machines.snapshot import Snapshot
from machines.step import Step
from storage.keys import shard_keys, topic_keys
from storage.leaving_redis import LOG_ENTRIES
from storage.machine_store import shard_of, shard_of_machine
from storage.outbox_redis import RedisOutbox
from storage.packing_redis import machine_in, packed_entry, packed_machine

_LEFT_S = 3600
"""How long it is remembered at which revision a machine left: longer than anybody takes to wake one."""


class RedisResting(RedisOutbox):
    """The part of `MachineStore` by which machines leave for a while."""

    _era: str

    async def load(self, machine: str) -> Snapshot | None:
        """See `MachineStore.load`."""
        key = shard_keys(shard_of_machine(machine)).machine + machine
        found = await self._call(key, "GET", key)
        return None if found is None else machine_in(found)

    async def rest(self, machine: str, revision: int) -> bool:
        """See `MachineStore.rest`."""
        last = await self.load(machine)
        if last is None or last.terminated or last.awaiting or last.timers or last.revision != revision:
            return False
        gone = Step(snapshot=last, before=last.configuration, event="gone")
        entry = packed_entry(gone, "system", gone=True)
        return bool(await self._moved("rest", last, entry, _LEFT_S))

    async def wake(self, snapshot: Snapshot) -> bool:
        """See `MachineStore.wake`."""
        woken = Step(snapshot=snapshot, changed=snapshot.context, event="woken")
        return bool(
            await self._moved("wake", snapshot, packed_entry(woken, "system"), packed_machine(snapshot))
        )

    async def live_in(self, topic: str) -> list[str]:
        """See `MachineStore.live_in`."""
        key = topic_keys(shard_of(topic, self._shards), topic).live
        return sorted(member.decode() for member in await self._call(key, "SMEMBERS", key))

    async def _moved(self, script: str, snapshot: Snapshot, entry: bytes, last: Any) -> Any:
        shard = shard_of_machine(snapshot.id)
        keys, topic = shard_keys(shard), topic_keys(shard, snapshot.topic)
        return await self._run(
            script,
            [
                keys.machine + snapshot.id,
                topic.position,
                topic.log,
                topic.live,
                keys.era,
                keys.resting + snapshot.id,
            ],
            [
                snapshot.revision,
                entry,
                snapshot.id,
                token_hex(4),
                self._era,
                topic.channel,
                LOG_ENTRIES,
                last,
            ],
        )
