"""A finding in a sentence, composed by rules from its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from handlers.detective_drafts import Draft
from handlers.detective_keys import WORDS
from storage.detective import End

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


def sentence(draft: Draft, nodes: Mapping[int, End], cases: Mapping[str, str]) -> str:
    """What a finding says.

    Args:
        nodes: Every node of the path and of `also`, by id.
        cases: Titles by id.
    """
    path = [nodes[step.node] for step in draft.steps]
    several = len({node.case for node in path}) > 1
    say = _Words(nodes, cases, several)
    names = [node for node in path if node.what != "evidence"]
    files = [node for node in path if node.what == "evidence"]
    match draft.kind:
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
            return f"{_upper(ends)} are named side by side in {say.file(files[0])}{only}"
        case "connected":
            return _connected(draft, path, say)
        case "joins":
            others = [nodes[node].name for node in draft.also if node in nodes]
            more = f"; also with {_listed(others)}" if others else ""
            return (
                f"{_upper(say.name(_bridge(path)))} appears with {say.name(path[0])} in {say.file(files[0])} "
                f"and with {say.name(path[-1])} in {say.file(files[-1])}{more}. No running text names "
                f"{say.name(path[0])} and {say.name(path[-1])} side by side.{_reasons(draft)}"
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


def _connected(draft: Draft, path: Sequence[End], say: _Words) -> str:
    """From name to name, each with the evidence between."""
    parts: list[str] = []
    for at, node in enumerate(path):
        if node.what != "evidence":
            continue
        before = path[at - 1] if at else None
        after = path[at + 1] if at + 1 < len(path) else None
        if before is not None and after is not None:
            parts.append(f"{say.file(node)} names {say.name(before)} with {say.name(after)}")
        elif before is not None or after is not None:
            parts.append(f"{say.file(node)} names {say.name(before or after)}")  # type: ignore[arg-type]
    ends = " and ".join(
        say.file(node) if node.what == "evidence" else say.name(node) for node in (path[0], path[-1])
    )
    first = next(at for at, node in enumerate(path) if node.what == "evidence")
    through = f" through {say.name(_bridge(path))}" if first + 1 < len(path) - 1 else ""
    return f"{_upper(ends)} are connected{through}: {', and '.join(parts)}.{_reasons(draft)}"


class _Words:
    """How nodes are called in one sentence; cases are named where there are several."""

    def __init__(self, nodes: Mapping[int, End], cases: Mapping[str, str], several: bool) -> None:
        self._nodes, self._cases, self._several = nodes, cases, several

    def name(self, node: End) -> str:
        if node.what == "evidence":
            return self.file(node)
        return f"{KINDS.get(node.kind, '')} {node.name}".strip()

    def file(self, node: End) -> str:
        of = f" (case “{self._cases[node.case]}”)" if self._several else ""
        name = node.name if len(node.name) <= LONGEST else f"{node.name[: LONGEST - 1].rstrip()}…"
        return f"“{name}”{of}"


def _bridge(path: Sequence[End]) -> End:
    """The name by which a path leaves its first evidence."""
    first = next(at for at, node in enumerate(path) if node.what == "evidence")
    return path[first + 1]


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
