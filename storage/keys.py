"""The names of everything kept in Redis; all of one topic share a hash tag and so a cluster slot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

INSTANCE = "casewire:instance"
"""String: the instance that this Redis belongs to, see `storage.instance`."""

ERA = "casewire:era"
"""Hash `id`, `tick`, `run`, `closed`: see `storage.era`."""


def tag(shard: int) -> str:
    """The prefix that puts a key into a shard's slot."""
    return f"{{{shard}}}"


@dataclass(frozen=True)
class ShardKeys:
    """Keys that a shard has once.

    Attributes:
        configurations: Hash, name → configuration as JSON, of those too long to repeat with every
            event id; as many as charts have.
        finished: Sorted set of machines that have ended by the Unix time of their end.
        topics: Set of the topics that ever had a machine.
        outbox: Stream of effects on their way to a queue: `id`, and `effect` (JSON) where nobody
            awaits it.
        pending: Hash, effect id → effect (JSON), for those awaited.
        pending_at: Sorted set of awaited effects by the Unix time of their commit or last retry.
        tries: Hash, effect id → how often it was retried.
        timers: Sorted set, `machine|key` by the Unix time when it falls due.
        timer_events: Hash, `machine|key` → event and data as JSON.
        era: String, the era that `storage.era` settled.
        journal: Stream of entries on their way to the custody chain in Postgres: `topic`, `entry`.
        machine: What the keys of machines begin with; each is a string, see `storage.packing_redis`.
        events: What the hashes of event ids begin with: digest → `offset revision configuration`,
            and `d`, the day that it holds.
        resting: What the strings begin with that tell at which revision a machine left to rest.
    """

    configurations: str
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
    machine: str
    events: str
    resting: str
    prefix: str

    def events_of(self, machine: str) -> tuple[str, str]:
        """The hashes of event ids of a machine, for even and for odd days."""
        key = self.events + machine
        return key + ":0", key + ":1"

    def lease(self, effect_id: str) -> str:
        """String, who works on an effect."""
        return f"{self.prefix}:lease:{effect_id}"


@dataclass(frozen=True)
class TopicKeys:
    """Keys of one topic.

    Attributes:
        position: Hash `epoch`, `offset`, `at` (Unix time of the last entry) and `gone` (how many
            machines have left).
        log: Stream with ids `0-<offset>` and the field `entry` (JSON without epoch and offset).
        live: Set of machines that can still change.
        finished: Sorted set of those that have ended, by the Unix time of their end.
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
        configurations=f"{prefix}:configurations",
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
        machine=f"{prefix}:machine:",
        events=f"{prefix}:events:",
        resting=f"{prefix}:resting:",
        prefix=prefix,
    )


@lru_cache(maxsize=4096)
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
