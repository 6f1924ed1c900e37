"""A finding in a sentence, composed by rules from its path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from handlers.detective_drafts import Draft
from handlers.detective_keys import WORDS
from storage.detective import End
from storage.detective_told import ToldAt

KINDS = {
    "person": "",
    "poi": "",
    "organisation": "the organisation",
    "email": "the e-mail address",
    "phone": "the phone number",
    "citation": "the citation",
}

LONGEST = 70
"""Characters of a title in a sentence."""


def sentence(
    draft: Draft, nodes: Mapping[int, End], cases: Mapping[str, str], told: Mapping[int, ToldAt]
) -> str:
    """What a finding says.

    Args:
        nodes: Every node of the path and of `also`, and the evidence of every relation, by id.
        cases: Titles by id.
        told: The relations along the path, by id.
    """
    path = [nodes[step.node] for step in draft.steps]
    several = len({node.case for node in path}) > 1
    say = _Words(nodes, cases, several)
    names = [node for node in path if node.what != "evidence"]
    files = [node for node in path if node.what == "evidence"]
    match draft.kind:
        case "related":
            (one,) = told.values()
            doer, other = path[0], path[-1]
            if any(edge.startswith("done:") for edge in draft.edges):
                doer, other = other, doer
            more = _and(draft.count - 1, "more statement") if draft.count > 1 else ""
            others = [nodes[node].name for node in draft.also if node in nodes]
            besides = f"; the same is said of {_listed(others)}" if others else ""
            return (
                f"{_upper(say.name(doer))} {one.predicate} {say.name(other)}, in "
                f"{say.file(nodes[one.evidence])}{more}{besides}.{_read_by([one])}{_reasons(draft)}"
            )
        case "named":
            where = f"in {say.file(files[-1])}" + (
                _and(draft.count - 1, "more file") if draft.count > 1 else ""
            )
            return (
                f"{path[0].name}, a person of interest of “{cases[path[0].case]}”, is named {where}"
                f".{_reasons(draft)}"
            )
        case "shared":
            return (
                f"{_upper(say.name(names[0]))} stands in {say.file(files[0])} and in {say.file(files[-1])}"
                f".{_reasons(draft)}"
            )
        case "together":
            only = (
                f", and in no other running text.{_reasons(draft)}"
                if draft.count == 1
                else f", and in {draft.count - 1} more.{_reasons(draft)}"
            )
            ends = f"{say.name(path[0])} and {say.name(path[-1])}"
            if not draft.count:  # a way between two ends, perhaps through a list
                return f"{_upper(ends)} are both named in {say.file(files[0])}.{_reasons(draft)}"
            others = [nodes[node].name for node in draft.also if node in nodes]
            people = _listed([say.name(path[0]), say.name(path[-1]), *others]) if others else ends
            return f"{_upper(people)} are named side by side in {say.file(files[0])}{only}"
        case "connected":
            return _connected(draft, path, say, told)
        case "joins":
            others = [nodes[node].name for node in draft.also if node in nodes]
            more = f"; also with {_listed(others)}" if others else ""
            ends = f"{say.name(path[0])} and {say.name(path[-1])}"
            hops = _hops(draft, path, say, told)
            return (
                f"{_upper(say.name(_bridge(draft, path)))} joins {ends}: {hops}{more}. No running text has "
                f"the full names of {ends} side by side.{_read_by(told.values())}{_reasons(draft)}"
            )
        case "linked":
            others = [nodes[node].name for node in draft.also if node in nodes]
            more = f", and {_listed(others)} besides" if others else ""
            return (
                f"{say.file(files[0])} and {say.file(files[-1])} both name {say.name(names[0])}{more}"
                f".{_reasons(draft)}"
            )
        case "alike":
            where = f", named in {say.file(files[0])}," if files else ""
            return (
                f"{path[1].name} of “{cases[path[1].case]}”{where} is spelt nearly like {path[0].name}, a "
                f"person of interest of “{cases[path[0].case]}”: this may be the same person, or a namesake."
            )
        case "near":
            return (
                f"{say.file(files[0])} and {say.file(files[1])} say similar things, and nothing that they "
                "name joins them."
            )


def _connected(draft: Draft, path: Sequence[End], say: _Words, told: Mapping[int, ToldAt]) -> str:
    """From name to name, each with the evidence between."""
    ends = " and ".join(say.name(node) for node in (path[0], path[-1]))
    bridge = _bridge(draft, path)
    through = f" through {say.name(bridge)}" if bridge not in (path[0], path[-1]) else ""
    hops = _hops(draft, path, say, told)
    return f"{_upper(ends)} are connected{through}: {hops}.{_read_by(told.values())}{_reasons(draft)}"


def _hops(draft: Draft, path: Sequence[End], say: _Words, told: Mapping[int, ToldAt]) -> str:
    """What each piece of evidence along the path says of the names before and behind it."""
    parts: list[str] = []
    for at, node in enumerate(path):
        if at and draft.edges[at - 1].startswith(("does:", "done:")):
            sort, _, relation = draft.edges[at - 1].partition(":")
            one = told[int(relation)]
            doer, other = (path[at - 1], node) if sort == "does" else (node, path[at - 1])
            parts.append(
                f"{say.file(say.of(one.evidence))} tells: {say.name(doer)} {one.predicate} {say.name(other)}"
            )
        if node.what != "evidence":
            continue
        before = path[at - 1] if at else None
        after = path[at + 1] if at + 1 < len(path) else None
        if before is not None and after is not None:
            parts.append(f"{say.file(node)} names {say.name(before)} with {say.name(after)}")
        elif before is not None or after is not None:
            parts.append(f"{say.file(node)} names {say.name(before or after)}")  # type: ignore[arg-type]
    return ", and ".join(parts) if len(parts) < 3 else f"{', '.join(parts[:-1])}, and {parts[-1]}"


class _Words:
    """How nodes are called in one sentence; cases are named where there are several."""

    def __init__(self, nodes: Mapping[int, End], cases: Mapping[str, str], several: bool) -> None:
        self._nodes, self._cases, self._several = nodes, cases, several

    def name(self, node: End) -> str:
        if node.what == "evidence":
            return self.file(node)
        return f"{KINDS.get(node.kind, '')} {node.name}".strip()

    def of(self, node: int) -> End:
        return self._nodes[node]

    def file(self, node: End) -> str:
        of = f" (case “{self._cases[node.case]}”)" if self._several else ""
        name = node.name if len(node.name) <= LONGEST else f"{node.name[: LONGEST - 1].rstrip()}…"
        return f"“{name}”{of}"


def _bridge(draft: Draft, path: Sequence[End]) -> End:
    """The name to which a path first leads: behind its first evidence or relation."""
    for at, edge in enumerate(draft.edges):
        if edge.startswith(("does:", "done:")) or path[at].what == "evidence":
            return path[at + 1]
    return path[-1]


def _read_by(told: Iterable[ToldAt]) -> str:
    """Which language model read a relation, as a sentence; nothing where rules did."""
    models = dict.fromkeys(one.source for one in told if one.source != "rule")
    return f" As {_listed(list(models))} reads it." if models else ""


def _reasons(draft: Draft) -> str:
    """What makes two names one, as a sentence of its own; nothing where no two are joined."""
    whys = dict.fromkeys(edge.removeprefix("same:") for edge in draft.edges if edge.startswith("same:"))
    return f" Joined by {_listed([f'the {WORDS[why]}' for why in whys])}." if whys else ""


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _and(count: int, what: str) -> str:
    return f" and {count:,} {what}{'' if count == 1 else 's'}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
