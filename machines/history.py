"""What a machine was at every revision, folded from its entries.

An entry holds the context's keys that changed; the states between are not stored. Folding all
entries of a machine gives its snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ABSENT: Any = type("Absent", (), {"__repr__": lambda _: "ABSENT", "__bool__": lambda _: False})()
"""Stands for a key that is not there, where None is a value."""


@dataclass(frozen=True)
class Past:
    """A machine after one entry. `entered` tells since when each active state is, in Unix seconds."""

    revision: int = 0
    configuration: tuple[str, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    terminated: bool = False
    at: float = 0.0
    entered: Mapping[str, float] = field(default_factory=dict)


BEGINNING = Past()
"""Before a machine is spawned."""


@dataclass(frozen=True)
class Change:
    """One value of a context, by the keys that lead to it; `ABSENT` on the side where it is missing."""

    path: tuple[str, ...]
    old: Any
    new: Any


def after(past: Past, entry: Mapping[str, Any]) -> Past:
    """The machine after one more entry, as the store keeps and publishes it."""
    context = {**past.context, **entry["context"]}
    for key in entry["removed"]:
        context.pop(key, None)
    to, at = tuple(entry["to"]), float(entry["at"])
    left = set(past.configuration) - set(to)
    entered = {state: at if state in left else past.entered.get(state, at) for state in to}
    return Past(int(entry["revision"]), to, context, bool(entry["terminated"]), at, entered)


def fold(entries: Iterable[Mapping[str, Any]]) -> list[tuple[Past, Past]]:
    """For each entry the machine before and after it.

    A machine that lost its newest revisions with its store reaches some of them twice; the second
    time it starts from the revision before, not from what was lost.
    """
    known = {0: BEGINNING}
    latest = BEGINNING
    steps = []
    for entry in entries:
        before = known.get(int(entry["revision"]) - 1, latest)
        latest = after(before, entry)
        known[latest.revision] = latest
        steps.append((before, latest))
    return steps


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """What turns one context into another, by name: objects are compared by key, all else as a whole."""
    return list(_changes((), old, new))


def apply(context: Mapping[str, Any], steps: Sequence[Change]) -> dict[str, Any]:
    """The context after changes that `changes` told of; the given one stays as it is."""
    return _replaced(context, [(step.path, step.new) for step in steps])


def revert(context: Mapping[str, Any], steps: Sequence[Change]) -> dict[str, Any]:
    """The context before changes that `changes` told of."""
    return _replaced(context, [(step.path, step.old) for step in steps])


def _changes(path: tuple[str, ...], old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[Change]:
    for key in sorted(old.keys() | new.keys()):
        before, now, here = old.get(key, ABSENT), new.get(key, ABSENT), (*path, key)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from _changes(here, before, now)
        elif before is ABSENT or now is ABSENT or before != now:
            yield Change(here, before, now)


def _replaced(context: Mapping[str, Any], values: list[tuple[tuple[str, ...], Any]]) -> dict[str, Any]:
    result = dict(context)
    copied: dict[tuple[str, ...], dict[str, Any]] = {(): result}
    for path, value in values:
        for depth in range(1, len(path)):
            if path[:depth] not in copied:
                above = copied[path[: depth - 1]]
                copied[path[:depth]] = above[path[depth - 1]] = dict(above[path[depth - 1]])
        if value is ABSENT:
            copied[path[:-1]].pop(path[-1], None)
        else:
            copied[path[:-1]][path[-1]] = value
    return result
