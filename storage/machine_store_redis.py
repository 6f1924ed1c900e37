"""Machines in Redis: a commit is one script, and so is each read that must be of one moment."""

from __future__ import annotations

from secrets import token_hex
from typing import Any

import orjson
from redis.asyncio import Redis

from machines.effect import Effect
from machines.snapshot import Snapshot
from machines.step import Step
from storage.keys import shard_keys, topic_keys
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
from storage.outbox_redis import RedisOutbox

LOG_ENTRIES = 10_000
FINISHED_IN_TOPIC = 500
REMEMBERED_S = 86_400
"""How long event ids are remembered."""


class RedisMachineStore(RedisOutbox):
    """`MachineStore` on one Redis, of version 6.2 or newer.

    Args:
        redis: A client whose replies are bytes.
        shards: Into how many hash tags topics are spread; never changes for an instance.
        era: Second half of every epoch in a Redis where `storage.era` has settled none; one that
            it settles later holds at once, in every process.
    """

    def __init__(self, redis: Redis, *, shards: int, era: str) -> None:
        super().__init__(redis, shards=shards)
        self._era = era

    async def load(self, machine: str) -> Snapshot | None:
        """See `MachineStore.load`."""
        keys = shard_keys(shard_of_machine(machine))
        async with self._answered():
            found = await self._redis.hget(keys.snapshots, machine)
        return None if found is None else Snapshot.from_json(orjson.loads(found))

    async def outcome_of(self, machine: str, event_id: str) -> Committed | None:
        """See `MachineStore.outcome_of`."""
        key = shard_keys(shard_of_machine(machine)).event(machine, event_id)
        async with self._answered():
            found: Any = await self._redis.get(key)
        return None if found is None else _first_outcome(found)

    async def commit(
        self, step: Step, *, event_id: str, actor: str, timer: DueTimer | None = None
    ) -> Committed:
        """See `MachineStore.commit`."""
        reply = await self._run("commit", *self.packed(step, event_id=event_id, actor=actor, timer=timer))
        after = step.snapshot
        match reply:
            case [b"done", offset]:
                return Committed(int(offset), after.revision, after.configuration, repeated=False)
            case [b"repeated", first]:
                return _first_outcome(first)
            case [b"timer"]:
                raise TimerGone(f"{after.id} was given another time, or none, since its timer fired")
        raise Conflict(f"{after.id} is at revision {int(reply[1])}, not {after.revision - 1}")

    def packed(
        self, step: Step, *, event_id: str, actor: str, timer: DueTimer | None = None
    ) -> tuple[list[str], list[str | bytes | int | float]]:
        """Keys and arguments of `commit.lua` for a step."""
        after = step.snapshot
        shard = shard_of_machine(after.id)
        keys, topic = shard_keys(shard), topic_keys(shard, after.topic)
        return (
            [
                keys.event(after.id, event_id),
                keys.revisions,
                keys.snapshots,
                topic.position,
                topic.log,
                topic.live,
                topic.finished,
                keys.recent,
                keys.recent_of(after.kind),
                keys.finished,
                keys.topics,
                keys.outbox,
                keys.pending,
                keys.pending_at,
                keys.tries,
                keys.timers,
                keys.timer_events,
                keys.era,
                keys.journal,
            ],
            [
                after.revision - 1,
                after.revision,
                orjson.dumps(after),
                _entry(step, actor),
                orjson.dumps(after.configuration),
                after.id,
                after.topic,
                after.updated_at,
                "1" if after.terminated else "0",
                token_hex(4),
                self._era,
                topic.channel,
                REMEMBERED_S,
                LOG_ENTRIES,
                "" if timer is None else _member(timer.machine, timer.key),
                "" if timer is None else timer.due,
                *_effects(step),
                len(step.settled),
                *step.settled,
                *_timers(step),
            ],
        )

    async def read_topic(self, topic: str) -> TopicState:
        """See `MachineStore.read_topic`."""
        shard = shard_of(topic, self._shards)
        keys, of_topic = shard_keys(shard), topic_keys(shard, topic)
        epoch, offset, more, *snapshots = await self._run(
            "read_topic",
            [of_topic.position, of_topic.live, of_topic.finished, keys.snapshots, keys.era],
            [token_hex(4), self._era, FINISHED_IN_TOPIC],
        )
        machines = [Snapshot.from_json(orjson.loads(snapshot)) for snapshot in snapshots]
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
        now, offset, entries = await self._run(
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
        async with self._answered():
            await self._redis.publish(channel, orjson.dumps(message))

    async def machines(self, kind: str | None = None, limit: int = 200) -> list[Snapshot]:
        """See `MachineStore.machines`."""
        shards = [shard_keys(shard) for shard in range(self._shards)]
        newest = await self._each(
            [
                ("ZREVRANGE", k.recent if kind is None else k.recent_of(kind), 0, limit - 1, "WITHSCORES")
                for k in shards
            ]
        )
        found = sorted(
            (
                (at, machine, k)
                for k, of_shard in zip(shards, newest, strict=True)
                for machine, at in of_shard
            ),
            key=lambda each: (-each[0], each[1]),
        )[:limit]
        snapshots = await self._each([("HGET", k.snapshots, machine) for _, machine, k in found])
        return [Snapshot.from_json(orjson.loads(s)) for s in snapshots if s is not None]

    async def topics(self, *, changed_after: float = 0.0) -> list[tuple[str, float]]:
        """See `MachineStore.topics`."""
        return await self._by_time("topics", f"({changed_after}", "+inf")

    async def finished(self, *, before: float, limit: int) -> list[str]:
        """See `MachineStore.finished`."""
        found = await self._by_time("finished", "-inf", f"({before}", limit)
        return [machine for machine, _ in found]

    async def finished_in(self, topic: str, before: tuple[float, str] | None, limit: int) -> list[Snapshot]:
        """See `MachineStore.finished_in`."""
        keys = shard_keys(shard_of(topic, self._shards))
        ended = topic_keys(shard_of(topic, self._shards), topic).finished
        high, skipped, names = "+inf" if before is None else repr(before[0]), 0, list[str]()
        while len(names) < limit:
            [found] = await self._each(
                [("ZREVRANGEBYSCORE", ended, high, "-inf", "WITHSCORES", "LIMIT", skipped, limit)]
            )
            members = [(float(at), member.decode()) for member, at in found]
            names += [name for at, name in members if before is None or (at, name) < before]
            if len(members) < limit:
                break
            skipped += limit
        snapshots = await self._each([("HGET", keys.snapshots, name) for name in names[:limit]])
        return [Snapshot.from_json(orjson.loads(s)) for s in snapshots if s is not None]

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
                due.append(DueTimer(shard, machine, key, due=at, **orjson.loads(event)))
        return due

    async def drop_timer(self, timer: DueTimer) -> None:
        """See `MachineStore.drop_timer`."""
        keys = shard_keys(timer.shard)
        await self._run(
            "drop_timer", [keys.timers, keys.timer_events], [_member(timer.machine, timer.key), timer.due]
        )

    async def evict(self, machine: str) -> None:
        """See `MachineStore.evict`."""
        last = await self.load(machine)
        if last is None or not last.terminated:
            return
        shard = shard_of_machine(machine)
        keys, topic = shard_keys(shard), topic_keys(shard, last.topic)
        entry = _entry(Step(snapshot=last, before=last.configuration, event="gone"), "system", gone=True)
        await self._run(
            "evict",
            [
                keys.revisions,
                keys.snapshots,
                topic.position,
                topic.log,
                topic.finished,
                keys.recent,
                keys.recent_of(last.kind),
                keys.finished,
                keys.timers,
                keys.timer_events,
                keys.era,
            ],
            [
                last.revision,
                entry,
                machine,
                token_hex(4),
                self._era,
                topic.channel,
                LOG_ENTRIES,
                *(_member(machine, key) for key in last.timers),
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


def _member(machine: str, key: str) -> str:
    return f"{machine}|{key}"


def _first_outcome(stored: bytes) -> Committed:
    offset, revision, configuration = orjson.loads(stored)
    return Committed(offset, revision, configuration, repeated=True)


def _entry(step: Step, actor: str, *, gone: bool = False) -> bytes:
    """The entry without epoch and offset, which the script puts in front."""
    after = step.snapshot
    return orjson.dumps(
        {
            "type": "entry",
            "topic": after.topic,
            "machine": after.id,
            "kind": after.kind,
            "revision": after.revision,
            "event": step.event,
            "from": step.before,
            "to": after.configuration,
            "context": step.changed,
            "removed": step.removed,
            "terminated": after.terminated,
            "gone": gone,
            "at": after.updated_at,
            "actor": actor,
        }
    )


def _effects(step: Step) -> list[str | bytes | int]:
    packed: list[str | bytes | int] = [len(step.effects)]
    for effect_id, effect in step.effects.items():
        awaited = effect_id in step.snapshot.awaiting
        packed += [effect_id, _effect(effect, step.snapshot), "1" if awaited else "0"]
    return packed


def _effect(effect: Effect, after: Snapshot) -> bytes:
    return orjson.dumps(
        {
            "name": effect.name,
            "args": effect.args(),
            "queue": effect.queue,
            "machine": after.id,
            "topic": after.topic,
            "since": after.updated_at,
        }
    )


def _timers(step: Step) -> list[str | bytes | int | float]:
    """The last word on each timer: setting one twice in a step leaves the second."""
    packed: list[str | bytes | int | float] = [len(step.timers)]
    for timer in step.timers:
        member = _member(step.snapshot.id, timer.key)
        if timer.after_s is None:
            packed += [member, "", ""]
        else:
            event = orjson.dumps({"event": timer.event, "data": timer.data or {}})
            packed += [member, step.snapshot.updated_at + timer.after_s, event]
    return packed
