"""The names of everything kept in Redis; all of one topic share a hash tag and so a cluster slot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

ERA = "casewire:era"
"""Hash `id`, `tick`, `run`, `closed`: see `storage.era`."""


def tag(shard: int) -> str:
    """The prefix that puts a key into a shard's slot."""
    return f"{{{shard}}}"


@dataclass(frozen=True)
class ShardKeys:
    """Keys that a shard has once.

    Attributes:
        snapshots: Hash, machine → snapshot as JSON.
        revisions: Hash, machine → revision.
        recent: Sorted set of machines by the Unix time of their last change.
        finished: The same, of those that have ended.
        topics: Sorted set of topics by the Unix time of their last entry.
        outbox: Stream of effects on their way to a queue: `id`, `effect` (JSON).
        pending: Hash, effect id → effect (JSON), for those awaited.
        pending_at: Sorted set of awaited effects by the Unix time of their commit or last retry.
        tries: Hash, effect id → how often it was retried.
        timers: Sorted set, `machine|key` by the Unix time when it falls due.
        timer_events: Hash, `machine|key` → event and data as JSON.
        era: String, the era that `storage.era` settled.
        journal: Stream of entries on their way to the custody chain in Postgres: `topic`, `entry`.
    """

    snapshots: str
    revisions: str
    recent: str
    finished: str
    topics: str
    outbox: str
    pending: str
    pending_at: str
    tries: str
    timers: str
    timer_events: str
    era: str
    journal: str
    prefix: str

    def recent_of(self, kind: str) -> str:
        """Like `recent`, of one kind."""
        return f"{self.prefix}:recent:{kind}"

    def event(self, machine: str, event_id: str) -> str:
        """String that remembers the first outcome of an event id: `[offset, revision, configuration]`."""
        return f"{self.prefix}:event:{machine}:{event_id}"

    def lease(self, effect_id: str) -> str:
        """String, who works on an effect."""
        return f"{self.prefix}:lease:{effect_id}"


@dataclass(frozen=True)
class TopicKeys:
    """Keys of one topic.

    Attributes:
        position: Hash `epoch`, `offset`, `gone` (how many machines have left).
        log: Stream with ids `0-<offset>` and the field `entry` (JSON without epoch and offset).
        live: Sorted set of machines that can still change, by the Unix time of their last change.
        finished: The same, of those that have ended.
        channel: Where entries and passing messages are published.
    """

    position: str
    log: str
    live: str
    finished: str
    channel: str


@cache
def shard_keys(shard: int) -> ShardKeys:
    """The keys of a shard."""
    prefix = tag(shard)
    return ShardKeys(
        snapshots=f"{prefix}:snapshots",
        revisions=f"{prefix}:revisions",
        recent=f"{prefix}:recent",
        finished=f"{prefix}:finished",
        topics=f"{prefix}:topics",
        outbox=f"{prefix}:outbox",
        pending=f"{prefix}:pending",
        pending_at=f"{prefix}:pending_at",
        tries=f"{prefix}:tries",
        timers=f"{prefix}:timers",
        timer_events=f"{prefix}:timer_events",
        era=f"{prefix}:era",
        journal=f"{prefix}:journal",
        prefix=prefix,
    )


def topic_keys(shard: int, topic: str) -> TopicKeys:
    """The keys of a topic that lives in `shard`."""
    prefix = tag(shard)
    return TopicKeys(
        position=f"{prefix}:topic:{topic}",
        log=f"{prefix}:log:{topic}",
        live=f"{prefix}:live:{topic}",
        finished=f"{prefix}:finished:{topic}",
        channel=f"{prefix}:channel:{topic}",
    )
