"""What the engine needs of the place where machines live, and what that place promises."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Protocol

from machines.effect import Queue
from machines.snapshot import Snapshot
from machines.step import Step


def shard_of(topic: str, shards: int) -> int:
    """The shard that holds everything of a topic."""
    return zlib.crc32(topic.encode()) % shards


def new_machine_id(kind: str, topic: str, shards: int) -> str:
    """A fresh id that tells its shard: `kind-shard-token`."""
    return f"{kind}-{shard_of(topic, shards):x}-{token_hex(10)}"


def shard_of_machine(machine: str) -> int:
    """The shard named in a machine id.

    Raises:
        ValueError: Not a machine id.
    """
    _, shard, token = machine.split("-")
    if not token:
        raise ValueError(f"not a machine id: {machine!r}")
    return int(shard, 16)


class StoreError(Exception):
    """The family of what the store can answer instead of a result."""


class Unavailable(StoreError):
    """The store did not answer; the commit may have landed. Try again with the same event id."""


class Conflict(StoreError):
    """Another writer was faster: the stored revision is not the one that the step started from."""


@dataclass(frozen=True)
class Committed:
    """How a commit ended.

    Attributes:
        offset: Of the entry in its topic's log, from 1.
        revision: Of the machine after it.
        configuration: Active states after it.
        repeated: The event id was known: nothing was written, this is the first outcome.
    """

    offset: int
    revision: int
    configuration: list[str]
    repeated: bool


@dataclass(frozen=True)
class TopicState:
    """A topic at one offset: its live and its newest finished machines."""

    topic: str
    epoch: str
    offset: int
    machines: list[Snapshot]
    more: bool


@dataclass(frozen=True)
class Log:
    """Entries after some offset, oldest first, and where the log stood when read."""

    epoch: str
    offset: int
    entries: list[dict[str, Any]]


@dataclass(frozen=True)
class OutboxItem:
    """An effect on its way to its queue.

    `delivery` counts how often it was handed to a consumer, from 1.
    """

    shard: int
    entry: str
    effect_id: str
    name: str
    args: dict[str, Any]
    queue: Queue
    machine: str
    topic: str
    delivery: int = 1


@dataclass(frozen=True)
class Pending:
    """An awaited effect that has not been answered; `since` is Unix seconds of its commit."""

    item: OutboxItem
    since: float
    tries: int


@dataclass(frozen=True)
class DueTimer:
    """A timer that has fallen due; it stays set until its event is committed or it is dropped."""

    shard: int
    machine: str
    key: str
    event: str
    data: dict[str, Any]
    due: float


class MachineStore(Protocol):
    """Machines, topic logs, outbox and timers, all of one topic in one shard.

    Every method raises `Unavailable` when the store does not answer.
    """

    async def load(self, machine: str) -> Snapshot | None:
        """The latest snapshot; None when the store holds no such machine."""

    async def outcome_of(self, machine: str, event_id: str) -> Committed | None:
        """The first outcome of an event id remembered for a day, with `repeated` set; else None."""

    async def commit(
        self,
        step: Step,
        *,
        event_id: str | None,
        actor: str,
        timer_key: str | None = None,
    ) -> Committed:
        """Write one step wholly or not at all.

        Compares the stored revision with `step.snapshot.revision - 1` (absent: 0), writes the
        snapshot, appends the entry to the topic log (newest 10,000 kept) and the effects to the
        outbox, notes awaited effects as pending and removes `step.settled`, sets and clears
        timers, remembers the event id, publishes the entry. With `timer_key` the event is that
        timer's, which is removed with it, unless the step set it anew.

        Raises:
            Conflict: The revision differs and the event id is unknown; nothing was written.
        """

    async def read_topic(self, topic: str) -> TopicState:
        """State and offset as of one moment. An unknown topic is empty, at offset 0."""

    async def read_log(self, topic: str, epoch: str, after: int) -> Log | None:
        """Every entry after an offset; None when the epoch differs or the log no longer reaches back."""

    async def position(self, topic: str) -> tuple[str, int]:
        """Epoch and offset of a topic; an epoch is minted for a topic that has none."""

    def listen(self, topics: Sequence[str]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """What is published on topics from now on: entries and passing messages, at most once each."""

    async def publish(self, topic: str, message: dict[str, Any]) -> None:
        """Send a passing message to whoever listens now."""

    async def machines(self, kind: str | None = None, limit: int = 200) -> list[Snapshot]:
        """Machines across all shards, most recently changed first."""

    async def claim(self, consumer: str, *, count: int, block_s: float, idle_s: float) -> list[OutboxItem]:
        """New outbox items for a consumer, and those whose consumer has been silent for `idle_s`."""

    async def acknowledge(self, item: OutboxItem) -> None:
        """The item has reached its queue, or was done: it leaves the outbox, not the pending ones."""

    async def pending(self, *, older_than: float) -> list[Pending]:
        """Awaited effects whose commit or last retry is older than a Unix time, all shards."""

    async def retry_pending(self, effect_id: str, *, at: float) -> int:
        """Count another try of a pending effect and return the count; 0 when it is pending no more."""

    async def is_pending(self, effect_id: str) -> bool:
        """Whether a machine still awaits the effect."""

    async def take_lease(self, effect_id: str, holder: str, *, ttl_s: float) -> bool:
        """Hold an effect alone; False while another holder's lease lasts. Renewing is taking again."""

    async def drop_lease(self, effect_id: str, holder: str) -> None:
        """Give the lease up; another holder's stays."""

    async def leases(self, effect_ids: Sequence[str]) -> list[bool]:
        """For each effect, whether somebody holds it."""

    async def due_timers(self, now: float, *, limit: int) -> list[DueTimer]:
        """Timers due by `now`, earliest first, all shards."""

    async def drop_timer(self, timer: DueTimer) -> None:
        """Forget a due timer whose event is no longer possible, unless it was set anew."""

    async def evict(self, machine: str) -> None:
        """Let a finished machine leave: an entry with `gone` tells every subscriber."""
