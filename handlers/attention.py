"""What a user's attention says of passages: less than a vote, theirs alone, and fading.

Whoever opens a passage and stays has found something there; what stood first while something below
it was opened, has not helped. `learnt` is a pure function of the notes and of one moment: the moment
at which a question was asked, so that no vote after it finds other values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from storage.attention import AttentionNotes, Note

Sort = Literal["read", "opened", "ignored", "accepted", "dismissed"]

WEIGHTS: dict[Sort, float] = {
    "read": 0.3,
    "opened": 0.0,
    "ignored": -0.1,
    "accepted": 1.0,
    "dismissed": -1.0,
}
"""In units of an explicit vote. Opening alone says nothing, but that it was not passed over."""

HALF_LIFE_S = 30 * 86_400
CLAMP = 1.0
"""However much attention a node had: no more than one vote."""

NOTED: dict[Sort, tuple[str, ...]] = {
    "read": ("view", "read", "shown"),
    "opened": ("view", "read", "shown"),
    "ignored": ("view", "read", "shown"),
    "accepted": ("accepted",),
    "dismissed": ("dismissed",),
}
"""The notes that go when it is undone; a passage whose reading is forgotten must not count as passed over."""


@dataclass(frozen=True)
class Learnt:
    """One thing learnt of a node: `full` is its weight when it was noticed, `weight` what is left of it."""

    what: Sort
    node: int
    at: float
    full: float
    weight: float


def learnt(notes: Iterable[Note], at: float) -> list[Learnt]:
    """What notes amount to at a moment, newest first; what happened twice is renewed, not doubled.

    Args:
        notes: In any order. Those after `at` are left out.
        at: Seconds since 1970.
    """
    known = [note for note in notes if note.at <= at]
    found = [*_looked(known), *_passed_over(known), *_judged(known)]
    items = [
        Learnt(what, node, when, full, full * 0.5 ** ((at - when) / HALF_LIFE_S))
        for what, node, when, full in found
    ]
    return sorted(items, key=lambda item: (-item.at, item.node, item.what))


def weights(items: Iterable[Learnt]) -> dict[int, float]:
    """Node → what all that was learnt of it weighs, clamped to ±`CLAMP`; what weighs nothing is absent."""
    sums: dict[int, float] = defaultdict(float)
    for item in sorted(items, key=lambda item: (item.node, item.what)):
        sums[item.node] += item.weight
    return {node: max(-CLAMP, min(CLAMP, value)) for node, value in sums.items() if value}


async def attention_of(context: Mapping[str, Any], *, attention: AttentionNotes) -> dict[int, float]:
    """What the asker's attention weighed when the question of this context was asked."""
    asked_at = float(context["asked_at"])
    notes = await attention.notes(context["case"], context["asker"], asked_at)
    return weights(learnt(notes, asked_at))


def _looked(notes: Sequence[Note]) -> list[tuple[Sort, int, float, float]]:
    latest: dict[tuple[str, int], float] = {}
    for note in notes:
        if note.what in ("view", "read"):
            latest[note.what, note.node] = max(latest.get((note.what, note.node), 0.0), note.at)
    found: list[tuple[Sort, int, float, float]] = []
    for (what, node), at in latest.items():
        if what == "read":
            found.append(("read", node, at, WEIGHTS["read"]))
        elif ("read", node) not in latest:
            found.append(("opened", node, at, WEIGHTS["opened"]))
    return found


def _passed_over(notes: Sequence[Note]) -> list[tuple[Sort, int, float, float]]:
    """What stood first in a query, while only what stood below was opened there.

    Who opens one passage has the whole piece of evidence before them, so its others count as noticed.
    """
    shown: dict[str, list[Note]] = defaultdict(list)
    noticed: dict[str, set[int]] = defaultdict(set)
    opened: dict[str, set[int]] = defaultdict(set)
    for note in notes:
        if not note.query:
            continue
        if note.what == "shown":
            shown[note.query].append(note)
        elif note.what in ("view", "read", "vote"):
            noticed[note.query] |= {note.node, note.evidence} - {0}
            if note.what != "vote":
                opened[note.query].add(note.node)
    latest: dict[int, float] = {}
    for query, first in shown.items():
        if not opened[query] - {note.node for note in first}:
            continue
        for note in first:
            if not {note.node, note.evidence} & noticed[query]:
                latest[note.node] = max(latest.get(note.node, 0.0), note.at)
    return [("ignored", node, at, WEIGHTS["ignored"]) for node, at in latest.items()]


def _judged(notes: Sequence[Note]) -> list[tuple[Sort, int, float, float]]:
    sums: dict[tuple[Sort, int], float] = defaultdict(float)
    latest: dict[tuple[Sort, int], float] = {}
    for note in notes:
        sort: Sort
        if note.what == "accepted":
            sort = "accepted"
        elif note.what == "dismissed":
            sort = "dismissed"
        else:
            continue
        key, sign = (sort, note.node), WEIGHTS[sort]
        sums[key] += note.value
        if note.value * sign > 0:
            latest[key] = max(latest.get(key, 0.0), note.at)
    return [
        (sort, node, latest[sort, node], WEIGHTS[sort])
        for (sort, node), value in sums.items()
        if value * WEIGHTS[sort] > 0 and (sort, node) in latest
    ]
