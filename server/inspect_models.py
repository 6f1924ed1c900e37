"""What the inspector answers: machines in a list, their counts, and one machine's journal."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Level = Literal["slow", "stuck"]


class Stage(BaseModel):
    """One stage of a machine's work; see `machines.work.Work`. Fields of an older release may be missing."""

    model_config = ConfigDict(extra="ignore")

    status: str
    queue: str = ""
    effect: str = ""
    attempt: int = 1
    since: float
    ended: float | None = None
    done: int = 0
    total: int = 0
    unit: str = ""
    reason: str = ""


class Trouble(BaseModel):
    """Something that takes longer than it should.

    `stuck`: it will not go on by itself, or something other than the work itself is wrong.
    """

    level: Level
    stage: str
    since: float
    why: str


class MachineRow(BaseModel):
    """A machine in a list. `spawned_by` is a user's id or `system`, empty for about a second at first."""

    machine: str
    kind: str
    topic: str
    title: str
    revision: int
    configuration: list[str]
    updated_at: float
    terminated: bool
    spawned_by: str
    spawned_by_name: str
    work: dict[str, Stage]
    troubles: list[Trouble]


class MachinePage(BaseModel):
    """Machines, newest change first. `next` is the cursor of the page after this one, if there is any."""

    machines: list[MachineRow]
    next: str | None


class StateCount(BaseModel):
    """How many machines of a kind are in a state, and how many of them have ended for good."""

    kind: str
    state: str
    machines: int
    finished: int


class MachineCounts(BaseModel):
    """Machines by kind and state. Where `capped`, only the first `counted` were looked at.

    `slow` and `stuck` are counts of machines, of those that have waited longest.
    """

    states: list[StateCount]
    counted: int
    capped: bool
    slow: int
    stuck: int


class MachineDetails(BaseModel):
    """One machine as a subscriber sees it, with what the inspector adds."""

    machine: str
    kind: str
    topic: str
    revision: int
    configuration: list[str]
    context: dict[str, Any]
    allowed: list[str]
    terminated: bool
    updated_at: float
    chart_version: int
    chart_hash: str
    spawned_by: str
    spawned_by_name: str
    troubles: list[Trouble]


class ContextChange(BaseModel):
    """One value of the context, by the keys that lead to it. `old` of something added is null, and
    `new` of something removed.
    """

    path: list[str]
    what: Literal["added", "removed", "changed"]
    old: Any = None
    new: Any = None


class Taken(BaseModel):
    """An arrow of the drawing that was gone along."""

    source: str
    target: str


class Asked(BaseModel):
    """Work that an entry has asked for."""

    stage: str
    effect: str
    queue: str


class JournalEntry(BaseModel):
    """One transition.

    `after_s` is the time since the transition before, `left` how long each state that was left had
    lasted, in seconds. `taken` is empty where only actions ran.
    """

    model_config = ConfigDict(populate_by_name=True)

    number: int
    revision: int
    event: str
    actor: str
    actor_name: str
    at: float
    from_: list[str] = Field(alias="from")
    to: list[str]
    terminated: bool
    changes: list[ContextChange]
    taken: list[Taken]
    asked: list[Asked]
    after_s: float
    left: dict[str, float]


class Base(BaseModel):
    """A machine before the first entry of a page."""

    revision: int
    configuration: list[str]
    context: dict[str, Any]


class MachineJournal(BaseModel):
    """Entries of one machine, oldest first. `next` goes on after the last one, if more are kept.

    `revision` is where the machine is; entries that do not reach it yet are still on their way.
    """

    machine: str
    kind: str
    topic: str
    revision: int
    base: Base
    entries: list[JournalEntry]
    next: int | None
