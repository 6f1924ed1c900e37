"""For whom a machine works: its work waits in line with all other work of the same person."""

from __future__ import annotations

from machines.snapshot import Snapshot

_FIELDS = ("asker", "owner", "user")
"""Where the contexts of charts name the person who asked, brought or began."""


def behalf_of(machine: Snapshot) -> str:
    """A user id; the topic where the machine works for nobody in particular."""
    for name in _FIELDS:
        person = machine.context.get(name)
        if isinstance(person, str) and person not in ("", "system"):
            return person
    return machine.topic.removeprefix("user:")
