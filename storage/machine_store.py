"""What the engine needs of the place where machines live, and what that place promises."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Literal, NamedTuple, Protocol

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
    """Another writer was faster: the stored revision is not the one that the step started from.

    `there` is what the store holds instead; None where it holds no such machine.
    """

    def __init__(self, message: str, *, there: Snapshot | None) -> None:
        super().__init__(message)
        self.there = there


class TimerGone(StoreError):
    """The timer that fired was cleared or set anew meanwhile; its event must not happen."""


class Committed(NamedTuple):
    """How a commit ended.

    Attributes:
        offset: Of the entry in its topic's log, from 1.
        revision: Of the machine after it.
        configuration: Active states after it.
        repeated: The event id was known: nothing was written, this is the first outcome.
        size: Bytes of the snapshot as it was written; 0 where nothing was.
    """

    offset: int
    revision: int
    configuration: list[str]
    repeated: bool
    size: int = 0


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
    """Entries after some offset, oldest first, and where the log stood when read.

    `sizes` are the bytes that each entry takes as JSON.
    """

    epoch: str
    offset: int
    entries: list[dict[str, Any]]
    sizes: list[int]


@dataclass(frozen=True)
class OutboxItem:
    """An effect on its way to its queue.

    `delivery` counts how often it was handed to a consumer, from 1; `trace` is a W3C traceparent.
    `behalf` tells for whom it is (`machines.behalf`), and is "" in what earlier releases wrote.
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
    trace: str = ""
    behalf: str = ""


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


@dataclass(frozen=True)
class Heard:
    """Something a listener heard on a topic.

    Attributes:
        what: `joined`: from here on everything published is heard; it comes again after a lost
            connection, and what was published between was missed. `entry` and `passing`: a message.
        message: Empty for `joined`.
        size: Bytes of the message as published.
    """

    topic: str
    what: Literal["joined", "entry", "passing"]
    message: dict[str, Any]
    size: int = 0


class Listener(Protocol):
    """One connection that hears any number of topics, and is renewed by itself when it breaks."""

    async def join(self, topic: str) -> None:
        """Ask to hear a topic; `Heard(topic, "joined")` tells when that has begun."""

    async def leave(self, topic: str) -> None:
        """Hear a topic no longer."""

    async def hear(self, take: Callable[[Heard], None]) -> None:
        """Hand on what is published on the joined topics, at most once each, in order within a topic.

        It returns after `aclose`. What `take` raises ends it, too: `hear` again, and all topics are
        joined anew.
        """

    async def aclose(self) -> None:
        """End the connection; `hear` returns."""


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
        event_id: str,
        actor: str,
        timer: DueTimer | None = None,
    ) -> Committed:
        """Write one step wholly or not at all.

        Compares the stored revision with `step.snapshot.revision - 1` (absent: 0), writes the
        snapshot, appends the entry to the topic log (newest 10,000 kept) and the effects to the
        outbox, notes awaited effects as pending and removes `step.settled`, sets and clears
        timers, remembers the event id, publishes the entry. With `timer` the event is that
        timer's, which is removed with it, unless the step set it anew.

        Entries hold `type` ("entry"), `topic`, `epoch`, `offset`, `machine`, `kind`, `revision`,
        `event`, `from`, `to`, `context`, `removed`, `terminated`, `gone`, `at`, `actor`, and `trace`
        where `storage.trace.current` names one.

        Raises:
            Conflict: The revision differs and the event id is unknown; nothing was written.
            TimerGone: `timer` is not set any more, or not for that time; nothing was written.
        """

    async def read_topic(self, topic: str) -> TopicState:
        """State and offset as of one moment. An unknown topic is empty, at offset 0."""

    async def read_log(self, topic: str, epoch: str, after: int) -> Log | None:
        """Every entry after an offset; None when the epoch differs or the log no longer reaches back."""

    async def position(self, topic: str) -> tuple[str, int]:
        """Epoch and offset of a topic; an epoch is minted for a topic that has none."""

    def listen(self) -> Listener:
        """A listener that has joined no topic yet."""

    async def publish(self, topic: str, message: dict[str, Any]) -> None:
        """Send a passing message to whoever listens now."""

    async def machines(self, kind: str | None = None, limit: int = 200) -> list[Snapshot]:
        """Machines across all shards, most recently changed first."""

    async def changed_lately(self, topics: Sequence[str], *, after: float, limit: int) -> list[Snapshot]:
        """Machines on `topics` with entries later than a Unix time, the last change first.

        Of each topic the newest `limit` entries are looked at, of all machines `limit` are answered.
        """

    async def topics(self, *, changed_after: float = 0.0) -> list[tuple[str, float]]:
        """Topics with entries later than a Unix time, and the time of their last entry, oldest first."""

    async def finished(self, *, before: float, limit: int) -> list[str]:
        """Machines that ended before a Unix time and have not left yet, earliest first, all shards."""

    async def finished_in(self, topic: str, before: tuple[float, str] | None, limit: int) -> list[Snapshot]:
        """A topic's machines that ended and have not left, the latest first, ties by id downwards.

        With `before` (time of the last change, id) those that come after it in this order.
        """

    async def claim(self, consumer: str, *, count: int, block_s: float, idle_s: float) -> list[OutboxItem]:
        """New outbox items for a consumer, and those whose consumer has been silent for `idle_s`.

        An awaited effect whose machine has left it behind meanwhile is not handed out any more.

        Waits at most `block_s`, and never more than two seconds, for the first item.
        """

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
        """Let a finished machine leave: an entry with `gone` tells every subscriber.

        One that is not there, or has not ended, stays as it is.
        """

    async def names(self, topic: str, kind: str) -> list[str]:
        """Ids of the machines of one kind ("" for all) on a topic, those that have ended included, sorted."""

    async def purge(self, machine: str) -> None:
        """Take a machine away in whatever state it is, with its timers and the effects that it awaits.

        An entry with `gone` tells every subscriber. One that is not there stays away.
        """

    async def cut_log(self, topic: str) -> None:
        """Forget the entries of a topic's log: whoever resumes from one of them gets a snapshot."""

    async def drop_topic(self, topic: str) -> None:
        """Forget a topic on which no machine is left."""

    async def rest(self, machine: str, revision: int) -> bool:
        """Let a machine at this revision leave that can still change, but awaits nothing and has no timers.

        An entry with `gone` tells every subscriber. False where it is not so: it has moved meanwhile.
        The caller keeps its snapshot, from which `wake` brings it back.
        """

    async def wake(self, snapshot: Snapshot) -> bool:
        """Have a machine that rested again as it left; False where it is there, or left as another.

        An entry `woken`, of the same revision and with the whole context, tells every subscriber.
        """

    async def live_in(self, topic: str) -> list[str]:
        """The ids of a topic's machines that can still change, sorted, without those that rest."""
