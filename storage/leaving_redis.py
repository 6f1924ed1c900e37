"""What of a topic leaves Redis before its time: machines in any state, entries of its log, all of it."""

from __future__ import annotations

from secrets import token_hex

from machines.snapshot import Snapshot
from machines.step import Step
from storage.keys import shard_keys, topic_keys
from storage.machine_store import shard_of, shard_of_machine
from storage.outbox_redis import RedisOutbox
from storage.packing_redis import machine_in, packed_entry, timer_member

LOG_ENTRIES = 10_000


class RedisLeaving(RedisOutbox):
    """The part of `MachineStore` that takes away."""

    _era: str

    async def names(self, topic: str, kind: str) -> list[str]:
        """See `MachineStore.names`."""
        keys = topic_keys(shard_of(topic, self._shards), topic)
        live, finished = await self._each([("SMEMBERS", keys.live), ("ZRANGE", keys.finished, 0, -1)])
        begins = f"{kind}-".encode() if kind else b""
        return sorted({name.decode() for name in (*live, *finished) if name.startswith(begins)})

    async def purge(self, machine: str) -> None:
        """See `MachineStore.purge`."""
        keys = shard_keys(shard_of_machine(machine))
        while (found := await self._call(keys.machine, "GET", keys.machine + machine)) is not None:
            last: Snapshot = machine_in(found)
            if await self._purge(last):
                return

    async def _purge(self, last: Snapshot) -> bool:
        """Whether it has left; not if it has moved on meanwhile."""
        shard = shard_of_machine(last.id)
        keys, topic = shard_keys(shard), topic_keys(shard, last.topic)
        gone = Step(snapshot=last, before=last.configuration, event="gone")
        left = await self._run(
            "purge",
            [
                keys.machine + last.id,
                topic.position,
                topic.log,
                topic.live,
                topic.finished,
                keys.finished,
                keys.timers,
                keys.timer_events,
                keys.pending,
                keys.pending_at,
                keys.tries,
                *keys.events_of(last.id),
                keys.era,
            ],
            [
                last.revision,
                packed_entry(gone, "system", gone=True),
                last.id,
                token_hex(4),
                self._era,
                topic.channel,
                LOG_ENTRIES,
                len(last.timers),
                *(timer_member(last.id, key) for key in last.timers),
                *last.awaiting,
            ],
        )
        return bool(left)

    async def cut_log(self, topic: str) -> None:
        """See `MachineStore.cut_log`."""
        log = topic_keys(shard_of(topic, self._shards), topic).log
        await self._call(log, "XTRIM", log, "MAXLEN", 0)

    async def drop_topic(self, topic: str) -> None:
        """See `MachineStore.drop_topic`."""
        shard = shard_of(topic, self._shards)
        keys = topic_keys(shard, topic)
        for key in (keys.position, keys.log, keys.live, keys.finished):
            await self._call(key, "DEL", key)
        topics = shard_keys(shard).topics
        await self._call(topics, "SREM", topics, topic)
