"""Events into transitions: step what is known, commit, again when another process was faster.

EngineError
├── MachineMissing     there is no such machine
├── MachineExists      a machine of that id is there, spawned by another event
├── RevisionConflict   `if_revision` names another revision than the machine has
└── Busy               too many writers at once; temporary: the same event id may be sent again

A refused step raises its `machines.errors.StepError`, a silent store its `StoreError`.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from secrets import token_hex
from typing import Any, ClassVar, NamedTuple

from machines.errors import Stale, StepError
from machines.event import Role, Source
from machines.snapshot import Snapshot
from machines.step import Incoming, Step, spawn, step
from server import watching
from server.latest import Latest
from server.turns import Turns
from storage.machine_store import (
    Committed,
    Conflict,
    DueTimer,
    MachineStore,
    TimerGone,
    new_machine_id,
    shard_of,
    shard_of_machine,
)

_TRIES = 20
_KNOWN_TOPICS = 10_000
"""Machines whose topic is remembered."""


Resting = Callable[[str], Awaitable[Snapshot | None]]
"""Finds the last snapshot of a machine that is not in the store; None where it is not at rest."""


class EngineError(Exception):
    """The event was not applied; `code` is stable, `temporary` tells whether the same may succeed later."""

    code: ClassVar[str]
    temporary: ClassVar[bool] = False

    def __init__(self, machine: str, message: str) -> None:
        super().__init__(message)
        self.machine = machine


class MachineMissing(EngineError):
    """No such machine is there: it never was, or it has ended and left."""

    code = "machine.missing"

    def __init__(self, machine: str) -> None:
        super().__init__(machine, f"there is no machine {machine}")


class MachineExists(EngineError):
    """The id given for a new machine is taken."""

    code = "machine.exists"

    def __init__(self, machine: str) -> None:
        super().__init__(machine, f"{machine} is there already")


class RevisionConflict(EngineError):
    """The machine has moved on since the sender last saw it; `revision` is where it is now."""

    code = "machine.revision"

    def __init__(self, machine: str, expected: int, revision: int) -> None:
        super().__init__(machine, f"{machine} is at revision {revision}, not {expected}")
        self.revision = revision


class Busy(EngineError):
    """Others wrote first, again and again."""

    code = "machine.busy"
    temporary = True

    def __init__(self, machine: str) -> None:
        super().__init__(machine, f"too many events reach {machine} at once; try again")


class Outcome(NamedTuple):
    """What an event did.

    Attributes:
        revision: Of the machine after it.
        configuration: Active states after it.
        repeated: The event had been applied before: this is the first outcome, and `snapshot` is None.
    """

    machine: str
    revision: int
    event: str
    configuration: list[str]
    repeated: bool
    snapshot: Snapshot | None


class Engine:
    """The one way by which anything happens to a machine.

    Args:
        shards: As the store's.
        clock: Unix time in seconds, stamped on every event.
        resting: Finds the last snapshot of a machine that has left the store to rest.
    """

    def __init__(
        self,
        store: MachineStore,
        *,
        shards: int,
        clock: Callable[[], float] = time.time,
        resting: Resting | None = None,
    ) -> None:
        self.store = store
        self._resting = resting
        self._shards = shards
        self._clock = clock
        self._turns = Turns()
        self._latest = Latest()
        self._topics: dict[str, str] = {}

    async def load(self, machine: str) -> Snapshot | None:
        """The latest snapshot, also of a machine that rests; None when there is no such machine."""
        if not self._may_be(machine):
            return None
        there = await self.store.load(machine)
        if there is None and self._resting is not None:
            # It may have woken since it was looked for, so the store has the last word.
            rested = await self._resting(machine)
            there = None if rested is None else await self.store.load(machine) or rested
        return there

    async def topic_of(self, machine: str) -> str | None:
        """The topic on which a machine was spawned, which it keeps; None when there is no such machine.

        Of one that has left it may still be known.
        """
        topic = self._topics.get(machine)
        if topic is None:
            snapshot = await self.load(machine)
            if snapshot is None:
                return None
            topic = snapshot.topic
            self._know(machine, topic)
        return topic

    async def spawn(
        self,
        kind: str,
        topic: str,
        data: Mapping[str, Any],
        *,
        source: Source = "handler",
        actor: str = "system",
        role: Role | None = None,
        event_id: str | None = None,
        machine: str | None = None,
    ) -> Outcome:
        """Create a machine.

        With an `event_id` and no `machine`, the id follows from topic and event id, so that a
        repeated spawn meets the same machine, even after the event id is forgotten.

        Raises:
            StepError: Unknown kind, wrong topic, missing right or unfit data.
            MachineExists: `machine` is taken.
            StoreError: Whether it was created is unknown; the same event id finds out.
        """
        derived = machine is None and event_id is not None
        if machine is None:
            machine = (
                new_machine_id(kind, topic, self._shards)
                if event_id is None
                else self.machine_for(kind, topic, event_id)
            )
        event_id = event_id or token_hex(16)
        incoming = Incoming("spawn", data, source, self._clock(), actor, role)
        if not self._turns.take(machine):
            await self._wait(machine)
        try:
            with watching.event(machine, "spawn", source):
                try:
                    done = spawn(kind, machine, topic, incoming)
                except StepError as error:
                    known = await self._known(machine, "spawn", event_id)
                    if known is None:
                        watching.refused(error)
                        raise
                    return known
                try:
                    committed = await self._commit(done, event_id=event_id, actor=actor)
                except Conflict as conflict:
                    there = conflict.there
                    if not derived or there is None:
                        raise MachineExists(machine) from None
                    return Outcome(machine, there.revision, "spawn", there.configuration, True, None)
                return self._done(machine, "spawn", committed, done)
        finally:
            self._turns.leave(machine)

    def machine_for(self, kind: str, topic: str, event_id: str) -> str:
        """The id of the machine that a spawn by this event id makes."""
        return _derived_id(kind, topic, event_id, self._shards)

    async def send(
        self,
        machine: str,
        event: str,
        data: Mapping[str, Any],
        *,
        source: Source,
        actor: str = "system",
        role: Role | None = None,
        event_id: str | None = None,
        if_revision: int | None = None,
        timer: DueTimer | None = None,
    ) -> Outcome:
        """Apply one event; the first outcome, `repeated`, where its `event_id` was applied before.

        Events of one machine wait for each other here before they compare revisions; when another
        process was faster, the event is stepped again on what that one left.

        Raises:
            StepError: The machine refuses it; `Stale` also for a `timer` that was set anew.
            EngineError: See the module.
            StoreError: Whether it was applied is unknown; the same event id finds out.
        """
        if not self._may_be(machine):
            raise MachineMissing(machine)
        # A random one where the caller has none: redis-py sends a commit again when its reply was
        # lost, and would else meet a conflict with itself.
        event_id = event_id or token_hex(16)
        if not self._turns.take(machine):
            await self._wait(machine)
        try:
            with watching.event(machine, event, source):
                before = self._latest.take(machine)
                read = False
                for tried in range(_TRIES):
                    if tried > 1:
                        await asyncio.sleep(random.uniform(0, min(0.2, 0.002 * 2**tried)))
                    if before is None:
                        before = (None if read else await self.store.load(machine)) or await self._wake(
                            machine
                        )
                        read = True
                    incoming = Incoming(event, data, source, self._clock(), actor, role)
                    try:
                        done = self._step(machine, before, incoming, if_revision)
                        committed = await self._commit(done, event_id=event_id, actor=actor, timer=timer)
                    except (StepError, EngineError) as error:
                        if not read:  # the machine may have moved on, so that it takes the event
                            before = None
                            continue
                        known = await self._known(machine, event, event_id)
                        if known is None:
                            watching.refused(error)
                            raise
                        return known
                    except TimerGone as gone:
                        raise Stale(str(gone), event=event) from None
                    except Conflict as conflict:
                        before, read = conflict.there, True
                        continue
                    return self._done(machine, event, committed, done)
        finally:
            self._turns.leave(machine)
        raise Busy(machine)

    async def _wake(self, machine: str) -> Snapshot | None:
        """Bring a machine back that has left to rest; None where there is no such machine."""
        find = self._resting
        for _ in range(_TRIES if find is not None else 0):
            rested = None if find is None else await find(machine)
            if rested is None:
                return None
            await self.store.wake(rested)
            # Not there: it had been woken by another and gone to rest as something newer.
            if (there := await self.store.load(machine)) is not None:
                return there
        return None

    async def _commit(
        self, done: Step, *, event_id: str, actor: str, timer: DueTimer | None = None
    ) -> Committed:
        began = time.perf_counter()
        try:
            with watching.commit():
                committed = await self.store.commit(done, event_id=event_id, actor=actor, timer=timer)
        except Conflict:
            watching.conflict(done)
            raise
        watching.committed(done, committed, began)
        return committed

    async def fire(self, timer: DueTimer) -> Outcome:
        """Send the event of a timer that has fallen due, once for each time it was set.

        Raises:
            As `send`. After a `StepError` the timer has no use: drop it.
        """
        return await self.send(
            timer.machine,
            timer.event,
            timer.data,
            source="timer",
            event_id=f"timer:{timer.machine}:{timer.key}:{timer.due!r}",
            timer=timer,
        )

    async def publish(self, topic: str, machine: str, what: str, data: Mapping[str, Any]) -> None:
        """Send a passing message to whoever listens to the topic now."""
        message = {"type": "passing", "topic": topic, "machine": machine, "what": what, "data": dict(data)}
        await self.store.publish(topic, message)

    def _know(self, machine: str, topic: str) -> None:
        if len(self._topics) >= _KNOWN_TOPICS:
            del self._topics[next(iter(self._topics))]
        self._topics[machine] = topic

    def _may_be(self, machine: str) -> bool:
        """Whether it has the form of an id, of a shard that there is."""
        try:
            return 0 <= shard_of_machine(machine) < self._shards
        except ValueError:
            return False

    def _step(
        self, machine: str, before: Snapshot | None, incoming: Incoming, if_revision: int | None
    ) -> Step:
        if before is None:
            raise MachineMissing(machine)
        if if_revision is not None and before.revision != if_revision:
            raise RevisionConflict(machine, if_revision, before.revision)
        return step(before, incoming)

    async def _known(self, machine: str, event: str, event_id: str) -> Outcome | None:
        first = await self.store.outcome_of(machine, event_id)
        return None if first is None else _outcome(machine, event, first, None)

    async def _wait(self, machine: str) -> None:
        if self._turns.crowded(machine):
            raise Busy(machine)
        await self._turns.wait(machine)

    def _done(self, machine: str, event: str, committed: Committed, done: Step) -> Outcome:
        if not committed.repeated:
            self._latest.keep(done.snapshot, committed.size)
        return _outcome(machine, event, committed, done)


def _derived_id(kind: str, topic: str, event_id: str, shards: int) -> str:
    digest = hashlib.sha256(f"{topic}\0{event_id}".encode()).hexdigest()
    return f"{kind}-{shard_of(topic, shards):x}-{digest[:20]}"


def _outcome(machine: str, event: str, committed: Committed, done: Step | None) -> Outcome:
    snapshot = None if committed.repeated or done is None else done.snapshot
    return Outcome(machine, committed.revision, event, committed.configuration, committed.repeated, snapshot)
