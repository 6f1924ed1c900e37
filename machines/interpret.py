"""One event applied to a light machine: a macrostep by table.

The body is an instance of the chart's own class without the library's engine, so actions written
against `Chart` run unchanged. Nothing is written back when an action raises: the caller holds the
old configuration and history, and drops the body.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from statemachine.exceptions import TransitionNotAllowed
from statemachine.orderedset import OrderedSet

from machines.calls import Trigger
from machines.chart import Chart
from machines.plan import ended, plan_for
from machines.tables import EVENTLESS, Edge, Entered, Node, Tables, keep

History = tuple[tuple[str, ...] | None, ...]
"""For each history state of the chart, in document order, the ids it remembers."""


def begin(tables: Tables, body: Chart, data: Any) -> tuple[tuple[str, ...], History]:
    """Enter the initial states; the configuration and history that the machine comes to rest in."""
    run = _Run(tables, body, (), (None,) * len(tables.histories))
    run.microstep(tables.starting, (tables.initial,), data)
    run.macrosteps(None, None)
    return run.configuration, run.history


def apply(
    tables: Tables, body: Chart, configuration: tuple[str, ...], history: History, event: str, data: Any
) -> tuple[tuple[str, ...], History]:
    """Send one event; the configuration and history that the machine comes to rest in.

    Raises:
        TransitionNotAllowed: No transition takes the event; actions may also raise what they like.
    """
    run = _Run(tables, body, configuration, history)
    run.macrosteps(tables.triggers[event], data)
    return run.configuration, run.history


class _Run:
    """A machine in motion."""

    __slots__ = ("body", "configuration", "finished", "history", "queue", "running", "tables")

    def __init__(self, tables: Tables, body: Chart, configuration: tuple[str, ...], history: History) -> None:
        self.tables = tables
        self.body = body
        self.history = history
        self.queue: deque[tuple[Trigger, Any]] | None = None
        self.running = True
        self.finished: Node | None = None
        self._rest_in(configuration)

    def _rest_in(self, configuration: tuple[str, ...]) -> None:
        self.configuration = configuration
        vars(self.body)["_active"] = configuration

    def macrosteps(self, trigger: Trigger | None, data: Any) -> None:
        """What the machine may do of itself, then the event, then again what it may do of itself."""
        took = self.running
        while took:
            took = self._settle()
            if self._is_over():
                return
            if trigger is not None:
                enabled = self._enabled(trigger, data)
                if not enabled:
                    raise self._refusal(trigger)
                self.microstep(trigger, enabled, data)
                trigger, took = None, self.running

    def _settle(self) -> bool:
        """Eventless transitions and done events until there are none; whether there were any."""
        took = False
        while True:
            enabled = self._enabled(EVENTLESS, None)
            if enabled:
                self.microstep(EVENTLESS, enabled, None)
            elif self.queue:
                trigger, payload = self.queue.popleft()
                enabled = self._enabled(trigger, payload)
                if enabled:
                    self.microstep(trigger, enabled, payload)
            else:
                return took
            took = took or bool(enabled)

    def _enabled(self, trigger: Trigger, payload: Any) -> tuple[Edge, ...]:
        """For each active atomic state, the first transition whose guards agree; each once."""
        choices = self.tables.choices.get((trigger, self.configuration))
        if choices is None:
            choices = self.tables.choices_in(trigger, self.configuration)
        if not choices:
            return ()
        body = self.body
        enabled: dict[Edge, None] = {}
        for choice in choices:
            for edge, guards in choice:
                for guard, expected in guards:
                    if bool(guard(body, payload)) is not expected:
                        break
                else:
                    enabled[edge] = None
                    break
        return tuple(enabled)

    def microstep(self, trigger: Trigger, enabled: tuple[Edge, ...], payload: Any) -> None:
        """Take transitions together."""
        tables, body = self.tables, self.body
        key = (trigger, enabled, self.configuration, self.history)
        plan = tables.plans.get(key)
        if plan is None:
            plan = plan_for(tables, *key)
            keep(tables.plans, key, plan)
        self.history = plan.history
        for call in plan.leave:
            call(body, payload)
        self._rest_in(plan.configuration)
        for entered in plan.entered:
            if entered.done or entered.ends:
                self._end(entered, [call(body, payload) for call in entered.enter])
            else:
                for call in entered.enter:
                    call(body, payload)
            for call in entered.then:
                call(body, payload)
        for call in plan.after:
            call(body, payload)

    def _end(self, entered: Entered, returned: list[Any]) -> None:
        """A final state was entered: raise the done events, with what its entry actions returned."""
        if entered.ends:
            self.running = False
        if self.queue is None:
            self.queue = deque()
        positional: tuple[Any, ...] = ()
        named: dict[str, Any] = {}
        for item in returned:
            if isinstance(item, dict):
                named.update(item)
            elif item:
                positional = (item,)
        for name in entered.done:
            bare, laden = self.tables.done[name]
            if not self.running:
                raise self._refusal(bare)  # the library's engine takes nothing after its end
            self.queue.append((laden, (positional, named)) if positional or named else (bare, None))
        if entered.finished is not None:
            self.finished = entered.finished

    def _refusal(self, trigger: Trigger) -> TransitionNotAllowed:
        states = (self.tables.nodes[name].state for name in self.configuration)
        return TransitionNotAllowed(trigger.event, OrderedSet(states))

    def _is_over(self) -> bool:
        """Whether a final state was entered or all regions of the top parallel state have ended.

        That one may have been left again by what its end set off.
        """
        node, self.finished = self.finished, None
        if node is not None and node.id in self.configuration:
            active = {self.tables.nodes[name] for name in self.configuration}
            self.running = self.running and not ended(node, active)
        return not self.running
