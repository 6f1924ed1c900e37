"""Pictures hold every state, light what is active, and documents say what the chart says."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar
from xml.etree import ElementTree

import pytest
from statemachine import HistoryState, State
from statemachine.io import load

from machines.chart import Chart, Context, all_states, from_each
from machines.draw import FORMATS, describe, draw
from machines.draw_dot import arrows, dot
from machines.draw_mermaid import mermaid
from machines.draw_scxml import scxml
from machines.draw_xstate import xstate
from machines.event import Event
from machines.outline import Node, ancestors, moves, nodes, outline
from machines.step import CHARTS


class Go(Event, name="go", source="client", role="editor"):
    """On."""


class Rooms(Chart):
    """Everything that none of the charts has: both histories, exits, a transition within, and `unless`."""

    kind: ClassVar[str] = "rooms"
    context_type = Context
    event_types = (Go,)
    spawn_event = Go
    spawn_topics = ("case",)

    outside = State(initial=True, exit="look_back")

    class house(State.Compound):
        hall = State(initial=True)

        class floor(State.Compound):
            room = State(initial=True)
            bath = State()
            wash = room.to(bath)

        lately = HistoryState()
        exactly = HistoryState(type="deep")
        up = hall.to(floor)

    gone = State(final=True)

    enter_house = outside.to(house.lately) | outside.to(house.exactly, unless="is_new")
    leave = house.to(outside)
    to_hall = house.to(house.hall, internal=True)
    again = house.to(house)
    demolish = from_each(outside, house, to=gone)

    def look_back(self) -> None:
        """Once."""

    def is_new(self) -> bool:
        """Never."""
        return False


EVERY = [*CHARTS.values(), Rooms]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", sorted(CHARTS))
def test_every_state_is_in_every_drawing(kind: str, form: str) -> None:
    picture = draw(kind, form)
    assert [s.id for s in all_states(CHARTS[kind]) if not re.search(rf"\b{s.id}\b", picture)] == []


@pytest.mark.parametrize(
    ("form", "lit"),
    [("dot", 'class="active"'), ("mermaid", "class ready active"), ("svg", 'class="node active"')],
)
def test_active_states_are_lit(form: str, lit: str) -> None:
    assert draw("upload", form, ["ready"]).count(lit) == 1
    assert draw("upload", form).count(lit) == 0


def test_only_the_composite_states_that_are_active_are_lit() -> None:
    picture = draw("upload", "svg", ["analysing", "vectors", "embedding"])
    assert picture.count('class="cluster lit"') == 2


@pytest.mark.parametrize("kind", sorted(CHARTS))
def test_states_and_arrows_are_found_again_in_the_picture(kind: str) -> None:
    ids = {element.get("id") for element in ElementTree.fromstring(draw(kind, "svg")).iter()}
    tops = outline(CHARTS[kind])
    assert {f"state-{node.id}" for node in nodes(tops)} <= ids
    assert {f"arrow-{source}-{target}" for source, target in arrows(tops)} <= ids


def test_the_description_tells_who_may_send_what() -> None:
    events = {event["name"]: event for event in describe("case")["events"]}
    assert (events["close"]["source"], events["close"]["role"]) == ("client", "owner")


def test_an_unknown_format_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="dot, mermaid, svg, json, scxml"):
        draw("case", "png")


def test_an_outline_knows_histories_guards_exits_and_what_stays_inside() -> None:
    known = {node.id: node for node in nodes(outline(Rooms))}
    assert (known["lately"].kind, known["exactly"].kind) == ("shallow", "deep")
    assert known["house"].first.id == "hall"
    assert known["outside"].exit == ("look_back",)
    entering = [m for m in known["outside"].moves if m.event == "enter_house"]
    assert [(m.targets, m.guards) for m in entering] == [(("lately",), ()), (("exactly",), ("not is_new",))]
    assert [m.internal for m in known["house"].moves if m.event == "to_hall"] == [True]


# SCXML


def facts(tops: tuple[Node, ...]) -> dict[str, Any]:
    """What two definitions of one chart must agree on."""
    first = {node.id for node in tops if node.initial}
    return {
        "first": first,
        "states": {n.id: (n.kind, n.parent, bool(n.children) and n.kind == "compound" and n.first.id)
                   for n in nodes(tops)},
        # An importer makes one expression of all guards.
        "moves": Counter((m.source, m.event, m.targets, bool(m.guards), m.internal) for m in moves(tops)),
        "order": [
            (n.id, [(m.event, m.targets) for m in n.moves]) for n in sorted(nodes(tops), key=lambda n: n.id)
        ],
    }  # fmt: skip


@pytest.mark.parametrize("chart", EVERY, ids=lambda chart: chart.kind)
def test_an_importer_reads_the_same_chart_from_its_scxml(chart: type[Chart]) -> None:
    ours = outline(chart)
    document = scxml(chart.kind, ours)
    theirs = outline(load(document, format="scxml", name=chart.kind))
    assert facts(theirs) == facts(ours)


@pytest.mark.parametrize("chart", EVERY, ids=lambda chart: chart.kind)
def test_scxml_names_guards_and_actions_and_keeps_to_the_recommendation(chart: type[Chart]) -> None:
    root = ElementTree.fromstring(scxml(chart.kind, outline(chart)))
    namespace = "{http://www.w3.org/2005/07/scxml}"
    assert (root.tag, root.get("version")) == (f"{namespace}scxml", "1.0")
    allowed = {
        "scxml": {"state", "parallel", "final"},
        "state": {"onentry", "onexit", "transition", "state", "parallel", "final", "history"},
        "parallel": {"onentry", "onexit", "transition", "state", "parallel", "history"},
        "final": {"onentry", "onexit"},
        "history": {"transition"},
        "onentry": {"log"}, "onexit": {"log"}, "transition": {"log"}, "log": set(),
    }  # fmt: skip
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    for element in root.iter():
        tag = element.tag.removeprefix(namespace)
        assert {child.tag.removeprefix(namespace) for child in element} <= allowed[tag]
        for name in ("target", "initial"):
            assert set((element.get(name) or "").split()) <= set(ids)
    labels = {e.get("label") for e in root.iter(f"{namespace}log")}
    assert labels == {a for n in nodes(outline(chart)) for a in (*n.entry, *n.exit)} | {
        action for move in moves(outline(chart)) for action in move.actions
    }


# XState


def below(states: dict[str, Any], parent: str = "") -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, state in states.items():
        yield name, parent, state
        yield from below(state.get("states", {}), name)


@pytest.mark.parametrize("chart", EVERY, ids=lambda chart: chart.kind)
def test_the_xstate_machine_has_the_chart_s_states_and_every_target_is_one_of_them(
    chart: type[Chart],
) -> None:
    machine = json.loads(json.dumps(xstate(chart)))
    known = {name: (parent, state) for name, parent, state in below(machine["states"])}
    ours = {node.id: node for node in nodes(outline(chart))}
    assert known.keys() == ours.keys()
    assert machine["states"].keys() == {node.id for node in outline(chart)}
    assert machine["initial"] == next(node.id for node in outline(chart) if node.initial)
    told: Counter[tuple[Any, ...]] = Counter()
    for name, (parent, state) in known.items():
        node = ours[name]
        assert (state["id"], parent) == (name, node.parent)
        kinds = {"shallow": "history", "deep": "history", "atomic": None, "compound": None}
        assert state.get("type") == kinds.get(node.kind, node.kind)
        assert state.get("history") == (node.kind if node.is_history else None)
        assert state.get("initial") == (node.first.id if node.kind == "compound" else None)
        assert state.get("initial") is None or state["initial"] in state["states"]
        if node.is_history:
            continue
        listed = [("", t) for t in state.get("always", [])] + [
            (f"done.state.{name}", t) for t in state.get("onDone", [])
        ]
        listed += [(event, t) for event, ts in state.get("on", {}).items() for t in ts]
        for event, transition in listed:
            target = transition.get("target", [])
            targets = tuple(t.removeprefix("#") for t in ([target] if isinstance(target, str) else target))
            assert set(targets) <= known.keys()
            assert set(transition) <= {"target", "guard", "actions", "reenter", "meta"}
            told[name, event, targets, transition.get("guard", ""), tuple(transition.get("actions", []))] += 1
    assert told == Counter(
        (m.source, m.event, m.targets, " and ".join(m.guards), m.actions)
        for m in moves(outline(chart)) if not ours[m.source].is_history
    )  # fmt: skip


def test_xstate_leaves_a_state_for_one_within_it_only_where_the_chart_does() -> None:
    house = xstate(Rooms)["states"]["house"]["on"]
    assert "reenter" not in house["to_hall"][0]
    assert house["again"][0]["reenter"] is True
    assert "reenter" not in house["leave"][0]


# Mermaid


@pytest.mark.parametrize("chart", EVERY, ids=lambda chart: chart.kind)
def test_a_mermaid_arrow_stands_in_the_innermost_state_around_its_ends(chart: type[Chart]) -> None:
    tops = outline(chart)
    above = ancestors(tops)
    around: list[str] = []
    seen = set()
    for line in mermaid(tops, frozenset()).splitlines()[2:]:
        text = line.strip()
        if (opened := re.fullmatch(r"state (\w+) \{", text)) is not None:
            around.append(opened[1])
        elif text == "}":
            around.pop()
        elif (arrow := re.fullmatch(r"(\w+) --> (\w+)( : [\w /]+)?", text)) is not None:
            source, target = arrow[1], arrow[2]
            common = next((s for s in above[source] if s in above[target]), "")
            assert common == (around[-1] if around else "")
            seen.add((source, target))
        else:
            assert re.fullmatch(r'\[\*\] --> \w+|\w+ --> \[\*\]|--|state \w+|state "H\*?" as \w+', text), text
    assert around == []
    assert seen == set(arrows(tops))


def test_dot_draws_histories_as_circles() -> None:
    assert 'exactly [id="state-exactly" shape=circle label="H*"' in dot("rooms", outline(Rooms), frozenset())
