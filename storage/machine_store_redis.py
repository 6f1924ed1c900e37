"""Machines in Redis: a commit is one script, and so is each read that must be of one moment."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from secrets import token_hex
from typing import Any

import orjson
from redis.asyncio import Redis

from machines.snapshot import Snapshot
from machines.step import Step
from storage.keys import shard_keys, topic_keys
from storage.leaving_redis import LOG_ENTRIES, RedisLeaving
from storage.listener_redis import RedisListener
from storage.machine_store import (
    Committed,
    Conflict,
    DueTimer,
    Log,
    TimerGone,
    TopicState,
    shard_of,
    shard_of_machine,
)
from storage.packing_redis import (
    digest_of,
    machine_in,
    packed_configuration,
    packed_effects,
    packed_entry,
    packed_machine,
    packed_timers,
    timer_in,
    timer_member,
)
from storage.resting_redis import RedisResting

FINISHED_IN_TOPIC = 500
REMEMBERED_S = 86_400
"""How long event ids are remembered at least; at most twice as long."""


class RedisMachineStore(RedisLeaving, RedisResting):
    """`MachineStore` on a Redis of version 6.2 or newer, or a cluster of them.

    Args:
        redis: A client whose replies are bytes.
        shards: Into how many hash tags topics are spread; never changes for an instance.
        era: Second half of every epoch in a Redis where `storage.era` has settled none; one that
            it settles later holds at once, in every process.
    """

    def __init__(self, redis: Redis, *, shards: int, era: str) -> None:
        super().__init__(redis, shards=shards)
        self._era = era

    async def outcome_of(self, machine: str, event_id: str) -> Committed | None:
        """See `MachineStore.outcome_of`."""
        keys = shard_keys(shard_of_machine(machine))
        found = await self._run(
            "outcome", [*keys.events_of(machine), keys.configurations], [digest_of(event_id)]
        )
        return None if found is None else _first_outcome(found)

    async def commit(
        self, step: Step, *, event_id: str, actor: str, timer: DueTimer | None = None
    ) -> Committed:
        """See `MachineStore.commit`."""
        keys, args = self.packed(step, event_id=event_id, actor=actor, timer=timer)
        reply = await self._run("commit", keys, args)
        after = step.snapshot
        match reply:
            case [b"done", offset]:
                return Committed(int(offset), after.revision, after.configuration, False, len(args[2]))
            case [b"repeated", *first]:
                return _first_outcome(first)
            case [b"timer"]:
                raise TimerGone(f"{after.id} was given another time, or none, since its timer fired")
        _, revision, there = reply
        raise Conflict(
            f"{after.id} is at revision {int(revision)}, not {after.revision - 1}",
            there=None if there is None else machine_in(there),
        )

    def packed(
        self, step: Step, *, event_id: str, actor: str, timer: DueTimer | None = None
    ) -> tuple[tuple[str, ...], list[Any]]:
        """Keys and arguments of `commit.lua` for a step."""
        after = step.snapshot
        shard = shard_of_machine(after.id)
        keys, topic = shard_keys(shard), topic_keys(shard, after.topic)
        configuration = packed_configuration(after.configuration)
        names = _names(shard, after.id, after.topic)
        args: list[Any] = [
            after.revision - 1,
            after.revision,
            packed_machine(after),
            packed_entry(step, actor),
            digest_of(event_id),
            configuration.remembered,
            configuration.kept,
            after.id,
            after.topic,
            after.updated_at,
            "1" if after.terminated else "0",
            topic.channel,
            REMEMBERED_S,
            LOG_ENTRIES,
            self._era,
            "" if timer is None else timer_member(timer.machine, timer.key),
            "" if timer is None else timer.due,
        ]
        if not (step.timers or step.effects or step.settled or timer):
            args += (0, 0, 0)
            return names, args
        names = (*names, keys.timers, keys.timer_events)
        args += packed_timers(step)
        args += packed_effects(step)
        args.append(len(step.settled))
        args += step.settled
        if step.effects or step.settled:
            names = (*names, keys.pending, keys.pending_at, keys.tries, keys.outbox)
        return names, args

    async def read_topic(self, topic: str) -> TopicState:
        """See `MachineStore.read_topic`."""
        shard = shard_of(topic, self._shards)
        keys, of_topic = shard_keys(shard), topic_keys(shard, topic)
        epoch, offset, more, live, *packed = await self._run_apart(
            "read_topic",
            [of_topic.position, of_topic.live, of_topic.finished, keys.era],
            [token_hex(4), self._era, FINISHED_IN_TOPIC, keys.machine],
        )
        machines = [machine_in(machine) for machine in packed]
        machines[:live] = sorted(machines[:live], key=lambda machine: (machine.updated_at, machine.id))
        return TopicState(topic, epoch.decode(), int(offset), machines, more == b"1")

    async def read_log(self, topic: str, epoch: str, after: int) -> Log | None:
        """See `MachineStore.read_log`."""
        now, offset, found = await self._log(topic, epoch, after)
        if found is None:
            return None
        entries = [
            {"epoch": epoch, "offset": number} | orjson.loads(entry)
            for number, entry in enumerate(found, start=after + 1)
        ]
        return Log(now, offset, entries, [len(entry) for entry in found])

    async def position(self, topic: str) -> tuple[str, int]:
        """See `MachineStore.position`."""
        epoch, offset, _ = await self._log(topic, "", 0)
        return epoch, offset

    async def _log(self, topic: str, epoch: str, after: int) -> tuple[str, int, list[bytes] | None]:
        shard = shard_of(topic, self._shards)
        of_topic = topic_keys(shard, topic)
        now, offset, entries = await self._run_apart(
            "read_log",
            [of_topic.position, of_topic.log, shard_keys(shard).era],
            [token_hex(4), self._era, epoch, after],
        )
        return now.decode(), int(offset), entries

    def listen(self) -> RedisListener:
        """See `MachineStore.listen`."""
        return RedisListener(self._redis, shards=self._shards)

    async def publish(self, topic: str, message: dict[str, Any]) -> None:
        """See `MachineStore.publish`."""
        channel = topic_keys(shard_of(topic, self._shards), topic).channel
        await self._call(channel, "PUBLISH", channel, orjson.dumps(message))

    async def machines(self, kind: str | None = None, limit: int = 200) -> list[Snapshot]:
        """See `MachineStore.machines`."""
        found: list[Snapshot] = []
        for topic, at in reversed(await self.topics()):
            if len(found) >= limit and at < found[-1].updated_at:
                break  # nothing in it or in the topics after it has changed later
            state = await self.read_topic(topic)
            found += (machine for machine in state.machines if kind in (None, machine.kind))
            found.sort(key=lambda machine: (-machine.updated_at, machine.id))
            del found[limit:]
        return found

    async def changed_lately(self, topics: Sequence[str], *, after: float, limit: int) -> list[Snapshot]:
        """See `MachineStore.changed_lately`."""
        placed = [(shard_of(topic, self._shards), topic) for topic in topics]
        times = await self._each([("HGET", topic_keys(*each).position, "at") for each in placed])
        lately = [
            each for each, at in zip(placed, times, strict=True) if at is not None and float(at) > after
        ]
        logs = await self._each(
            [("XREVRANGE", topic_keys(*each).log, "+", "-", "COUNT", limit) for each in lately]
        )
        changed: dict[str, tuple[float, int]] = {}
        for (shard, _), found in zip(lately, logs, strict=True):
            for entry in (orjson.loads(fields[b"entry"]) for _, fields in found):
                if entry["at"] > after:
                    changed.setdefault(entry["machine"], (entry["at"], shard))
        newest = sorted(changed, key=lambda machine: (-changed[machine][0], machine))[:limit]
        packed = await self._each(
            [("GET", shard_keys(changed[machine][1]).machine + machine) for machine in newest]
        )
        return [machine_in(machine) for machine in packed if machine is not None]

    async def topics(self, *, changed_after: float = 0.0) -> list[tuple[str, float]]:
        """See `MachineStore.topics`."""
        of_shards = await self._each(
            [("SMEMBERS", shard_keys(shard).topics) for shard in range(self._shards)]
        )
        topics = [(shard, name.decode()) for shard, names in enumerate(of_shards) for name in names]
        times = await self._each([("HGET", topic_keys(*each).position, "at") for each in topics])
        found = [(name, float(at)) for (_, name), at in zip(topics, times, strict=True) if at is not None]
        return sorted(
            (each for each in found if each[1] > changed_after), key=lambda each: (each[1], each[0])
        )

    async def finished(self, *, before: float, limit: int) -> list[str]:
        """See `MachineStore.finished`."""
        found = await self._by_time("finished", "-inf", f"({before}", limit)
        return [machine for machine, _ in found]

    async def finished_in(self, topic: str, before: tuple[float, str] | None, limit: int) -> list[Snapshot]:
        """See `MachineStore.finished_in`."""
        shard = shard_of(topic, self._shards)
        keys, ended = shard_keys(shard), topic_keys(shard, topic).finished
        high, skipped, names = "+inf" if before is None else repr(before[0]), 0, dict[str, None]()
        while len(names) < limit:
            [found] = await self._each(
                [("ZREVRANGEBYSCORE", ended, high, "-inf", "WITHSCORES", "LIMIT", skipped, limit)]
            )
            members = [(float(at), member.decode()) for member, at in found]
            names |= dict.fromkeys(name for at, name in members if before is None or (at, name) < before)
            if len(members) < limit:
                break
            skipped += limit
        packed = await self._each([("GET", keys.machine + name) for name in list(names)[:limit]])
        return [machine_in(machine) for machine in packed if machine is not None]

    async def due_timers(self, now: float, *, limit: int) -> list[DueTimer]:
        """See `MachineStore.due_timers`."""
        found = await self._by_time("timers", "-inf", str(now), limit)
        shards = [shard_of_machine(member.partition("|")[0]) for member, _ in found]
        events = await self._each(
            [
                ("HGET", shard_keys(shard).timer_events, member)
                for shard, (member, _) in zip(shards, found, strict=True)
            ]
        )
        due: list[DueTimer] = []
        for shard, (member, at), event in zip(shards, found, events, strict=True):
            if event is not None:
                machine, _, key = member.partition("|")
                due.append(DueTimer(shard, machine, key, due=at, **timer_in(event)))
        return due

    async def drop_timer(self, timer: DueTimer) -> None:
        """See `MachineStore.drop_timer`."""
        keys = shard_keys(timer.shard)
        await self._run(
            "drop_timer",
            [keys.timers, keys.timer_events],
            [timer_member(timer.machine, timer.key), timer.due],
        )

    async def evict(self, machine: str) -> None:
        """See `MachineStore.evict`."""
        last = await self.load(machine)
        if last is None or not last.terminated:
            return
        shard = shard_of_machine(machine)
        keys, topic = shard_keys(shard), topic_keys(shard, last.topic)
        gone = Step(snapshot=last, before=last.configuration, event="gone")
        await self._run(
            "evict",
            [
                keys.machine + machine,
                topic.position,
                topic.log,
                topic.finished,
                keys.finished,
                keys.timers,
                keys.timer_events,
                keys.era,
            ],
            [
                last.revision,
                packed_entry(gone, "system", gone=True),
                machine,
                token_hex(4),
                self._era,
                topic.channel,
                LOG_ENTRIES,
                *(timer_member(machine, key) for key in last.timers),
            ],
        )

    async def _by_time(
        self, name: str, low: str, high: str, limit: int | None = None
    ) -> list[tuple[str, float]]:
        """Members of one of the shards' sorted sets by time, earliest first over all shards."""
        keys = [getattr(shard_keys(shard), name) for shard in range(self._shards)]
        bound = () if limit is None else ("LIMIT", 0, limit)
        found = await self._each([("ZRANGEBYSCORE", key, low, high, "WITHSCORES", *bound) for key in keys])
        members = [(member.decode(), float(at)) for of_shard in found for member, at in of_shard]
        return sorted(members, key=lambda each: (each[1], each[0]))[:limit]


@lru_cache(maxsize=4096)
def _names(shard: int, machine: str, topic: str) -> tuple[str, ...]:
    """The keys of every commit of a machine."""
    keys, of_topic = shard_keys(shard), topic_keys(shard, topic)
    return (
        *keys.events_of(machine),
        keys.machine + machine,
        of_topic.position,
        of_topic.log,
        keys.journal,
        of_topic.live,
        of_topic.finished,
        keys.finished,
        keys.topics,
        keys.era,
        keys.configurations,
    )


def _first_outcome(found: list[bytes | None]) -> Committed:
    """From what is remembered with an event id, and the configuration that it may only name."""
    remembered, *kept = found
    assert remembered is not None
    offset, revision, configuration = remembered.split(b" ", 2)
    if configuration.startswith(b"*"):
        [whole] = kept
        assert whole is not None, "what an event id names is never forgotten"
        configuration = whole
    return Committed(int(offset), int(revision), orjson.loads(configuration), repeated=True)
