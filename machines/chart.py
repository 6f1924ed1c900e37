"""The common ground of all charts: an engine that fails loudly, a typed context, an outbox."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict
from statemachine import State, StateChart

from machines.effect import Effect
from machines.event import Event, Role, Source


class Context(BaseModel):
    """What a machine knows besides its states; every field has a JSON value."""

    model_config = ConfigDict(extra="forbid", validate_assignment=False)


class Emitted(NamedTuple):
    """An effect on its way out, with the state whose entry issued it ("" when none awaits it)."""

    effect: Effect
    state: str


@dataclass(frozen=True)
class Timer:
    """Set (`after_s` given) or clear a durable timer of the machine.

    When it falls due, `event` is sent with `data` from source `timer`.
    """

    key: str
    event: str = ""
    data: dict[str, Any] | None = None
    after_s: float | None = None


class Chart(StateChart[Any]):
    """A definition of states; one instance, without the library's engine, lives for one step.

    The three engine switches turn silence into errors: by default python-statemachine
    swallows exceptions of actions, ignores unknown events, and moves half-way.
    """

    catch_errors_as_events = False
    allow_event_without_transition = False
    atomic_configuration_update = True
    validate_final_reachability = False
    """Off, since states that go on taking events (`answered`, `ready`) never end."""

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    context_type: ClassVar[type[Context]]
    event_types: ClassVar[tuple[type[Event], ...]] = ()
    spawn_event: ClassVar[type[Event]]
    spawn_topics: ClassVar[tuple[str, ...]]
    """Prefixes of the topics that may hold such a machine: `case`, `import`, `user`, `system`."""
    formerly: ClassVar[Mapping[str, str]] = {}
    """What a state was called in an earlier version → its present name: machines at rest, and work and
    timers under way, still say the earlier one."""

    context: Context
    machine: str
    topic: str
    at: float
    actor: str
    awaiting: dict[str, str]
    timers_set: dict[str, str]
    emitted: list[Emitted]
    timers: list[Timer]

    def become(
        self,
        context: Context,
        machine: str,
        topic: str,
        at: float,
        actor: str,
        awaiting: dict[str, str],
        timers: dict[str, str],
    ) -> None:
        """Be a machine, in what its actions see of it: nothing of another remains."""
        # Past the library's __setattr__, which looks for a state of each name.
        vars(self).update(
            context=context,
            machine=machine,
            topic=topic,
            at=at,
            actor=actor,
            awaiting=dict(awaiting),
            timers_set=dict(timers),
            emitted=[],
            timers=[],
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({vars(self).get('machine')!r})"

    def emit(self, effect: Effect, state: State | None = None) -> None:
        """Ask for work. With a `state`, its result counts only while that entry lasts."""
        self.emitted.append(Emitted(effect, state.id if state is not None else ""))

    def set_timer(
        self,
        key: str,
        event: str,
        after_s: float,
        data: dict[str, Any] | None = None,
        state: State | None = None,
    ) -> None:
        """Have `event` sent after `after_s` seconds; a `state` clears it when it is left."""
        self.timers.append(Timer(key, event, data or {}, after_s))
        self.timers_set[key] = state.id if state is not None else ""

    def clear_timer(self, key: str) -> None:
        """Forget a timer; clearing one that is not set does nothing."""
        if self.timers_set.pop(key, None) is not None:
            self.timers.append(Timer(key))

    def note_ids(self, ids: dict[str, str]) -> None:
        """Told at the end of a step which ids its awaited effects have; effect id → state."""

    def on_exit_state(self, state: State) -> None:
        """End what the left state had waited for."""
        left = state.id
        if left in self.awaiting.values():
            for effect in [effect for effect, owner in self.awaiting.items() if owner == left]:
                del self.awaiting[effect]
        for place, emitted in enumerate(self.emitted):
            if emitted.state == left:
                self.emitted[place] = Emitted(emitted.effect, "")
        if left in self.timers_set.values():
            for key in [key for key, owner in self.timers_set.items() if owner == left]:
                self.clear_timer(key)


def on_each(*states: State, **keywords: Any) -> Any:
    """A targetless transition on every one of `states`: actions run, nothing is left or entered.

    Not `to.itself(internal=True)`: with the library's default it enters the state again.
    """
    return reduce(or_, (state.to(None, **keywords) for state in states))


def from_each(*states: Any, to: State, **keywords: Any) -> Any:
    """The same transition from every one of `states`, which may be compound."""
    return reduce(or_, (state.to(to, **keywords) for state in states))


def all_states(chart: type[Chart]) -> Iterator[State]:
    """Every state at every level, in document order, history states included."""

    def below(states: Any) -> Iterator[State]:
        for state in states:
            yield state
            yield from below(state.states)
            yield from state.history

    yield from below(chart.states)


def events_of(chart: type[Chart]) -> dict[str, type[Event]]:
    """The events that may be sent to a machine of this chart, by name."""
    return {event.name: event for event in chart.event_types}


def spawner(chart: type[Chart]) -> tuple[Source, Role]:
    """Who may spawn such a machine: the source and, for clients, the least role."""
    return chart.spawn_event.source, chart.spawn_event.role


def chart_hash(chart: type[Chart]) -> str:
    """SHA-256 (first 16 hex digits) over states, transitions, guards, actions and payloads.

    It changes when a persisted machine might behave differently; the bodies of actions
    are not seen, so a changed body needs a new `version`.
    """
    states = [
        [
            state.id,
            state.parent.id if state.parent else "",
            bool(state.initial),
            bool(state.final),
            bool(state.parallel),
            sorted(str(spec.func) for spec in state._specs),
            [
                [
                    str(transition.event),
                    [target.id for target in transition.targets],
                    bool(transition.internal),
                    sorted(str(spec.func) for spec in transition._specs),
                ]
                for transition in state.transitions
            ],
        ]
        for state in all_states(chart)
    ]
    events = [[e.name, e.source, e.role, e.model_json_schema()] for e in chart.event_types]
    definition = [chart.kind, chart.version, states, events, chart.context_type.model_json_schema()]
    blob = json.dumps(definition, sort_keys=True, default=str).encode()
    return hashlib.sha256(blob).hexdigest()[:16]
