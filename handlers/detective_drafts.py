"""A finding before it is explained: what it joins and how, in ids and numbers alone."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from handlers.detective_keys import SURE
from handlers.detective_told import BY_MODEL, BY_RULE
from handlers.detective_web import Web

Kind = Literal["related", "named", "shared", "together", "connected", "joins", "linked", "alike", "near"]

EXPLICIT: tuple[Kind, ...] = ("related", "named", "shared", "together", "connected", "joins", "linked")
"""Kinds whose every step stands in evidence or was entered by a person; the others are likenesses."""


@dataclass(frozen=True)
class Step:
    """A node of a path: a person of interest, an entity or evidence, by its id.

    `marks` are the places where evidence says so: passage, and the entity that it names there (0: none).
    """

    what: Literal["poi", "entity", "evidence"]
    node: int
    marks: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Draft:
    """What was found.

    Attributes:
        steps: The path.
        edges: Why each step is joined to the next: `named` (stands in), `same:<why>`, `does:<relation>`,
            `done:<relation>` (the next one does it), `alike`, `near`.
        strength: In (0, 1]: how much the path says by itself.
        confidence: In [0, 1]: how sure it is that it joins the same things.
        fingerprint: The same for the same finding in a later search.
        also: Further nodes that the finding is about.
        count: What the kind counts: pieces of evidence, or ways.
        cosine: Of what is alike or near.
        score: By rank; 0 until then.
    """

    kind: Kind
    steps: tuple[Step, ...]
    edges: tuple[str, ...]
    strength: float
    confidence: float
    fingerprint: str
    also: tuple[int, ...] = ()
    count: int = 0
    cosine: float = 0.0
    score: float = 0.0

    @property
    def explicit(self) -> bool:
        """Whether every step is said by something."""
        return self.kind in EXPLICIT

    def scored(self, score: float) -> Draft:
        """The same with a score."""
        return replace(self, score=score)

    def to_json(self) -> dict[str, Any]:
        """For the database."""
        return asdict(self)


def from_json(value: dict[str, Any]) -> Draft:
    """The inverse of `Draft.to_json`."""
    steps = tuple(
        Step(step["what"], step["node"], tuple((chunk, entity) for chunk, entity in step["marks"]))
        for step in value["steps"]
    )
    rest = {name: tuple(value[name]) for name in ("edges", "also")}
    return Draft(**value | rest | {"steps": steps})


def fingerprint(kind: str, *keys: str) -> str:
    """What names a finding, whatever order its ends come in: 32 hex digits."""
    return hashlib.sha256("\n".join([kind, *sorted(keys)]).encode()).hexdigest()[:32]


@dataclass
class Path:
    """A path as it is put together; `confidence` is how sure its joints are."""

    web: Web
    steps: list[Step] = field(default_factory=list)
    edges: list[str] = field(default_factory=list)
    confidence: float = 1.0

    def member(self, place: int) -> Path:
        """Go on to a member of the identity where the path is, or begin with it."""
        web, one = self.web, self.web.members[place]
        step = Step(one.what, one.node)
        if not self.steps:
            self.steps.append(step)
        elif self.steps[-1].what == "evidence":
            self._go(step, "named")
        elif self.steps[-1].node != one.node:
            why = web.why_same(web.member_at[self.steps[-1].node], place)
            if why != "is":
                self.confidence *= SURE[why]
                self._go(step, f"same:{why}")
            elif one.what == "poi":  # a person of interest and the entity that it is are one step
                self.steps[-1] = step
        return self

    def into(self, mention: int) -> Path:
        """Go on through a mention of the identity where the path is, to where it stands.

        A relation is no place to be: `out` leads straight to its other end.
        """
        web = self.web
        self.member(int(web.through[mention]))
        if web.told_by(int(web.units[mention])) is not None:
            return self
        self._go(self.evidence(mention), "named")
        return self

    def out(self, mention: int) -> Path:
        """Leave the unit where the path is through a mention in it."""
        web, unit = self.web, int(self.web.units[mention])
        if (told := web.told_by(unit)) is not None:
            does = int(web.named[mention]) != int(web.doers[unit - web.texts])
            one = web.members[int(web.through[mention])]
            self.confidence *= BY_RULE if told.source == "rule" else BY_MODEL
            self._go(Step(one.what, one.node), f"{'does' if does else 'done'}:{told.id}")
            return self
        here, there = self.steps[-1], self.evidence(mention)
        self.steps[-1] = replace(here, marks=tuple(dict.fromkeys([*here.marks, *there.marks])))
        return self.member(int(self.web.through[mention]))

    def evidence(self, mention: int) -> Step:
        """The unit where a mention stands, as a step."""
        web = self.web
        file = web.files[int(web.unit_file[web.units[mention]])]
        mark = (int(web.passages[mention]), web.members[int(web.through[mention])].node)
        return Step("evidence", file.node, (mark,))

    def _go(self, step: Step, edge: str) -> None:
        self.edges.append(edge)
        self.steps.append(step)
